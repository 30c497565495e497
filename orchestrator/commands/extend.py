"""`coldframe extend SEARCH --set KEY=VALUE`: raises a total."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.commands.common import (
    JsonOption,
    SearchArgument,
    StoreOrUrl,
    TokenOption,
    UrlOption,
    guarded,
    print_order,
    reaching,
)


@guarded
def extend(
    search: SearchArgument,
    totals: Annotated[list[str], typer.Option("--set", help="A total, e.g. cycles=200.", metavar="KEY=VALUE")],
    store: StoreOrUrl = None,
    url: UrlOption = None,
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Raise a total of a search's strategy, e.g. its cycles.

    A finished search goes on then. Totals can only be raised.
    """
    wanted = dict(_total(text) for text in totals)
    with reaching(store, url, token_file) as source:
        print_order(source.order("extend", search, totals=wanted), as_json)


def _total(text: str) -> tuple[str, int]:
    key, _, value = text.partition("=")
    try:
        return key.strip().removeprefix("strategy."), int(value)
    except ValueError:
        raise typer.BadParameter(f"{text!r}: expected KEY=VALUE with a whole number, e.g. cycles=200") from None
