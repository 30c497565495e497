"""`coldframe story`: what happened to a job, line by line."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.commands.common import (
    JsonOption,
    StoreOrUrl,
    TokenOption,
    UrlOption,
    guarded,
    print_json,
    print_lines,
    reaching,
)


@guarded
def story(
    job: Annotated[str, typer.Argument(help="Beginning of the job's id.", metavar="JOB")],
    store: StoreOrUrl = None,
    url: UrlOption = None,
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what happened to a job.

    One line for each thing: who asked for it, its attempts, its checkpoints, its failures. After a failure also the
    last lines that it printed.
    """
    from orchestrator import rendering

    with reaching(store, url, token_file) as source:
        told = source.story(job)
    if as_json:
        print_json(told)
    else:
        print_lines(rendering.story_lines(told))
