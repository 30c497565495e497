"""Seconds for 100 simulated searches each of random search, regularised evolution and EcoNAS, on NAS-Bench-201's table.

    COLDFRAME_NASBENCH201=table.npz python benchmarks/simulated.py [--seeds 100] [--processes N] [--quick]

The searches are those of examples/simulated-*.toml, some 1,200 epochs each, in virtual time on four devices. They are
compared with the limit of issue 3 (two minutes for the first three), and with the least that they must do: answering
as many requests from the table without any search around them, measured in the same run and in one process.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

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


def answering(plan: Plan, requests: int) -> float:
    """Seconds for looking up so many trainings, all of different candidates, to the last epoch of the table."""
    simulator = Simulator(plan)
    time_ = simulator.time(0)
    run, rng = Run(time_, time_.spec, plan.space, plan.data), np.random.default_rng(0)
    candidates = [run.candidate(plan.space.random(rng)) for _ in range(requests)]
    started = time.perf_counter()
    for candidate in candidates:
        simulator.benchmark.train(candidate, simulator.benchmark.epochs)
    return time.perf_counter() - started


def measure(plans: Sequence[Plan], seeds: int, processes: int) -> list[float]:
    """Prints a line for each spec; returns the seconds that each took, its processes' start-up included."""
    taken = []
    print(f"{'search':31} {'seconds':>8} {'searches/s':>11} {'epochs':>7} {'regret, % points [95 %]':>26}")
    for plan in plans:
        started = time.perf_counter()
        (runs,) = many.simulate([plan], seeds, processes=processes)
        taken.append(time.perf_counter() - started)
        found = compare.summary(runs)
        mean, low, high = (100 * (value or 0.0) for value in found.regret)
        regret = f"{mean:.2f} [{low:.2f}, {high:.2f}]"
        print(f"{plan.spec.name:31} {taken[-1]:8.1f} {seeds / taken[-1]:11.1f} {found.epochs.mean:7.0f} {regret:>26}")
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
    total = sum(taken[:COUNTED])
    print(f"the first three: {total:.1f} s, {total / LIMIT_SECONDS:.2f} of the limit of {LIMIT_SECONDS:.0f} s")
    trainings = 100 * seeds
    least, spent = answering(plans[0], trainings), taken[0] * args.processes
    print(
        f"{trainings} answers alone: {least:.1f} s; {NAMES[0]} takes {spent / least:.1f} times as much processor time"
    )


if __name__ == "__main__":
    main()
