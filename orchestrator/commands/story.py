"""`coldframe story`: what happened to a job, line by line."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.commands.common import JsonOption, StoreOption, guarded, print_json, reading


@guarded
def story(
    job: Annotated[str, typer.Argument(help="Beginning of the job's id.", metavar="JOB")],
    store: StoreOption,
    as_json: JsonOption = False,
) -> None:
    """Tell what happened to a job.

    One line for each thing: who asked for it, its attempts, its checkpoints, its failures.
    """
    from orchestrator.views import find, stories

    with reading(store) as found:
        view = found.history.jobs[find.job(found.history, job)]
    lines = list(stories.story(view))
    if as_json:
        print_json({"job": view.id, "words": view.words, "state": view.state, "story": lines})
        return
    typer.echo(f"job {view.id[:12]}: {view.words}: {view.state}")
    for line in lines:
        typer.echo(line)
