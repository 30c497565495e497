"""`coldframe export-history SEARCH`: every candidate, epoch and attempt, for notebooks and TensorBoard."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.commands.common import JsonOption, SearchArgument, StoreOption, guarded, print_json, reading

if TYPE_CHECKING:
    from orchestrator.views import History, SearchView


class Format(StrEnum):
    """What is written."""

    PARQUET = "parquet"
    CSV = "csv"
    TENSORBOARD = "tensorboard"


class What(StrEnum):
    """What a row is."""

    EPOCHS = "epochs"
    CANDIDATES = "candidates"
    ATTEMPTS = "attempts"


@guarded
def export_history(
    search: SearchArgument,
    store: StoreOption,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write, or TensorBoard's log directory.", show_default=False)
    ],
    format: Annotated[Format, typer.Option(help="Of the file.")] = Format.PARQUET,
    what: Annotated[What, typer.Option(help="What a row is; not for TensorBoard.")] = What.EPOCHS,
    curves: Annotated[
        bool, typer.Option("--curves", help="With TensorBoard, a run for each candidate too: there may be thousands.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a search's history for a notebook: a row for each candidate and epoch, each candidate, or each attempt.

    Works while the search runs; what is written is what is known by now.
    """
    from orchestrator.views import find, search_view

    with reading(store) as found:
        view = search_view(found.history, find.search(found.history, search), alive=found.alive)
        if format is Format.TENSORBOARD:
            written = _scalars(found.history, view, output, curves)
        else:
            written = _rows(found.history, view, output, format, what.value)
    if as_json:
        print_json(written)
    else:
        typer.echo(", ".join(f"{key}: {value}" for key, value in written.items()))


def _rows(history: History, view: SearchView, output: Path, format: Format, what: str) -> dict[str, Any]:
    from orchestrator.exporting import files, rows

    found = rows.rows(history, view, what)
    columns = list(found[0]) if found else rows.columns(what)
    output.parent.mkdir(parents=True, exist_ok=True)
    (files.parquet if format is Format.PARQUET else files.comma_separated)(found, columns, output)
    return {"output": str(output), "rows": len(found), "columns": len(columns)}


def _scalars(history: History, view: SearchView, output: Path, curves: bool) -> dict[str, Any]:
    from orchestrator.exporting.scalars import tensorboard

    written = tensorboard(history, view, output, candidates=curves)
    return {"output": str(output), "runs": len(written), "points": sum(written.values())}
