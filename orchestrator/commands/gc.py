"""`coldframe gc`: removes what nothing needs any more. Without `--delete` it only says what that would be."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.commands.common import JsonOption, StoreOption, guarded, print_json

DAY = 86_400.0


@guarded
def gc(
    store: StoreOption,
    delete: Annotated[bool, typer.Option("--delete", help="Delete; without it, only say what would be.")] = False,
    grace: Annotated[float, typer.Option(min=0, help="Keep what is younger than so many seconds.")] = DAY,
    as_json: JsonOption = False,
) -> None:
    """Find what no search needs any more, and delete it if asked to."""
    from store.gc import collect

    report = collect(store, dry_run=not delete, grace_seconds=grace)
    if as_json:
        print_json(report.as_json())
    else:
        for line in report.lines():
            typer.echo(line)
