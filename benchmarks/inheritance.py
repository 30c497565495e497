"""Block inheritance with real training: do inherited weights give ranks and accuracies sooner (FNAS Fig. 3b, 3c)?

    COLDFRAME_CIFAR10=cifar10.npz python benchmarks/inheritance.py [--folder DIR] [--networks 30] [--sources 40]

CIFAR-10 is split by class into two tasks that share no class. Random networks of NAS-Bench-201 are trained on the odd
classes and fill the knowledge pool. Other random networks are trained on the even classes: for three times as long,
which gives the ranks that count, and then from random weights and from the pool's blocks, for 12 epochs and for 6.
For each epoch: Spearman's rho with the ranks that count, and mean validation accuracy. Intervals are 95 % bootstrap
intervals over the networks; both starts are resampled together.

With COLDFRAME_NASBENCH201 the same is told of the ranks in the benchmark's table (full size, all ten classes, other
seeds). It is the fairer judge: the ranks that count come from trainings that share seeds, and so initial weights and
the order of images, with those from random weights and not with those from the pool.

`--ablations` asks where a gain comes from, or why there is none: trainings of half the length that inherit equal keys
alone (stem, reductions and last normalisation, no cell), and such that inherit all of a network from the same
architecture trained on the odd classes, which is what a pool could give at best.

Every search is run by coldframe in one store: started again, the command goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from orchestrator import foreground, live, spec
from store.checkpoints import CheckpointStore
from store.opening import Store
from store.records.candidates import Architecture, Named
from store.records.events import SearchFinished, WeightsMatched
from store.records.knowledge import Inheritance
from store.records.results import Result
from strategies.proxy_study.statistics import RESAMPLES, Pair, resampled, spearman
from strategies.spaces import registry as spaces

DATA, TABLE = "COLDFRAME_CIFAR10", "COLDFRAME_NASBENCH201"
COLUMN = "cifar10_val"
TASKS = {"odd": 1, "even": 0}
PROXY = {"channels": 8, "resolution": 8, "cells": 5}
RECIPE: dict[str, Any] = {
    "batch_size": 128,
    "learning_rate": 0.1,
    "minimum_learning_rate": 0.0,
    "nesterov": True,
    "weight_decay": 5e-4,
}
SEED, SOURCE_SEED = 7, 8
"""Of what is drawn and trained on the even classes, and on the odd ones."""
BINS = 20
Floats = npt.NDArray[np.float64]


class Learning(NamedTuple):
    """What one search learnt.

    Attributes:
        architectures: in the order in which they were drawn.
        accuracies: (networks, epochs), validation accuracy after each epoch; NaN for a network that failed.
        answers: what the knowledge pool had for each network, if it was asked.
    """

    architectures: tuple[Architecture, ...]
    accuracies: Floats
    answers: tuple[Inheritance, ...]


class Experiment:
    """The searches, in one store.

    Args:
        folder: for the store and the two data sets; what is there already is taken as it is.
        networks: how many are trained on the even classes.
        sources: how many are trained on the odd classes.
        epochs: of a training; the ranks that count come from three times as many.
        workers: processes that train.
        ablations: whether to run those too.
    """

    def __init__(
        self, folder: Path, *, networks: int, sources: int, epochs: int, workers: int, ablations: bool = False
    ) -> None:
        self._folder, self._store, self._workers = folder, folder / "store", workers
        self._networks, self._sources, self._epochs, self._ablations = networks, sources, epochs, ablations

    def split(self, images: Path) -> None:
        """Writes the two tasks: the odd and the even classes, each renumbered from 0."""
        with np.load(images, allow_pickle=False) as whole:
            arrays = {name: whole[name] for name in ("x_train", "y_train", "x_test", "y_test")}
        for task, parity in TASKS.items():
            path = self._folder / f"cifar10-{task}.npz"
            if path.exists():
                continue
            part = dict[str, Any]()
            for half in ("train", "test"):
                labels = arrays[f"y_{half}"]
                chosen = labels % 2 == parity
                part |= {f"x_{half}": arrays[f"x_{half}"][chosen]}
                part |= {f"y_{half}": (labels[chosen] // 2).astype(labels.dtype)}
            np.savez(path, **part)

    def run(self) -> dict[str, Learning]:
        """Runs all searches that are not finished yet; returns what each learnt."""
        epochs, half = self._epochs, max(1, self._epochs // 2)
        source = self._search("source", "odd", self._sources, epochs, SOURCE_SEED, contribute=True)
        pool = {"inherit_from": [source]}
        plans: dict[str, tuple[int, dict[str, Any]]] = {
            "truth": (3 * epochs, {}),
            "random": (epochs, {}),
            "inherited": (epochs, pool),
            "random-half": (half, {}),
            "inherited-half": (half, pool),
        }
        if self._ablations:
            same = self._search("source-same", "odd", self._networks, epochs, SEED, contribute=True)
            plans["equal-keys-half"] = (half, pool | {"similarity": 1.0})
            plans["same-networks-half"] = (half, {"inherit_from": [same]})
        return {
            name: self._learning(self._search(name, "even", self._networks, length, SEED, **options))
            for name, (length, options) in plans.items()
        }

    def _search(self, name: str, task: str, candidates: int, epochs: int, seed: int, **options: Any) -> str:
        """Runs one search to its end; returns its id."""
        raw = {
            "name": name,
            "seed": seed,
            "strategy": {"name": "random", "candidates": candidates, "epochs": epochs, **options},
            "space": {"name": "nasbench201"},
            "trainer": {"name": "cell"},
            "data": {"name": "npz", "path": str(self._folder / f"cifar10-{task}.npz")},
            "proxy": PROXY,
            "recipe": RECIPE,
            "resources": {"workers": self._workers, "threads": 1},
        }
        watcher = live.observer(sys.stderr)
        try:
            end = foreground.run_plan(spec.plan(raw, name), self._store, observer=watcher)
        finally:
            watcher.close()
        if end.status != "finished":
            sys.exit(f"{name}: interrupted; the same command goes on from here")
        return end.search

    def _learning(self, search: str) -> Learning:
        with Store.open(self._store, write=False) as opened:
            rows = list(opened.journal.rows(types=["search_finished", "weights_matched"], search=search))
            ended = [row.event for row in rows if isinstance(row.event, SearchFinished)][-1]
            answers = {row.event.call: row.event.inheritance for row in rows if isinstance(row.event, WeightsMatched)}
            history = sorted(Result.model_validate(ended.result).history, key=lambda one: one.index)
            curves = [_curve(opened.checkpoints, one.checkpoint) for one in history]
        length = max(len(curve) for curve in curves)
        accuracies = np.array([curve if len(curve) == length else [np.nan] * length for curve in curves])
        ordered = tuple(answers[call] for call in sorted(answers))
        return Learning(tuple(one.architecture for one in history), accuracies, ordered)


class Judged(NamedTuple):
    """Two starts beside the ranks that count: arrays (resamples + 1, epochs), the networks as they are first."""

    random: Floats
    inherited: Floats


def judged(truth: Floats, random: Floats, inherited: Floats) -> Judged:
    """Returns rho at every epoch; both starts are resampled alike."""
    return Judged(*(np.array([_rhos(truth, one[:, e]) for e in range(one.shape[1])]).T for one in (random, inherited)))


def means(random: Floats, inherited: Floats) -> Judged:
    """Returns the mean accuracy at every epoch, of the networks and of their resamples."""
    draws = np.random.default_rng(0).integers(0, len(random), (RESAMPLES, len(random)))
    return Judged(*(np.vstack([one.mean(axis=0), one[draws].mean(axis=1)]) for one in (random, inherited)))


def epochs_to(curves: Floats, targets: Floats) -> Floats:
    """Returns for each curve the epochs until it reaches its target, between two epochs by interpolation.

    Args:
        curves: (curves, epochs); a curve starts at epoch 1, and does not count as having been anywhere before it.
        targets: (curves,).

    Returns:
        (curves,), infinite where the target is never reached.
    """
    found = np.full(len(curves), np.inf)
    for number, (curve, target) in enumerate(zip(curves, targets, strict=True)):
        reached = np.flatnonzero(curve >= target)
        if len(reached):
            at = int(reached[0])
            before = curve[at - 1] if at else None
            found[number] = at + 1 if before is None else at + (target - before) / (curve[at] - before)
    return found


def _rhos(truth: Floats, accuracies: Floats) -> Floats:
    pair = Pair(truth, accuracies)
    return np.array([spearman(pair) or 0.0, *resampled(pair, [0])])


def _curve(checkpoints: CheckpointStore, checkpoint: str | None) -> list[float]:
    if checkpoint is None:
        return []
    return [one.validation_accuracy or 0.0 for one in checkpoints.manifest(checkpoint).history]


def _between(values: Floats, form: str) -> str:
    known = values[1:][~np.isnan(values[1:])]  # rho of a resample in which all networks are alike is not defined
    low, high = np.quantile(known, [0.025, 0.975], method="nearest")
    return f"{values[0]:{form}} ({low:{form}} to {high:{form}})"


def report(found: dict[str, Learning], table: str | None) -> Iterator[str]:
    """Yields the figures as lines of text."""
    sound = ~np.any([np.isnan(one.accuracies).any(axis=1) for one in found.values()], axis=0)
    accuracies = {name: one.accuracies[sound] for name, one in found.items()}
    truth = accuracies["truth"][:, -1]
    yield f"networks: {sound.sum()} of {len(sound)}; ranks that count: after {accuracies['truth'].shape[1]} epochs"
    judges = {"the ranks that count": truth}
    if table is not None:
        judges["the benchmark's table"] = _in_table(table, found["truth"].architectures)[sound]
        agreement = _rhos(judges["the benchmark's table"], truth)
        yield f"rho of the two judges with each other: {_between(agreement, '.3f')}"
    for name, judge in judges.items():
        yield from _ranks(name, judge, accuracies)
    yield from _accuracies(accuracies)
    yield from _pool(found["inherited"].answers)
    for name, judge in judges.items():
        yield from _ablations(f"rho with {name}", judge, accuracies)
    yield from _ablations("mean accuracy", None, accuracies)


def _ranks(name: str, judge: Floats, accuracies: dict[str, Floats]) -> Iterator[str]:
    yield ""
    yield f"rho with {name}: epoch, random weights, inherited, inherited less random"
    whole = judged(judge, accuracies["random"], accuracies["inherited"])
    yield from _rows(whole, ".3f")
    yield from _saved("rho", whole)
    half = judged(judge, accuracies["random-half"], accuracies["inherited-half"])
    yield from _half("rho", whole, half, ".3f")


def _ablations(name: str, judge: Floats | None, accuracies: dict[str, Floats]) -> Iterator[str]:
    """Yields how the trainings of half the length end, beside those from random weights."""
    for other in ("inherited-half", "equal-keys-half", "same-networks-half"):
        if other in accuracies and "same-networks-half" in accuracies:
            pair = accuracies["random-half"], accuracies[other]
            curves = means(*pair) if judge is None else judged(judge, *pair)
            gain = curves.inherited[:, -1] - curves.random[:, -1]
            yield f"{name}, {other} less random-half: {_between(gain, '+.4f' if judge is None else '+.3f')}"


def _accuracies(accuracies: dict[str, Floats]) -> Iterator[str]:
    yield ""
    yield "mean validation accuracy: epoch, random weights, inherited, inherited less random"
    whole = means(accuracies["random"], accuracies["inherited"])
    yield from _rows(whole, ".4f")
    yield from _saved("mean accuracy", whole)
    yield from _half("mean accuracy", whole, means(accuracies["random-half"], accuracies["inherited-half"]), ".4f")


def _rows(curves: Judged, form: str) -> Iterator[str]:
    for epoch in range(curves.random.shape[1]):
        random, inherited = curves.random[:, epoch], curves.inherited[:, epoch]
        cells = (_between(random, form), _between(inherited, form), _between(inherited - random, "+" + form))
        yield f"{epoch + 1:>5}  " + "  ".join(f"{cell:<26}" for cell in cells).rstrip()


def _saved(what: str, curves: Judged) -> Iterator[str]:
    """Yields how soon inherited weights reach what random weights have at some of the epochs."""
    epochs = curves.random.shape[1]
    for epoch in sorted({max(1, epochs // 4), max(1, epochs // 2), max(1, 3 * epochs // 4), epochs}):
        targets = curves.random[:, epoch - 1]
        with np.errstate(invalid="ignore"):
            ratio = epochs_to(curves.random, targets) / epochs_to(curves.inherited, targets)
        reached = epochs_to(curves.inherited[:1], targets[:1])[0]
        yield (
            f"{what} of random weights at epoch {epoch} ({targets[0]:.3f}): inherited reach it at epoch {reached:.1f}, "
            f"{_between(ratio, '.2f')} times as soon as random weights first do"
        )


def _half(what: str, whole: Judged, half: Judged, form: str) -> Iterator[str]:
    """Yields where whole trainings of half the length end, each with its own schedule: the test of a speed-up of 2."""
    epochs, fewer = whole.random.shape[1], half.random.shape[1]
    ends = {
        f"random, {fewer} epochs": half.random[:, -1],
        f"inherited, {fewer} epochs": half.inherited[:, -1],
        f"random, {epochs} epochs": whole.random[:, -1],
        f"inherited, {epochs} epochs": whole.inherited[:, -1],
    }
    yield f"{what} at the end: " + "; ".join(f"{name} {_between(values, form)}" for name, values in ends.items())
    gain = half.inherited[:, -1] - whole.random[:, -1]
    yield f"  inherited with {fewer} epochs less random with {epochs}: {_between(gain, '+' + form)}"


def _pool(answers: Sequence[Inheritance]) -> Iterator[str]:
    blocks = [block for one in answers for block in one.blocks]
    counts = np.bincount([min(int(one.similarity * BINS), BINS - 1) for one in blocks], minlength=BINS)
    yield ""
    hits, matches = sum(one.hits for one in answers), sum(one.matches for one in answers)
    ratios = f"hit ratio {hits / len(blocks):.1%}, match ratio {matches / len(blocks):.1%}"
    yield f"pool: {len(blocks)} blocks of {len(answers)} networks; {ratios}"
    shown = ", ".join(f"{bin / BINS:.2f}: {count}" for bin, count in enumerate(counts) if count)
    yield f"similarity of the nearest block, in bins of {1 / BINS}: {shown}"


def _in_table(path: str, architectures: Sequence[Architecture]) -> Floats:
    space = spaces.create(Named(name="nasbench201"))
    with np.load(path, allow_pickle=False) as table:
        values = dict(zip(table["arch"].tolist(), table[COLUMN].tolist(), strict=True))
    return np.array([values[space.describe(one)["arch"]] for one in architectures], dtype=np.float64)


def main() -> None:
    """Runs what is missing and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="for the store and the data; a temporary one if absent")
    parser.add_argument("--networks", type=int, default=30, help="networks on the even classes")
    parser.add_argument("--sources", type=int, default=40, help="networks on the odd classes, which fill the pool")
    parser.add_argument("--epochs", type=int, default=12, help="epochs of a training")
    parser.add_argument("--ablations", action="store_true", help="also what inheriting less, or more, would give")
    parser.add_argument("--workers", type=int, default=2, help="processes that train")
    arguments = parser.parse_args()
    if not os.environ.get(DATA):
        sys.exit(f"{DATA} is not set: it must name CIFAR-10 as an .npz (docs/spec.md)")
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        experiment = Experiment(
            folder,
            networks=arguments.networks,
            sources=arguments.sources,
            epochs=arguments.epochs,
            workers=arguments.workers,
            ablations=arguments.ablations,
        )
        experiment.split(Path(os.environ[DATA]))
        for line in report(experiment.run(), os.environ.get(TABLE)):
            print(line)


if __name__ == "__main__":
    main()
