"""`coldframe show`: everything about one search, job, checkpoint or candidate."""

from __future__ import annotations

import shutil
import sys
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

WIDE = 200
"""Columns that a table may have where it is not printed on a terminal."""
_APART = frozenset({"study", "last_words", "done", "total", "label"})
"""What has a place of its own, or is for `watch`."""


@guarded
def show(
    what: Annotated[str, typer.Argument(help="Name of a search, or the beginning of an id.", metavar="ID")],
    store: StoreOrUrl = None,
    url: UrlOption = None,
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a search, job, checkpoint or candidate."""
    from orchestrator import rendering

    with reaching(store, url, token_file) as source:
        value = source.show(what)
        below = [] if as_json else source.show_lines(value["id"], _width())
    if as_json:
        print_json(value)
        return
    print_lines(rendering.values({key: item for key, item in value.items() if key not in _APART}))
    print_lines(rendering.last_words(value.get("last_words", ())))
    print_lines(below)


def _width() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDE
