"""`coldframe list`: the searches in a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from orchestrator.commands.common import JsonOption, StoreOption, clock, guarded, print_json, print_table, reading

if TYPE_CHECKING:
    from orchestrator.views import SearchView

HEADINGS = ["search", "name", "status", "best", "epochs trained", "opened"]


@guarded
def searches(store: StoreOption, as_json: JsonOption = False) -> None:
    """List the searches in a store, oldest first."""
    from orchestrator.views import search_view

    with reading(store) as found:
        views = [search_view(found.history, search, alive=found.alive) for search in found.history.searches]
    if as_json:
        print_json([_as_json(view) for view in views])
    elif views:
        print_table(HEADINGS, [_cells(view) for view in views])
    else:
        typer.echo("no searches yet")


def _as_json(view: SearchView) -> dict[str, Any]:
    from orchestrator.views import totals

    return {
        "search": view.id,
        "name": view.name,
        "status": view.status,
        "opened": view.opened,
        "best_accuracy": view.best[0].accuracy if view.best else None,
        "best_test_accuracy": view.best[0].test_accuracy if view.best else None,
        "totals": totals(view),
    }


def _cells(view: SearchView) -> list[str]:
    from orchestrator import wording

    best = wording.score(view.best[0] if view.best else None)
    if view.study is not None:
        best = view.study.recommended or "-"
    return [view.id[:12], view.name, view.status, best, str(view.costs.epochs_trained), clock(view.opened)]
