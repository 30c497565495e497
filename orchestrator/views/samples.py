"""The samples of a search by reinforcement learning: where the reward of each came from, and how its iterations went.

A strategy gives them as curves (`Result.curves`): `sample_*` has an item for each sample, `iteration_*` and `loss_*`
one for each iteration. What is missing or not finite is None here; curves of a search under way may differ in length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

Source = Literal["trained", "trusted", "exploited"]
SOURCES: tuple[Source, ...] = ("trained", "trusted", "exploited")
SAMPLE, ITERATION, LOSS, SIMILARITIES = "sample_", "iteration_", "loss_", "similarity_histogram"


@dataclass(frozen=True, slots=True)
class Sample:
    """One architecture that the agent learnt from.

    Attributes:
        number: its place in the search, from 1.
        iteration: in which it was drawn, from 1.
        source: `trained` ("activated"), `trusted` (the critic's prediction is its reward), or `exploited` (drawn again
            from the experience buffer).
        reward: what the agent was told.
        accuracy: of the validation images, in [0, 1]; of trained ones.
        cost: multiply-adds, or milliseconds.
        value: the critic's prediction V of the reward.
        uncertainty: its prediction U of |V - R|.
        error: |V - R| before the critic learnt from this sample; of trained ones that were new.
        individual: its index in the search's history.
    """

    number: int
    iteration: int
    source: Source
    reward: float | None
    accuracy: float | None
    cost: float | None
    value: float | None
    uncertainty: float | None
    error: float | None
    individual: int | None


@dataclass(frozen=True, slots=True)
class Iteration:
    """One update of the agent; ratios are of the blocks that the knowledge pool was asked for, in [0, 1].

    Attributes:
        number: from 1.
        threshold: samples with a larger U were trained.
        trained: samples that were trained.
        discarded: draws that were thrown away because enough were trusted already.
        baseline: of the rewards, at its end.
        mean_reward: of its samples.
        hit_ratio: blocks for which the pool had any entry to compare with.
        match_ratio: blocks that started from an entry.
        losses: by name.
    """

    number: int
    threshold: float | None
    trained: int | None
    discarded: int | None
    baseline: float | None
    mean_reward: float | None
    hit_ratio: float | None
    match_ratio: float | None
    losses: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Samples:
    """All samples in order, all iterations, and how similar the pool's nearest entries were (counts over [0, 1])."""

    all: tuple[Sample, ...]
    iterations: tuple[Iteration, ...]
    similarities: tuple[int, ...]

    def of(self, *sources: Source) -> list[Sample]:
        """The samples whose reward came from there."""
        return [sample for sample in self.all if sample.source in sources]

    @property
    def best(self) -> Sample | None:
        """The trained sample with the highest reward, the first of equal ones."""
        scored = [sample for sample in self.of("trained") if sample.reward is not None]
        return max(scored, key=lambda sample: sample.reward or 0.0, default=None)

    @property
    def networks(self) -> int:
        """Different networks among the trained samples: the same one may be drawn again."""
        return len({one.individual for one in self.of("trained")})

    @property
    def rewards(self) -> dict[int, float]:
        """The reward of each trained network, by its index in the history."""
        return {
            one.individual: one.reward
            for one in self.of("trained")
            if one.individual is not None and one.reward is not None
        }


def samples(curves: Mapping[str, Any]) -> Samples | None:
    """Reads a strategy's curves; none if it has no samples, as strategies other than reinforcement learning."""
    sources = _column(curves, f"{SAMPLE}source")
    if not sources:
        return None
    width = max((len(_column(curves, name)) for name in curves if name.startswith((ITERATION, LOSS))), default=0)
    return Samples(
        all=tuple(_sample(curves, place, source) for place, source in enumerate(sources) if source in SOURCES),
        iterations=tuple(_iteration(curves, place) for place in range(width)),
        similarities=tuple(int(count) for count in _column(curves, SIMILARITIES)),
    )


def is_of_samples(name: str) -> bool:
    """Whether a curve of this name is read by `samples`, so that other tables need not have it."""
    return name.startswith((SAMPLE, ITERATION, LOSS)) or name == SIMILARITIES


def _sample(curves: Mapping[str, Any], place: int, source: Any) -> Sample:
    reals = ("reward", "accuracy", "cost", "value", "uncertainty", "error")
    values = {name: _real(curves, f"{SAMPLE}{name}", place) for name in reals}
    individual = _real(curves, f"{SAMPLE}individual", place)
    return Sample(
        number=place + 1,
        iteration=int(_real(curves, f"{SAMPLE}iteration", place) or 0),
        source=cast(Source, source),
        individual=None if individual is None else int(individual),
        **values,
    )


def _iteration(curves: Mapping[str, Any], place: int) -> Iteration:
    reals = ("threshold", "baseline", "mean_reward", "hit_ratio", "match_ratio")
    values = {name: _real(curves, f"{ITERATION}{name}", place) for name in reals}
    counts = {name: _real(curves, f"{ITERATION}{name}", place) for name in ("trained", "discarded")}
    losses = {name.removeprefix(LOSS): _real(curves, name, place) for name in curves if name.startswith(LOSS)}
    return Iteration(
        number=place + 1,
        trained=None if counts["trained"] is None else int(counts["trained"]),
        discarded=None if counts["discarded"] is None else int(counts["discarded"]),
        losses=losses,
        **values,
    )


def _column(curves: Mapping[str, Any], name: str) -> Sequence[Any]:
    found = curves.get(name)
    return found if isinstance(found, list | tuple) else ()


def _real(curves: Mapping[str, Any], name: str, place: int) -> float | None:
    column = _column(curves, name)
    value = column[place] if place < len(column) else None
    return float(value) if value is not None and math.isfinite(value) else None
