"""`coldframe status`: how far a search is."""

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
def status(
    search: Annotated[str | None, typer.Argument(help="Name or id; the latest search if absent.")] = None,
    store: StoreOrUrl = None,
    url: UrlOption = None,
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how far a search is.

    That is: its best candidates, what was trained and what was spared, and what runs now.
    """
    with reaching(store, url, token_file) as source:
        if as_json:
            print_json(source.status(search))
        else:
            print_lines(source.status_lines(search))
