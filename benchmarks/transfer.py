"""A critic carried over to a second task on NAS-Bench-201's real accuracies (FNAS Table 5, the critic's half).

    COLDFRAME_NASBENCH201=table.npz python benchmarks/transfer.py [--seeds 20] [--samples 1500] [--quick]

The first task is the validation accuracy after 12 epochs. The second is MnasNet's reward (FNAS Eq. 2, soft form) with
another column, the test accuracy, and a target of 40 M multiply-adds: other numbers, and other networks at the top.
FNAS without the pool (nothing is trained here) searches the first task; then it searches the second one with the first
one's critic, and without. As peers, without any critic: plain PPO. For each: trained samples until the mean over the
seeds of the best reward so far is within the top 1 % and the top 0.1 % of all 15,625 rewards, with 95 % bootstrap
intervals over the seeds. The critic's error |V - R| on the first 100 trained samples is told
too (Fig. 3a).
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np
from sample_efficiency import OFF, TABLE, Curve, needed

from orchestrator.simulate.search import Simulator
from orchestrator.spec import Plan, plan
from store.records.candidates import Architecture
from store.records.results import Result
from strategies import registry
from strategies.fnas.reward import Reward
from strategies.virtual import VirtualWorld

TARGET = 40e6
FIRST: dict[str, Any] = {"trainer": {"column": "cifar10_val"}}
SECOND: dict[str, Any] = {"trainer": {"column": "cifar10_test"}, "strategy": {"target": TARGET}}
METHODS = ("with the first task's critic", "with a new critic", "plain PPO")
EARLY = 100


class Found(NamedTuple):
    """What one search of the second task found: rewards of its trained samples in order, and the critic's errors."""

    rewards: Curve
    errors: Curve


def planned(task: dict[str, Any], samples: int, **options: Any) -> Plan:
    """Returns a search of a task."""
    strategy = {"name": "fnas", "epochs": 12, "knowledge_pool": False, "samples": samples}
    trainer = {"name": "tabular", "table": f"${TABLE}", "epochs": 12} | task["trainer"]
    strategy |= task.get("strategy", {}) | options
    raw = {"name": "transfer", "strategy": strategy, "space": {"name": "nasbench201"}, "trainer": trainer}
    return plan(raw, "transfer")


def run(task: dict[str, Any], samples: int, seed: int, world: VirtualWorld, **options: Any) -> Result:
    """Runs a search; what its computations leave behind stays in the world."""
    virtual = Simulator(planned(task, samples)).time(seed)  # knows of no earlier search, as it has no store: we do
    virtual.spec = planned(task, samples, **options).spec.model_copy(update={"seed": seed})
    virtual.world.computations = world.computations
    return virtual.search(registry.create(virtual.spec))


def trial(samples: int, seed: int) -> list[Found]:
    """Runs the first task, and the second with every method."""
    world = VirtualWorld()
    first = run(FIRST, samples, seed, world)
    options: list[dict[str, Any]] = [{"transfer": {"critic": first.state}}, {}, OFF]
    return [_found(run(SECOND, samples, seed, world, **one)) for one in options]


def _found(result: Result) -> Found:
    rows = [result.curves[f"sample_{name}"] for name in ("source", "reward", "error")]
    trained = [(reward, error) for source, reward, error in zip(*rows, strict=True) if source == "trained"]
    errors = [error for _, error in trained if error is not None][:EARLY]
    return Found(np.array([reward for reward, _ in trained]), np.array(errors))


def goals() -> dict[str, float]:
    """Returns the rewards that the best 1 % and 0.1 % of the table's architectures have at least."""
    simulator = Simulator(planned(SECOND, 1))
    choices, benchmark, reward = simulator.plan.space.choices, simulator.benchmark, Reward(TARGET)
    every = np.stack(np.unravel_index(np.arange(np.prod(choices)), choices), axis=1)
    architectures = [Architecture(space="nasbench201", genes=tuple(genes)) for genes in every.tolist()]
    rewards = [reward(benchmark.final(one), float(benchmark.size(one).multiply_adds)) or 0.0 for one in architectures]
    rewards.sort(reverse=True)
    return {"top 1 %": rewards[len(rewards) // 100 - 1], "top 0.1 %": rewards[len(rewards) // 1000 - 1]}


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--samples", type=int, default=1500, help="of each search, of whatever source")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--quick", action="store_true", help="4 seeds, 600 samples")
    args = parser.parse_args()
    if TABLE not in os.environ:
        print(f"not measured: {TABLE} names no table (docs/tables.md)", file=sys.stderr)
        return
    seeds, samples = (4, 600) if args.quick else (args.seeds, args.samples)
    with ProcessPoolExecutor(args.processes, mp_context=get_context("spawn")) as pool:
        trials = [each.result() for each in [pool.submit(trial, samples, seed) for seed in range(seeds)]]
    wanted = goals()
    print(f"{seeds} seeds, {samples} samples a search; rewards of the second task wanted:", end=" ")
    print(", ".join(f"{goal} {reward:.4f}" for goal, reward in wanted.items()))
    print(f"{'second task':30} {'top 1 %':>20} {'top 0.1 %':>20} {'trained':>8} {'best':>8} {'early |V - R|':>14}")
    for number, method in enumerate(METHODS):
        _line(method, [one[number] for one in trials], wanted)


def _line(method: str, runs: list[Found], wanted: dict[str, float]) -> None:
    rng = np.random.default_rng(0)
    best = [np.maximum.accumulate(one.rewards) for one in runs]
    cells = []
    for reward in wanted.values():
        found = needed(best, reward, rng)
        middle, low, high = ("never" if value == np.inf else f"{value:.0f}" for value in found)
        cells.append(f"{middle} [{low}, {high}]")
    trained, final = np.mean([len(one.rewards) for one in runs]), np.mean([curve[-1] for curve in best])
    errors = [one.errors.mean() for one in runs if one.errors.size]
    early = f"{np.mean(errors):.4f}" if errors else "-"
    print(f"{method:30} {cells[0]:>20} {cells[1]:>20} {trained:8.0f} {final:8.4f} {early:>14}")


if __name__ == "__main__":
    main()
