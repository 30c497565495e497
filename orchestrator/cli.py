"""The command line. docs/cli.md documents the commands, what `--json` prints, and the exit codes."""

from __future__ import annotations

import io
import sys

import typer

from orchestrator.commands import (
    check,
    cost,
    devices,
    export,
    export_history,
    extend,
    gc,
    logs,
    pause,
    pool,
    prepare,
    priority,
    report,
    resume,
    retrain,
    run,
    searches,
    serve,
    show,
    simulate,
    status,
    stop,
    story,
    submit,
    version,
    watch,
    why,
)

app = typer.Typer(
    name="coldframe",
    help="Neural architecture search that survives being killed and never trains anything twice.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run")(run.run)
app.command("prepare")(prepare.prepare)
app.command("retrain")(retrain.retrain)
app.command("export")(export.export)
app.command("export-history")(export_history.export_history)
app.command("serve")(serve.serve)
app.command("submit")(submit.submit)
app.command("watch")(watch.watch)
app.command("list")(searches.searches)
app.command("status")(status.status)
app.command("show")(show.show)
app.command("story")(story.story)
app.command("why")(why.why)
app.command("logs")(logs.logs)
app.command("pause")(pause.pause)
app.command("resume")(resume.resume)
app.command("stop")(stop.stop)
app.command("priority")(priority.priority)
app.command("extend")(extend.extend)
app.command("report")(report.report)
app.command("devices")(devices.devices)
app.command("check")(check.check)
app.command("gc")(gc.gc)
app.command("pool")(pool.pool)
app.command("cost")(cost.cost)
app.command("simulate")(simulate.simulate)
app.command("version")(version.version)


def main() -> None:
    """Runs the command line; the process ends with the command's exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a search's name may have what the terminal's encoding lacks
    app(prog_name="coldframe")


if __name__ == "__main__":
    main()
