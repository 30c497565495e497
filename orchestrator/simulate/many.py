"""Many simulated searches, in several processes: each child takes every n-th seed and prints a line for each search."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, get_args

from orchestrator.errors import OrchestratorError, SimulationFailed
from orchestrator.simulate.search import Pick, Simulated, Simulator
from orchestrator.spec import Plan, load
from store.errors import StoreError
from strategies.errors import StrategyError
from strategies.virtual import Order
from trainers.errors import TrainerError

Runs = list[list[Simulated]]
"""The searches of each spec, by seed."""


def simulate(
    plans: Sequence[Plan], seeds: int, *, devices: int = 4, order: Order = "daemon", processes: int = 1
) -> Runs:
    """Runs every spec with the seeds from its own on.

    Args:
        plans: the checked specs.
        seeds: how many searches of each.
        devices: of each search.
        order: which waiting job is next.
        processes: at most so many at once.

    Raises:
        SpecError: if a spec has another trainer than `tabular`.
        SimulationCrashed, StrategyError: as the strategy raises them.
        SimulationFailed: if another process ended before it was done.
    """
    simulators = [Simulator(plan, devices=devices, order=order) for plan in plans]
    stripes = min(processes, seeds)
    if stripes == 1:
        return [[one.run(one.plan.spec.seed + number) for number in range(seeds)] for one in simulators]
    options = ["--seeds", str(seeds), "--devices", str(devices), "--order", order, "--stripes", str(stripes)]
    found: Runs = [[] for _ in plans]
    for line in _children([*options, *(str(Path(plan.file).absolute()) for plan in plans)], stripes):
        number, *fields = json.loads(line)
        found[number].append(_decode(fields))
    return [sorted(runs, key=lambda run: run.seed) for runs in found]


def _children(arguments: Sequence[str], count: int) -> Iterator[str]:
    """Yields the lines that the children print, when all have ended; none is left behind."""
    with ExitStack() as stack:
        outputs: list[IO[str]] = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(count)]
        errors: list[IO[str]] = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(count)]
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "orchestrator.simulate.many", "--stripe", str(stripe), *arguments],
                stdout=outputs[stripe],
                stderr=errors[stripe],
            )
            for stripe in range(count)
        ]
        stack.callback(_end, started)
        for child, output, error in zip(started, outputs, errors, strict=True):
            if child.wait() != 0:
                error.seek(0)
                raise SimulationFailed(child.returncode, error.read())
            output.seek(0)
            yield from output


def _end(started: Sequence[subprocess.Popen[bytes]]) -> None:
    for child in started:
        if child.poll() is None:
            child.kill()
        child.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a stripe of the searches: a child of `simulate`."""
    parser = argparse.ArgumentParser(prog="python -m orchestrator.simulate.many", description=main.__doc__)
    parser.add_argument("specs", nargs="+", type=Path)
    parser.add_argument("--stripe", type=int, required=True)
    parser.add_argument("--stripes", type=int, required=True)
    parser.add_argument("--seeds", type=int, required=True)
    parser.add_argument("--devices", type=int, required=True)
    parser.add_argument("--order", choices=get_args(Order), required=True)
    given = parser.parse_args(arguments)
    try:
        return _run(given, os.getppid())
    except (OrchestratorError, StrategyError, StoreError, TrainerError) as error:
        sys.stderr.write(str(error))
        return 1


def _run(given: argparse.Namespace, parent: int) -> int:
    """Prints what the searches of a stripe come to; ends early if whoever wanted to know is gone."""
    for number, path in enumerate(given.specs):
        simulator = Simulator(load(path), devices=given.devices, order=given.order)
        for seed in range(given.stripe, given.seeds, given.stripes):
            if os.getppid() != parent:
                return 1
            found = simulator.run(simulator.plan.spec.seed + seed)
            sys.stdout.write(json.dumps([number, *found]) + "\n")
    return 0


def _decode(fields: Sequence[Any]) -> Simulated:
    found = Simulated(*fields)
    genes = None if found.genes is None else tuple(found.genes)
    return found._replace(picks=tuple(Pick(*pick) for pick in found.picks), genes=genes)


if __name__ == "__main__":
    sys.exit(main())
