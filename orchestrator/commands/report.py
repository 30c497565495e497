"""`coldframe report`: a folder with a page that opens by itself, plots, tables and the best cells."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.commands.common import JsonOption, StoreOption, guarded, print_json, reading


@guarded
def report(
    store: StoreOption,
    search: Annotated[str | None, typer.Argument(help="Name or id; the latest search if absent.")] = None,
    output: Annotated[Path, typer.Option(help="Folder to write into; made if it is not there.")] = Path("report"),
    as_json: JsonOption = False,
) -> None:
    """Write a report of a search, finished or not."""
    from orchestrator.report import write
    from orchestrator.views import find

    with reading(store) as found:
        files = write(found.history, find.search(found.history, search), output, alive=found.alive)
    if as_json:
        print_json({"report": str(files[0]), "files": [str(file) for file in files]})
    else:
        typer.echo(f"{files[0]} ({len(files)} files)")
