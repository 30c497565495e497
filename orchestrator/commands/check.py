"""`coldframe check`: reads a whole store again and says what is wrong with it. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from orchestrator.commands.common import (
    JsonOption,
    StoreOrUrl,
    TokenOption,
    UrlOption,
    guarded,
    print_json,
    print_lines,
    reaching,
)

if TYPE_CHECKING:
    from store.check import CheckReport

PROBLEMS = 1


@guarded
def check(
    store: StoreOrUrl = None, url: UrlOption = None, token_file: TokenOption = None, as_json: JsonOption = False
) -> None:
    """Read a whole store again and report what is wrong.

    Every row, manifest and block is compared with what was written. Nothing is changed.
    """
    from store.check import CheckReport

    with reaching(store, url, token_file) as source:
        found = source.check()
    report = CheckReport.model_validate(found)
    if as_json:
        print_json(found)
    else:
        print_lines(_lines(report))
    if not report.clean:
        raise typer.Exit(PROBLEMS)


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
