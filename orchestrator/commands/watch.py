"""`coldframe watch [SEARCH]`: a live view of a daemon, or of one of its searches."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.commands.common import INTERRUPTED, StoreOrUrl, TokenOption, UrlOption, guarded, reaching

if TYPE_CHECKING:
    from orchestrator.reaching import Source

FAILED = 1


@guarded
def watch(
    search: Annotated[str | None, typer.Argument(help="Name or id; all searches if absent.")] = None,
    store: StoreOrUrl = None,
    url: UrlOption = None,
    token_file: TokenOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each event as a line of JSON.")] = False,
) -> None:
    """Watch searches, workers and devices until Ctrl-C; of one search, until it has ended.

    Watching changes nothing: the searches go on without it. Where there is no terminal it prints lines.
    """
    with reaching(store, url, token_file) as source:
        only = None if search is None else str(source.status(search)["search"])
        watch_source(source, only, until_end=only is not None, as_json=as_json)


def watch_source(
    source: Source, only: str | None, *, until_end: bool, as_json: bool = False, after: int | None = None
) -> None:
    """Watches until Ctrl-C, or until the search has ended; exits with 1 if it failed."""
    from orchestrator import watching

    try:
        status = watching.watch(source, only, sys.stdout, until_end=until_end, as_json=as_json, after=after)
    except KeyboardInterrupt:
        typer.echo("no longer watching; the searches go on", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if status == "failed":
        raise typer.Exit(FAILED)
