"""Trained samples that a search needs on NAS-Bench-201's real accuracies (FNAS Table 4): PPO, its three helpers, peers.

    COLDFRAME_NASBENCH201=table.npz python benchmarks/sample_efficiency.py [--seeds 50] [--samples 4000] [--quick]

Rewards are the table's CIFAR-10 validation accuracies after 12 epochs; every search is a real one (`strategies`, the
agent of `trainers.agent`), run in virtual time. For each method: how many trained ("activated") samples it takes until
the mean over the seeds of the best accuracy found so far is within the top 1 % and the top 0.1 % of all 15,625, and
within how many of them the agent itself samples so well (mean true accuracy of the last 20 samples that it drew anew,
trained or trusted). Intervals are 95 % bootstrap intervals over the seeds. A resampled architecture counts again, as in
the papers; `distinct` counts every architecture once, which is what coldframe trains.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from orchestrator.simulate.search import Simulator
from orchestrator.spec import Plan, plan
from store.records import arrays
from store.records.candidates import Architecture
from store.records.requests import Compute
from store.records.results import Result
from strategies import registry
from strategies.virtual import VirtualTime
from trainers.benchmark import Benchmark

TABLE = "COLDFRAME_NASBENCH201"
Curve = npt.NDArray[np.float64]
AGENT: dict[str, Any] = {"name": "fnas", "epochs": 12, "knowledge_pool": False}
"""The knowledge pool has nothing to give where nothing is trained."""
OFF: dict[str, Any] = {"uncertainty_critic": False, "experience_buffer": False}
METHODS: dict[str, dict[str, Any]] = {
    "random search": {"name": "random", "epochs": 12},
    "regularised evolution": {"name": "regularised-evolution", "population": 100, "sample": 25, "epochs": 12},
    "PPO (MNAS)": AGENT | OFF,
    "PPO + UAC": AGENT | OFF | {"uncertainty_critic": True},
    "PPO + AEB": AGENT | OFF | {"experience_buffer": True},
    "FNAS (UAC + AEB)": AGENT | {"uncertainty_critic": True, "experience_buffer": True},
}
BUDGETS = {"random": "candidates", "regularised-evolution": "models", "fnas": "samples"}
WINDOW, RESAMPLES = 20, 1000


class Trained(NamedTuple):
    """The trained samples of one search in order.

    Attributes:
        accuracies: of each.
        new: whether it was the first of its architecture.
        recent: mean true accuracy of the last 20 new draws when it was the last of the trained ones; 0 before there are
            so many.
    """

    accuracies: Curve
    new: npt.NDArray[np.bool_]
    recent: Curve

    @property
    def best(self) -> Curve:
        """The best accuracy of the first 1, 2, ... samples."""
        return np.maximum.accumulate(self.accuracies)


def planned(name: str, strategy: dict[str, Any], samples: int, extra: dict[str, Any]) -> Plan:
    """Returns the search of a method."""
    strategy = strategy | {BUDGETS[strategy["name"]]: samples} | (extra if strategy["name"] == "fnas" else {})
    trainer = {"name": "tabular", "table": f"${TABLE}", "column": "cifar10_val", "epochs": 12}
    raw = {"name": name, "strategy": strategy, "space": {"name": "nasbench201"}, "trainer": trainer}
    return plan(raw, name)


def search(name: str, samples: int, seed: int, extra: dict[str, Any]) -> Trained:
    """Runs one search."""
    simulator = Simulator(planned(name, METHODS[name], samples, extra))
    virtual = simulator.time(seed)
    result = virtual.search(registry.create(virtual.spec))
    order = list(_order(result))
    by_index = {one.index: one for one in result.history}
    accuracies = [by_index[index].accuracy or 0.0 for index in order]
    seen: set[str] = set()
    new = [not (by_index[i].candidate in seen or seen.add(by_index[i].candidate)) for i in order]
    drawn = list(_drawn(virtual, simulator.benchmark)) or [(accuracy, True) for accuracy in accuracies]
    return Trained(np.array(accuracies), np.array(new), _recent(drawn)[: len(accuracies)])


def _drawn(virtual: VirtualTime, benchmark: Benchmark) -> Iterator[tuple[float, bool]]:
    """Yields the true accuracy of each architecture that an agent drew, and whether it was trained, not trusted."""
    space = virtual.spec.space.name
    for _, request in sorted(virtual.world.requests.items()):
        if not isinstance(request, Compute):
            continue
        answer = arrays.unpack(virtual.world.outcomes[request.key].value)
        for genes, trusted in zip(answer["genes"], answer["trusted"], strict=True):
            yield benchmark.final(Architecture(space=space, genes=tuple(genes.tolist()))), not trusted


def _order(result: Result) -> Iterator[int]:
    """Yields the individuals of the trained samples in the order in which they were drawn."""
    if "sample_source" not in result.curves:
        yield from sorted(one.index for one in result.history)
        return
    for source, individual in zip(result.curves["sample_source"], result.curves["sample_individual"], strict=True):
        if source == "trained":
            yield individual


def needed(curves: Sequence[Curve], goal: float, rng: np.random.Generator) -> tuple[float, float, float]:
    """Returns the samples after which the mean of the curves reaches a goal, with a bootstrap interval; inf: never."""
    length = min(map(len, curves))
    table = np.stack([curve[:length] for curve in curves])
    draws = rng.integers(len(table), size=(RESAMPLES, len(table)))
    found = [_first(table.mean(0), goal), *(_first(table[rows].mean(0), goal) for rows in draws)]
    low, high = np.quantile(found[1:], [0.025, 0.975], method="nearest")
    return found[0], float(low), float(high)


def _first(curve: Curve, goal: float) -> float:
    reached = np.flatnonzero(curve >= goal)
    return float(reached[0] + 1) if reached.size else np.inf


def _recent(drawn: Sequence[tuple[float, bool]]) -> Curve:
    """Returns the mean accuracy of the last draws, at each that was trained."""
    sums = np.cumsum([0.0, *(accuracy for accuracy, _ in drawn)])
    ends = np.array([place for place, (_, trained) in enumerate(drawn, 1) if trained])
    return np.where(ends >= WINDOW, (sums[ends] - sums[np.maximum(ends - WINDOW, 0)]) / WINDOW, 0.0)


def report(name: str, runs: Sequence[Trained], goals: dict[str, float], seconds: float) -> dict[str, Any]:
    """Prints a method's line for every goal."""
    rng, row = np.random.default_rng(0), dict[str, Any]()
    for goal, accuracy in goals.items():
        row[goal] = needed([run.best for run in runs], accuracy, rng)
        row[f"{goal}, distinct"] = needed([run.best[run.new] for run in runs], accuracy, rng)
        row[f"{goal}, sampled"] = needed([run.recent for run in runs], accuracy, rng)
    for goal in goals:
        cells = [_cell(row[key]) for key in (goal, f"{goal}, distinct", f"{goal}, sampled")]
        print(f"{name:24} {goal:>9} {cells[0]:>22} {cells[1]:>22} {cells[2]:>22}", flush=True)
    final = np.array([run.best[-1] for run in runs])
    trained = np.mean([len(run.accuracies) for run in runs])
    tail = np.mean([run.recent[-1] for run in runs])
    words = f"best {100 * final.mean():.2f} %, last draws {100 * tail:.2f} %; {seconds:.0f} s"
    print(f"{'':24} {trained:.0f} trained; {words}")
    return row | {"final": final.mean(), "trained": trained, "seeds": len(runs)}


