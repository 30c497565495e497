"""`coldframe list`: the searches in a store."""

from __future__ import annotations

import typer

from orchestrator.commands.common import (
    JsonOption,
    StoreOrUrl,
    TokenOption,
    UrlOption,
    guarded,
    print_json,
    print_table,
    reaching,
)


@guarded
def searches(
    store: StoreOrUrl = None, url: UrlOption = None, token_file: TokenOption = None, as_json: JsonOption = False
) -> None:
    """List the searches in a store, oldest first."""
    from orchestrator import rendering

    with reaching(store, url, token_file) as source:
        found = source.searches()
    if as_json:
        print_json(found)
    elif found:
        print_table(rendering.SEARCHES, rendering.search_rows(found))
    else:
        typer.echo("no searches yet")
