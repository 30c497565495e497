"""Random search: the baseline that every strategy must beat."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from store.records.results import Individual, Result
from strategies.individuals import best, learnt, ranked
from strategies.options import StrategyOptions
from strategies.run import Run


class RandomSearchOptions(StrategyOptions):
    """Options of the strategy `random`."""

    totals: ClassVar[frozenset[str]] = frozenset({"candidates"})

    candidates: int = Field(default=32, ge=1, description="architectures to train, in all")
    epochs: int = Field(default=20, ge=1, description="epochs for each, and the length of its schedule")
    top: int = Field(default=5, ge=1, description="how many to name as the best")


class RandomSearch:
    """Trains architectures drawn uniformly over the encoding, all at once, and ranks them.

    Two draws may be equal; both are in the history, and the second is answered from the memo.
    """

    def __init__(self, options: RandomSearchOptions) -> None:
        self.options = options

    async def search(self, run: Run) -> Result:
        """Returns all candidates, ranked; a larger `candidates` has a smaller one's as its first."""
        options = self.options
        architectures = [run.space.random(run.rng) for _ in range(options.candidates)]
        candidates = [run.candidate(one, schedule_epochs=options.epochs) for one in architectures]
        handles = [run.train(candidate, epochs=options.epochs) for candidate in candidates]
        history = []
        for index, (candidate, handle) in enumerate(zip(candidates, handles, strict=True)):
            run.progress(index * options.epochs, len(handles) * options.epochs, f"candidate {index} of {len(handles)}")
            born = Individual(index=index, architecture=candidate.architecture, candidate=candidate.id)
            history.append(learnt(born, await handle))
        run.progress(len(handles) * options.epochs, len(handles) * options.epochs, f"{len(handles)} candidates")
        return self._result(history)

    def _result(self, history: list[Individual]) -> Result:
        failed = [one for one in history if one.failure is not None]
        return Result(
            best=best(history, self.options.top),
            history=tuple(ranked(history) + failed),
            curves={"best_accuracy": _best_so_far(history)},
        )


def _best_so_far(history: list[Individual]) -> list[float | None]:
    """Returns the best accuracy among the first 1, 2, 3, ... candidates."""
    curve: list[float | None] = []
    for individual in history:
        known = [one for one in (*curve[-1:], individual.accuracy) if one is not None]
        curve.append(max(known, default=None))
    return curve
