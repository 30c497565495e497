"""`coldframe priority SEARCH`: which searches go first, and how equal ones share."""

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

WeightOption = Annotated[float | None, typer.Option(help="Share of the devices among searches of one priority.")]
PriorityOption = Annotated[int | None, typer.Option(help="Searches with a higher one go first.")]


@guarded
def priority(
    search: SearchArgument,
    weight: WeightOption = None,
    priority: PriorityOption = None,
    store: StoreOrUrl = None,
    url: UrlOption = None,
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change a search's share of the devices.

    Workers go to the searches of the highest priority first; searches of the same one share them by weight.
    """
    if weight is None and priority is None:
        raise typer.BadParameter("give --weight, --priority or both")
    with reaching(store, url, token_file) as source:
        print_order(source.order("prioritise", search, weight=weight, priority=priority), as_json)
