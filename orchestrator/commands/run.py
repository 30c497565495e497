"""`coldframe run`: runs a search in the foreground, or takes it up again."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.commands.common import JsonOption, StoreOption, guarded, print_json, print_lines, reading
from orchestrator.errors import DaemonHolds

if TYPE_CHECKING:
    from orchestrator.foreground import RunEnd
    from orchestrator.views import JobView, SearchView

FRUITLESS = 1
"""The exit code of a search that is finished and has nothing to show for it."""
SHOWN_FAILURES = 3
"""Of jobs that were given up, so many are shown at the end, the latest."""


@guarded
def run(
    spec: Annotated[Path, typer.Argument(help="The search, as a TOML file.", metavar="SPEC.toml")],
    store: StoreOption,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Worker processes, instead of the spec's.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write a report into this folder at the end.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a search, or take it up where it was left."""
    from orchestrator import foreground, live
    from orchestrator.reaching import serving

    if serving(store):
        submit = f"coldframe submit {shlex.quote(str(spec))} --store {shlex.quote(str(store))}"
        raise DaemonHolds(str(store), f"hand this one to it with `{submit}`")
    watcher = live.observer(sys.stderr if as_json else sys.stdout)
    try:
        end = foreground.run(spec, store, workers=workers, observer=watcher)
    finally:
        watcher.close()
    conclude(end, store, report, as_json)


def conclude(end: RunEnd, store: Path, folder: Path | None, as_json: bool) -> None:
    """Prints what a search came to, writes the report if one is wanted, and exits as a signal demands.

    A search in which every network failed went its whole way, but nobody should take it for one that found something.
    """
    from orchestrator import summary
    from orchestrator.conclusion import conclusion
    from orchestrator.serving import joblogs
    from orchestrator.views import search_view

    with reading(store) as found:
        view = search_view(found.history, end.search, alive=False)
        if folder is not None:
            from orchestrator.report import write

            write(found.history, end.search, folder, alive=False)
        failed = [job for job in view.troubled if job.state == "failed"]
        said = {job.id: joblogs.tail(store, job.id) for job in failed[-SHOWN_FAILURES:]}
        joblogs.thin(store, joblogs.KEPT, {job.id for job in view.troubled})
    if as_json:
        print_json(summary.summary(view))
    else:
        for line in conclusion(view, repeated=end.repeated):
            typer.echo(line)
        for job in failed[-SHOWN_FAILURES:]:
            print_lines(_failure(job, said[job.id]))
        if folder is not None:
            typer.echo(f"report: {folder / 'report.html'}")
        elif view.samples is not None:
            typer.echo(
                f"report: `coldframe report {shlex.quote(view.name)} --store {shlex.quote(str(store))}` writes it"
            )
    if end.signal is not None:
        raise typer.Exit(128 + end.signal)
    if (why := fruitless(view)) is not None:
        typer.echo(f"coldframe: search {view.name} found nothing: {why}", err=True)
        raise typer.Exit(FRUITLESS)


def _failure(job: JobView, said: list[str]) -> Iterator[str]:
    """Yields what a job that was given up failed with, and what it printed last."""
    from orchestrator import rendering
    from store.records.outcomes import brief

    outcome = job.outcome or {}
    yield f"given up: {job.words} ({job.id[:12]}): {outcome.get('reason')}: {brief(outcome.get('message', ''))}"
    yield from rendering.last_words(said)


def fruitless(view: SearchView) -> str | None:
    """Returns why a finished search has nothing to show: every network failed. None if one did not, or it goes on."""
    if not view.finished or not view.candidates:
        return None
    if view.study is not None:
        compared = [setting.accuracies for setting in view.study.settings]
        if compared and all(accuracy is None for row in compared for accuracy in row):
            return "every network failed in every reduced setting"
    failures = [one.failure for one in view.candidates if one.failure is not None and one.score is None]
    return f"every network failed, the first: {failures[0]}" if len(failures) == len(view.candidates) else None
