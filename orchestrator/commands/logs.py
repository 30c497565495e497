"""`coldframe logs JOB`: what a job printed."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
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
            pieces = list(_pieces(source, job, follow))
            print_json({"text": "".join(text for text, _, _ in pieces), "end": pieces[-1][1], "over": pieces[-1][2]})
            return
        said = False
        for text, _, _ in _pieces(source, job, follow):
            sys.stdout.write(text)
            sys.stdout.flush()
            said = said or bool(text)
        if not said:
            typer.echo("this job has printed nothing", err=True)


def _pieces(source: Source, job: str, follow: bool) -> Iterator[tuple[str, int, bool]]:
    """Yields what there is, piece by piece; what a job prints meanwhile only if it is followed."""
    from orchestrator.serving import joblogs

    offset = 0
    while True:
        text, end, over = source.log(job, offset)
        yield text, end, over
        if (end == offset and over) or (not follow and end - offset < joblogs.PIECE_BYTES):
            return
        if end == offset:
            time.sleep(LOOK_SECONDS)
        offset = end
