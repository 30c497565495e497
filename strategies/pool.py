"""The knowledge pool as a search uses it: what each network starts from, what it gives, and the books of both (AKP).

Fairness (FNAS section 4.3): all networks of a search are trained for equally many steps, and only those that started
from random weights enter the pool, unless `generations` says otherwise, so that all blocks in it have equal training.
Strategies that train in batches and baselines that train all at once keep the same books.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from store.records.candidates import Candidate
from store.records.knowledge import Inheritance
from store.records.outcomes import Failure, Measured, Trained
from strategies.errors import RequestFailed
from strategies.run import Run

BINS = 20
"""Of the histogram of similarities, over [0, 1]."""
WANTED_MATCHES = 0.99
"""The match ratio that the paper wants, for fairness (section 4.3)."""


class Pool:
    """What one search takes from the pool and gives to it.

    Args:
        run: the search.
        similarity: least cosine of a block's key with the entry that it may start from.
        sources: ids of the other searches whose blocks it may use.
        generations: networks of generations up to this enter the pool; 0: only those from random weights.

    Attributes:
        asked: blocks that an entry was looked for; `hits` had one to compare with, `matches` started from one.
        histogram: how similar the nearest entries were: counts in `BINS` bins.
        refused: entries that could not be compared, by reason: the most that any answer named.
        unreadable: networks that had to be asked for again because a block could not be read.
        steps: for how many steps the sources of an answer were trained, each count that was met.
        entered: networks that entered the pool.
    """

    def __init__(self, run: Run, *, similarity: float, sources: tuple[str, ...] = (), generations: int = 0) -> None:
        self._run, self._similarity, self._sources, self._generations = run, similarity, sources, generations
        self._shape: tuple[int, ...] = ()
        self.asked = self.hits = self.matches = self.unreadable = self.entered = 0
        self.histogram = np.zeros(BINS, dtype=np.int64)
        self.refused: Counter[str] = Counter()
        self.steps: set[int] = set()

    @property
    def counts(self) -> tuple[int, int, int]:
        """Blocks asked for, those that had an entry to compare with, and those that started from one; so far."""
        return self.asked, self.hits, self.matches

    async def open(self, candidate: Candidate) -> None:
        """Finds out the shape of the images as networks read them.

        Args:
            candidate: any network of the search.

        Raises:
            RequestFailed: if it cannot be measured.
        """
        outcome = await self._run.measure(candidate)
        if not isinstance(outcome, Measured):
            raise RequestFailed("the measure of a network", outcome.words if isinstance(outcome, Failure) else "")
        self._shape = outcome.image_shape or ()

    async def inherit(self, candidate: Candidate, *, unsure: bool = False) -> Inheritance:
        """Asks what a network may start from.

        Args:
            candidate: as it would start from random weights.
            unsure: whether only blocks with equal keys will do, because the critic does not know such networks.
        """
        bar = 1.0 if unsure else self._similarity
        answer = await self._run.inherit(candidate, self._shape, bar=bar, sources=self._sources)
        self.asked += len(answer.blocks)
        self.hits += answer.hits
        self.matches += answer.matches
        for block in answer.blocks:
            self.histogram[min(int(block.similarity * BINS), BINS - 1)] += 1
        self.refused |= Counter(answer.refused)
        if answer.iterations is not None:
            self.steps.add(answer.iterations)
        return answer

    async def contribute(self, candidate: Candidate, trained: Trained, *, generation: int) -> None:
        """Gives a network's blocks to the pool, if networks of its generation may enter."""
        if generation > self._generations:
            return
        steps = optimiser_steps(candidate, trained)
        await self._run.contribute(candidate, trained, self._shape, iterations=steps, generation=generation)
        self.entered += 1

    def remarks(self) -> Iterator[str]:
        """Yields what a reader of the result should know of what was inherited."""
        if self.asked:
            yield (
                f"knowledge pool: of {self.asked} blocks asked for {_percent(self.hits, self.asked)} had an entry to "
                f"compare with (hit ratio), {_percent(self.matches, self.asked)} started from one (match ratio)"
            )
            if self.matches < WANTED_MATCHES * self.asked:
                yield "the match ratio is below 99 %: more blocks than the paper allows started from random weights"
        for reason, count in sorted(self.refused.items()):
            yield f"entries of the pool that could not be compared: {count} ({reason})"
        if len(self.steps) > 1:
            counts = ", ".join(str(steps) for steps in sorted(self.steps))
            yield f"blocks came from networks that were trained for different numbers of steps ({counts})"

    def state(self) -> dict[str, Any]:
        """Returns plain values from which `restore` makes the same books."""
        return {
            "shape": list(self._shape),
            "counts": [self.asked, self.hits, self.matches, self.unreadable, self.entered],
            "histogram": self.histogram,
            "refused": dict(self.refused),
            "steps": sorted(self.steps),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on with the books that `state` described."""
        self._shape = tuple(state["shape"])
        self.asked, self.hits, self.matches, self.unreadable, self.entered = state["counts"]
        self.histogram, self.refused = state["histogram"], Counter(state["refused"])
        self.steps = set(state["steps"])


def optimiser_steps(candidate: Candidate, trained: Trained) -> int:
    """Returns the steps that a training took: epochs, where the trainer does not say how many images an epoch has."""
    if trained.images is None:
        return trained.epochs
    recipe = candidate.recipe
    batches = -(-trained.images // recipe.batch_size)
    return trained.epochs * -(-batches // (recipe.accumulate or 1))


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"
