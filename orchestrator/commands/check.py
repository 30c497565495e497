"""`coldframe check`: reads a whole store again and says what is wrong with it. Changes nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from orchestrator.commands.common import JsonOption, StoreOption, guarded, print_json

if TYPE_CHECKING:
    from store.check import CheckReport

PROBLEMS = 1


@guarded
def check(store: StoreOption, as_json: JsonOption = False) -> None:
    """Read a whole store again and report what is wrong.

    Every row, manifest and block is compared with what was written. Nothing is changed.
    """
    from store.check import check as examine

    report = examine(store, progress=_progress if sys.stderr.isatty() else None)
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        for line in _lines(report):
            typer.echo(line)
    if not report.clean:
        raise typer.Exit(PROBLEMS)


def _progress(done: int, total: int) -> None:
    sys.stderr.write(f"\r{done} of {total}" + "\n" * (done == total))
    sys.stderr.flush()


def _lines(report: CheckReport) -> Iterator[str]:
    from orchestrator.wording import plural, size

    blocks = f"{plural(report.blocks, 'block')} ({size(report.bytes)}) in {plural(report.packs, 'pack')}"
    yield f"read {plural(report.rows, 'journal row')}, {plural(report.manifests, 'manifest')}, {blocks}"
    yield f"{plural(report.checkpoints, 'checkpoint')} that the journal needs, complete"
    if report.quarantined_packs or report.quarantined_checkpoints:
        packs, checkpoints = report.quarantined_packs, report.quarantined_checkpoints
        yield f"set aside earlier: {plural(packs, 'pack')}, {plural(checkpoints, 'checkpoint')}"
    for problem in report.problems:
        yield f"{problem.kind} {problem.where}: {problem.message}"
    yield "clean" if report.clean else plural(len(report.problems), "problem")
