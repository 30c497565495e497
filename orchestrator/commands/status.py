"""`coldframe status`: how far a search is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.commands.common import JsonOption, StoreOption, guarded, print_json, reading

if TYPE_CHECKING:
    from orchestrator.views import History, SearchView


@guarded
def status(
    store: StoreOption,
    search: Annotated[str | None, typer.Argument(help="Name or id; the latest search if absent.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show how far a search is.

    That is: its best candidates, what was trained and what was spared, and what runs now.
    """
    from orchestrator.conclusion import conclusion
    from orchestrator.views import find, search_view

    with reading(store) as found:
        view = search_view(found.history, find.search(found.history, search), alive=found.alive)
        running = _running(found.history, view) if found.alive else []
    if as_json:
        print_json(_as_json(view, running))
        return
    for line in conclusion(view):
        typer.echo(line)
    for job in running:
        typer.echo(f"running: {job['words']} on {job['worker']}, epoch {job['epoch']}")


def _running(history: History, view: SearchView) -> list[dict[str, Any]]:
    return [
        {"job": job.id, "words": job.words, "worker": attempt.worker, "epoch": attempt.reached}
        for job, attempt in history.open_attempts()
        if view.id in job.searches
    ]


def _as_json(view: SearchView, running: list[dict[str, Any]]) -> dict[str, Any]:
    from orchestrator.summary import summary

    spent = view.costs
    return summary(view) | {
        "runs": view.runs,
        "epochs_saved_by_memo": spent.epochs_by_memo,
        "jobs_by_state": dict(spent.jobs_by_state),
        "running": running,
        "message": view.message,
    }
