"""The books of a search: a row for each sample and each iteration, as curves for the report and as arrays to keep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, get_args

import numpy as np

from strategies.fnas.batch import Sample, Source

SOURCES: tuple[Source, ...] = get_args(Source)
BASELINE = "baseline"
_REALS = ("reward", "accuracy", "cost", "value", "uncertainty", "error")
_OF_ITERATIONS = ("threshold", "trained", "discarded", BASELINE, "mean_reward", "hit_ratio", "match_ratio")


class Iteration(NamedTuple):
    """How an iteration went.

    Attributes:
        threshold: U up to which samples were trusted.
        discarded: trusted draws that were thrown away.
        hit_ratio: share of the blocks asked for that the pool had anything to compare with; none if none was asked for.
        match_ratio: share of them that started from an entry.
    """

    threshold: float | None
    discarded: int
    hit_ratio: float | None
    match_ratio: float | None


class Ledger:
    """Rows in the order in which samples were drawn; within a batch new samples stand before exploited ones."""

    def __init__(self) -> None:
        self._samples: dict[str, list[Any]] = {name: [] for name in ("iteration", "source", *_REALS, "individual")}
        self._iterations: dict[str, list[Any]] = {name: [] for name in _OF_ITERATIONS}
        self._losses: dict[str, list[float | None]] = {}

    def __len__(self) -> int:
        return len(self._samples["source"])

    @property
    def sources(self) -> Counter[Source]:
        """How many samples have their reward from where."""
        return Counter(self._samples["source"])

    @property
    def networks(self) -> set[int]:
        """The history's numbers of all networks that were sampled and trained."""
        rows = zip(self._samples["source"], self._samples["individual"], strict=True)
        return {individual for source, individual in rows if source == "trained"}

    def excesses(self, count: int) -> list[float]:
        """Returns by how much U was above the threshold of its batch, of the last samples that have both, in order.

        U as a whole moves while V learns, so what can be compared over time is how far it is from the threshold.
        """
        thresholds = self._iterations["threshold"]
        rows = zip(reversed(self._samples["iteration"]), reversed(self._samples["uncertainty"]), strict=True)
        both = ((u, threshold) for iteration, u in rows if (threshold := thresholds[iteration - 1]) is not None)
        found = (u - threshold for u, threshold in both if u is not None)  # exploited samples have no U
        return list(islice(found, count))[::-1]

    def add(self, iteration: int, samples: Sequence[Sample], row: Iteration) -> None:
        """Enters a batch whose rewards are known."""
        columns = self._samples
        for one in samples:
            columns["iteration"].append(iteration)
            columns["source"].append(one.source)
            columns["individual"].append(one.individual)
            for name in _REALS:
                columns[name].append(getattr(one, name))
        values = row._asdict() | {
            "trained": sum(one.source == "trained" for one in samples),
            "mean_reward": float(np.mean([one.reward for one in samples])),
            BASELINE: None,
        }
        for name, value in values.items():
            self._iterations[name].append(value)

    def learnt(self, losses: Mapping[str, float]) -> None:
        """Enters what the agent said of the last batch when it had learnt from it: losses, and the baseline."""
        iterations = len(self._iterations[BASELINE])
        self._iterations[BASELINE][-1] = losses.get(BASELINE)
        for name in sorted({*self._losses, *losses} - {BASELINE}):
            column = self._losses.setdefault(name, [])
            column += [None] * (iterations - 1 - len(column)) + [losses.get(name)]

    def curves(self) -> dict[str, list[Any]]:
        """Returns the columns by name: `sample_*` with an item for each sample, the others one for each iteration."""
        samples = {f"sample_{name}": list(column) for name, column in self._samples.items()}
        iterations = {f"iteration_{name}": list(column) for name, column in self._iterations.items()}
        return samples | iterations | {f"loss_{name}": list(column) for name, column in sorted(self._losses.items())}

    def state(self) -> dict[str, Any]:
        """Returns the columns as arrays, 65 bytes a sample; what is none is NaN in them."""
        samples = dict(self._samples)
        return {
            "source": np.array([SOURCES.index(one) for one in samples.pop("source")], dtype=np.uint8),
            "samples": {name: _packed(column) for name, column in samples.items()},
            "iterations": {name: _packed(column) for name, column in self._iterations.items()},
            "losses": {name: _packed(column) for name, column in self._losses.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Becomes the ledger that `state` described."""
        whole = {"iteration", "individual", "trained", "discarded"}
        for kept, columns in ((state["samples"], self._samples), (state["iterations"], self._iterations)):
            for name, column in kept.items():
                columns[name] = [_whole(value) if name in whole else value for value in _unpacked(column)]
        self._samples["source"] = [SOURCES[code] for code in state["source"].tolist()]
        self._losses = {name: _unpacked(column) for name, column in state["losses"].items()}


def _packed(column: Iterable[float | None]) -> Any:
    return np.array([np.nan if value is None else value for value in column], dtype=np.float64)


def _unpacked(column: Any) -> list[float | None]:
    return [None if value != value else value for value in column.tolist()]


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
