"""`coldframe logs JOB`: what a job printed."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.commands.common import (
    JsonOption,
    StoreOrUrl,
    TokenOption,
    UrlOption,
    guarded,
    print_json,
    reaching,
)

if TYPE_CHECKING:
    from orchestrator.reaching import Source

LOOK_SECONDS = 0.5


@guarded
def logs(
    job: Annotated[str, typer.Argument(help="Beginning of the job's id.", metavar="JOB")],
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the job is over.")] = False,
    store: StoreOrUrl = None,
    url: UrlOption = None,
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what a job printed: its worker's standard output and error, an attempt after the other.

    A job that went well and printed nothing leaves no file; of many files the oldest go, those of failed jobs last.
    """
    with reaching(store, url, token_file) as source:
        if as_json:
            text, end, over = source.log(job, 0)
            print_json({"text": text, "end": end, "over": over})
            return
        _print(source, job, follow)


def _print(source: Source, job: str, follow: bool) -> None:
    offset = 0
    while True:
        text, end, over = source.log(job, offset)
        sys.stdout.write(text)
        sys.stdout.flush()
        if end == offset and (over or not follow):
            break
        if end == offset:
            time.sleep(LOOK_SECONDS)
        offset = end
    if not offset:
        typer.echo("this job has printed nothing", err=True)
