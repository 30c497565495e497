"""`coldframe simulate`: searches on a benchmark table, many times in virtual time."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.commands.common import JsonOption, guarded, print_json, print_table

if TYPE_CHECKING:
    from orchestrator.simulate.compare import Estimate, Summary


class Queue(StrEnum):
    """Which waiting job is next; as `strategies.virtual.Order`."""

    DAEMON = "daemon"
    FIFO = "fifo"
    LONGEST_FIRST = "longest_first"


@guarded
def simulate(
    specs: Annotated[list[Path], typer.Argument(help="Searches with the tabular trainer.", metavar="SPEC.toml...")],
    seeds: Annotated[int, typer.Option(min=1, max=1_000_000, help="Searches of each: seeds from the spec's on.")] = 100,
    devices: Annotated[int, typer.Option(min=1, max=10_000, help="Devices of each search.")] = 4,
    order: Annotated[Queue, typer.Option(help="Which waiting job is next.")] = Queue.DAEMON,
    processes: Annotated[int, typer.Option(min=1, max=256, help="Processes to simulate in.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Write CSV files and a plot into this folder.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Simulate searches on a benchmark table, and compare what they find.

    Nothing is trained and no store is needed. Accuracies of early epochs are the table's or the noise model's;
    true accuracy and regret are the table's own.
    """
    from orchestrator import spec
    from orchestrator.simulate import compare, many
    from orchestrator.simulate.search import Simulator

    plans = [spec.load(path) for path in specs]
    runs = many.simulate(plans, seeds, devices=devices, order=order.value, processes=processes)
    summaries = [compare.summary(some) for some in runs]
    simulators = [Simulator(plan) for plan in plans]
    if out is not None:
        from orchestrator.simulate import folder  # brings matplotlib

        files = folder.write(out, simulators, runs)
    if as_json:
        print_json([_plain(plan.spec.name, found) for plan, found in zip(plans, summaries, strict=True)])
        return
    print_table(_HEADINGS, [_row(plan.spec.name, found) for plan, found in zip(plans, summaries, strict=True)])
    best = ", ".join(sorted({f"{100 * one.benchmark.best:.2f} %" for one in simulators}))
    typer.echo(f"mean [95 % interval] over the searches; the best architecture of the table has {best}")
    for plan, found in zip(plans, summaries, strict=True):
        if found.named < found.searches:
            typer.echo(f"{plan.spec.name}: {_unnamed(found)}")
    if out is not None:
        typer.echo("written: " + ", ".join(str(out / name) for name in files))


def _unnamed(found: Summary) -> str:
    """How many searches found nothing, which no accuracy and no regret tells, and the first failure."""
    missing = found.searches - found.named
    why = "" if found.failure is None else f"; first failure: {found.failure}"
    return f"{missing} of {found.searches} searches named no network, and count in no accuracy or regret{why}"


_HEADINGS = ["search", "searches", "true accuracy, %", "regret, % points", "epochs", "hours", "idle, %"]


def _row(name: str, found: Summary) -> list[str]:
    return [
        name,
        str(found.searches),
        _cell(found.true_accuracy, 100, 2),
        _cell(found.regret, 100, 2),
        _cell(found.epochs, 1, 0),
        _cell(found.hours, 1, 1),
        _cell(found.idle_share, 100, 1),
    ]


def _cell(found: Estimate, factor: float, digits: int) -> str:
    if found.mean is None:
        return "-"
    mean = f"{factor * found.mean:.{digits}f}"
    if found.low is None or found.high is None or found.low == found.high:
        return mean
    return f"{mean} [{factor * found.low:.{digits}f}, {factor * found.high:.{digits}f}]"


def _plain(name: str, found: Summary) -> dict[str, Any]:
    from orchestrator.simulate.compare import Estimate

    return {"name": name} | {k: v._asdict() if isinstance(v, Estimate) else v for k, v in found._asdict().items()}