def _cell(found: tuple[float, float, float]) -> str:
    middle, low, high = ("never" if value == np.inf else f"{value:.0f}" for value in found)
    return f"{middle} [{low}, {high}]"


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--samples", type=int, default=4000, help="of each search, of whatever source")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--options", type=json.loads, default={}, help="JSON: further options of the agent's searches")
    parser.add_argument("--quick", action="store_true", help="5 seeds, 1,000 samples")
    args = parser.parse_args()
    if TABLE not in os.environ:
        print(f"not measured: {TABLE} names no table (docs/tables.md)", file=sys.stderr)
        return
    seeds, samples = (5, 1000) if args.quick else (args.seeds, args.samples)
    goals = _goals()
    print(f"{seeds} seeds, {samples} samples, {args.options or 'the default options'}; best of the table and goals, %:")
    print(", ".join(f"{goal} {100 * accuracy:.2f}" for goal, accuracy in goals.items()))
    print(f"{'':24} {'goal':>9} {'trained':>22} {'distinct':>22} {'as sampled':>22}")
    with ProcessPoolExecutor(args.processes, mp_context=get_context("spawn")) as pool:
        for name in args.methods:
            started = time.perf_counter()
            asked = [pool.submit(search, name, samples, seed, args.options) for seed in range(seeds)]
            report(name, [each.result() for each in asked], goals, time.perf_counter() - started)


def _goals() -> dict[str, float]:
    """Returns the accuracies that the best 1 % and 0.1 % of the table's architectures have at least."""
    simulator = Simulator(planned("goals", METHODS["random search"], 1, {}))
    space = simulator.plan.space
    every = np.stack(np.unravel_index(np.arange(np.prod(space.choices)), space.choices), axis=1)
    spec = space.random(np.random.default_rng(0))
    finals = sorted(
        (simulator.benchmark.final(spec.model_copy(update={"genes": tuple(genes)})) for genes in every.tolist()),
        reverse=True,
    )
    return {"top 1 %": finals[len(finals) // 100 - 1], "top 0.1 %": finals[len(finals) // 1000 - 1]}


if __name__ == "__main__":
    main()
