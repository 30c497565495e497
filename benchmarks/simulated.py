"""Seconds for 100 simulated searches each of random search, regularised evolution and EcoNAS, on NAS-Bench-201's table.

    COLDFRAME_NASBENCH201=table.npz python benchmarks/simulated.py [--seeds 100] [--processes N] [--quick]

The searches are those of examples/simulated-*.toml, some 1,200 epochs each, in virtual time on four devices. They are
compared with the limit of issue 3 (two minutes for the first three), and with the least that they must do: answering
as many requests from the table without any search around them, measured in the same run and in one process.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from orchestrator.simulate import compare, many
from orchestrator.simulate.search import Simulator
from orchestrator.spec import Plan, load
from strategies.run import Run

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = ("simulated-random", "simulated-evolution", "simulated-econas", "simulated-econas-asynchronous")
COUNTED = 3
LIMIT_SECONDS = 120.0
TABLE = "COLDFRAME_NASBENCH201"


class Taken(NamedTuple):
    """Seconds on the clock, and of all processors."""

    wall: float
    processor: float


def answering(plan: Plan, requests: int) -> float:
    """Processor seconds for looking up so many trainings of different candidates, to the last epoch of the table."""
    simulator = Simulator(plan)
    time_ = simulator.time(0)
    run, rng = Run(time_, time_.spec, plan.space, plan.data), np.random.default_rng(0)
    candidates = [run.candidate(plan.space.random(rng)) for _ in range(requests)]
    started = processor_seconds()
    for candidate in candidates:
        simulator.benchmark.train(candidate, simulator.benchmark.epochs)
    return processor_seconds() - started


def processor_seconds() -> float:
    """Processor time of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def measure(plans: Sequence[Plan], seeds: int, processes: int) -> list[Taken]:
    """Prints a line for each spec; returns what each took, its processes' start-up included."""
    taken = []
    print(f"{'search':30} {'seconds':>8} {'processor s':>12} {'searches/s':>11} {'epochs':>7} {'regret, % points':>20}")
    for plan in plans:
        started, spent = time.perf_counter(), processor_seconds()
        (runs,) = many.simulate([plan], seeds, processes=processes)
        took = Taken(time.perf_counter() - started, processor_seconds() - spent)
        taken.append(took)
        found = compare.summary(runs)
        mean, low, high = (math.nan if value is None else 100 * value for value in found.regret)
        regret = f"{mean:.2f} [{low:.2f}, {high:.2f}]"
        columns = f"{took.wall:8.1f} {took.processor:12.1f} {seeds / took.wall:11.1f} {found.epochs.mean:7.0f}"
        print(f"{plan.spec.name:30} {columns} {regret:>20}")
    return taken


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--quick", action="store_true", help="a tenth of the seeds")
    args = parser.parse_args()
    if TABLE not in os.environ:
        print(f"not measured: {TABLE} names no table (docs/tables.md)", file=sys.stderr)
        return
    seeds = max(1, args.seeds // 10) if args.quick else args.seeds
    plans = [load(EXAMPLES / f"{name}.toml") for name in NAMES]
    print(f"{seeds} searches each, {args.processes} processes")
    taken = measure(plans, seeds, args.processes)
    total = sum(took.wall for took in taken[:COUNTED])
    print(f"the first three: {total:.1f} s, {total / LIMIT_SECONDS:.2f} of the limit of {LIMIT_SECONDS:.0f} s")
    trainings = 100 * seeds
    least = answering(plans[0], trainings)
    ratio = taken[0].processor / least
    print(f"{trainings} answers alone: {least:.1f} processor s; {NAMES[0]} takes {ratio:.1f} times as much")


if __name__ == "__main__":
    main()
