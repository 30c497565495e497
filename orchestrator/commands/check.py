"""`coldframe check`: reads a whole store again and says what is wrong with it. Changes nothing."""

from __future__ import annotations

import typer

from orchestrator.commands.common import JsonOption, StoreOption, guarded, print_json

PROBLEMS = 1


@guarded
def check(store: StoreOption, as_json: JsonOption = False) -> None:
    """Read a whole store again, every row, manifest and block, and report what is not as it was written."""
    from store.check import check as examine

    report = examine(store)
    if as_json:
        print_json(report.as_json())
    else:
        for line in report.lines():
            typer.echo(line)
    if report.problems:
        raise typer.Exit(PROBLEMS)
