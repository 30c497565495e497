"""Whether U knows where V is wrong: AUC of U on held-out samples of NAS-Bench-201 (FNAS section 4.2).

    COLDFRAME_NASBENCH201=table.npz python benchmarks/uncertainty.py [--seeds 20] [--samples 2000] [--quick]

PPO with its defaults searches the table (CIFAR-10 validation accuracy after 12 epochs), and the critic learns from each
trained sample: once all of the samples are trained, and once up to half of a batch may be trusted. Held out
are architectures that never were: half of them drawn by the policy as it then stands, and as many drawn uniformly from
the space. The policy has long left most of that, so these are out of the distribution that V has learned of late. Each
AUC is that of U for one question:

    median     is |V - R| in the upper half of the held-out samples' errors?
    quartile   in the upper quarter?
    decile     in the upper tenth: what V knows least?
    outside    was the sample drawn uniformly, and not by the policy?
    uniform    as `median`, among the uniformly drawn samples alone: all of one distribution

As peers: the Hamming distance to the nearest trained architecture, asked for the decile; and |V - R| itself, asked for
`outside`, which nobody has before a training. Intervals are 95 % of the mean over the seeds.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats

from store.records.candidates import Architecture
from strategies.spaces.nasbench201 import BenchSpace
from trainers import table
from trainers.agent.appraiser import Appraiser
from trainers.agent.iteration import State, iterate
from trainers.agent.options import AgentOptions, CriticOptions
from trainers.agent.policy import Policy
from trainers.benchmark import Benchmark
from trainers.options import TabularOptions

TABLE = "COLDFRAME_NASBENCH201"
CHOICES = BenchSpace().choices
BATCH, HELD_OUT, DRAWS = 20, 200, 8000
COLUMNS = ("median", "quartile", "decile", "outside", "uniform", "distance", "error outside")
Genes = npt.NDArray[np.int16]
Floats = npt.NDArray[np.float64]


class Course(NamedTuple):
    """Where a search has come to: its state, and the architectures that were sampled."""

    state: State
    sampled: frozenset[tuple[int, ...]]


class Truth:
    """The table's accuracies, in [0, 1]."""

    def __init__(self, path: Path) -> None:
        options = TabularOptions(table=str(path), column="cifar10_val", epochs=12)
        benchmark = Benchmark(table.read(path), options, BenchSpace())
        self.genes = np.stack(np.meshgrid(*map(np.arange, CHOICES), indexing="ij"), -1).reshape(-1, len(CHOICES))
        name = BenchSpace().spec.name
        found = [benchmark.final(Architecture(space=name, genes=tuple(genes))) for genes in self.genes.tolist()]
        self._accuracies = np.array(found, dtype=np.float32)

    def __call__(self, genes: Genes) -> npt.NDArray[np.float32]:
        """Returns the accuracies of architectures, (n,)."""
        return self._accuracies[np.ravel_multi_index(tuple(genes.astype(np.int64).T), CHOICES)]


def main() -> int:
    """Runs the benchmark and prints its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--samples", type=int, default=2000, help="that the policy learns from in a search")
    parser.add_argument("--quick", action="store_true", help="3 seeds")
    options = parser.parse_args()
    if TABLE not in os.environ:
        print(f"set {TABLE} to the table of NAS-Bench-201", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    truth, seeds = Truth(Path(os.environ[TABLE])), 3 if options.quick else options.seeds
    print(f"torch {torch.__version__}, {seeds} seeds, {options.samples} samples each, defaults of the agent")
    print(f"{'trusted':<12}" + "".join(f"{name:>18}" for name in COLUMNS))
    for words, most_trusted in (("none", 0), ("up to half", BATCH // 2)):
        rows = [measure(truth, seed, options.samples, most_trusted) for seed in range(seeds)]
        cells = (interval(np.array([row[name] for row in rows])) for name in COLUMNS)
        print(f"{words:<12}" + "".join(f"{cell:>18}" for cell in cells), flush=True)
    return 0


def interval(values: Floats) -> str:
    """The mean and half of its 95 % interval, by Student's distribution."""
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():.3f} +- {half:.3f}"


def measure(truth: Truth, seed: int, samples: int, most_trusted: int = 0) -> dict[str, float]:
    """Searches, and returns the areas under the curves by name."""
    course = search(truth, seed, samples, most_trusted)
    genes, outside = held_out(truth, course, seed)
    critic = Appraiser(CHOICES, CriticOptions())
    critic.restore(course.state)
    values, uncertainties = critic.predict(genes)
    errors = np.abs(values - truth(genes))
    far = np.array([distance(one, course.sampled) for one in genes.tolist()])
    parts = {"median": 0.5, "quartile": 0.75, "decile": 0.9}
    wrong = {name: errors > np.quantile(errors, part) for name, part in parts.items()}
    among = errors[outside] > np.median(errors[outside])
    return {name: area(which, uncertainties) for name, which in wrong.items()} | {
        "outside": area(outside, uncertainties),
        "uniform": area(among, uncertainties[outside]),
        "distance": area(wrong["decile"], far),
        "error outside": area(outside, errors),
    }


def area(which: npt.NDArray[np.bool_], scores: npt.NDArray[Any]) -> float:
    """Returns the area under the curve: how often one of `which` has a higher score than one of the others."""
    found = stats.mannwhitneyu(scores[which], scores[~which], method="asymptotic").statistic
    return float(found / (which.sum() * (~which).sum()))


def search(truth: Truth, seed: int, samples: int, most_trusted: int) -> Course:
    """Learns from so many samples, of which at most so many of a batch are trusted."""
    asked: Mapping[str, Any] = {"choices": list(CHOICES), "agent": {}, "critic": {}}
    draw = {"draw": {"count": BATCH, "most_trusted": most_trusted}}
    state, answer = iterate(None, {**asked, **draw, "seed": seed})
    sampled: set[tuple[int, ...]] = set()
    for number in range(1, samples // BATCH + 1):
        known = ~answer["trusted"]
        sampled |= set(map(tuple, answer["genes"][known].tolist()))
        learn = {name: answer[name] for name in ("genes", "log_probabilities")}
        learn |= {"rewards": np.where(known, truth(answer["genes"]), answer["values"]), "trained": known}
        learn |= {"weights": np.ones(BATCH, np.float32)}
        state, answer = iterate(state, {**asked, **draw, "seed": seed + 1000 * number, "learn": learn})
    return Course(state, frozenset(sampled))


def held_out(truth: Truth, course: Course, seed: int) -> tuple[Genes, npt.NDArray[np.bool_]]:
    """Returns architectures that were never trained, each once, and which of them were drawn uniformly."""
    policy, rng = Policy(CHOICES, AgentOptions().hidden), np.random.default_rng(seed)
    policy.fill(course.state["policy"], "policy")
    drawn = dict.fromkeys(map(tuple, policy.sample(DRAWS, rng).genes.tolist()))
    inside = [one for one in drawn if one not in course.sampled][:HELD_OUT]
    uniform = map(tuple, rng.permutation(truth.genes).tolist())
    outside = [one for one in uniform if one not in course.sampled and one not in inside][: len(inside)]
    return np.array(inside + outside, dtype=np.int16), np.arange(2 * len(inside)) >= len(inside)


def distance(genes: list[int], sampled: frozenset[tuple[int, ...]]) -> int:
    """Returns how many tokens the nearest of the sampled architectures has otherwise."""
    return int((np.array(sorted(sampled)) != np.array(genes)).sum(axis=1).min())


if __name__ == "__main__":
    sys.exit(main())
