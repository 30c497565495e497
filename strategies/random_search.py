"""Random search: the baseline that every strategy must beat."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Literal, cast

from pydantic import Field, field_validator, model_validator

from store.records.candidates import Candidate
from store.records.outcomes import AnyOutcome, Failure, Trained
from store.records.results import Individual, Result
from strategies.individuals import best, learnt, ranked
from strategies.options import StrategyOptions
from strategies.pool import Pool
from strategies.run import Handle, Run

SIMILARITY = 0.5
"""As `FNASOptions.similarity`."""
MOST_CANDIDATES = 100_000
"""What a search's result, one record of the journal, has room for."""
AHEAD = 256
"""Trainings that are asked for before the first of them has ended: few enough to ask for them in one go."""


class RandomSearchOptions(StrategyOptions):
    """Options of the strategy `random`."""

    totals: ClassVar[frozenset[str]] = frozenset({"candidates"})
    refers: ClassVar[Mapping[str, Literal["state", "search"]]] = MappingProxyType({"inherit_from": "search"})
    pools: ClassVar[tuple[str, ...]] = ("inherit_from", "contribute")

    candidates: int = Field(default=32, ge=1, le=MOST_CANDIDATES, description="architectures to train, in all")
    epochs: int = Field(default=20, ge=1, description="epochs for each, and the length of its schedule")
    top: int = Field(default=5, ge=1, description="how many to name as the best")
    inherit_from: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="searches whose trained blocks the networks start from (FNAS 4.3)"
    )
    similarity: float | None = Field(
        default=None, gt=0, le=1, description="with inherit_from: least cosine of a block's key with its source; 0.5"
    )
    contribute: bool | None = Field(
        default=None, description="put the blocks of its networks, trained from random weights, into the pool"
    )

    @field_validator("inherit_from", mode="before")
    @classmethod
    def _one_search_is_a_list_of_one(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("contribute")
    @classmethod
    def _neutral(cls, value: bool | None) -> bool | None:
        return value or None

    @model_validator(mode="after")
    def _agree(self) -> RandomSearchOptions:
        if self.similarity is not None and self.inherit_from is None:
            raise ValueError("expected similarity only together with inherit_from")
        if self.contribute and self.inherit_from is not None:
            raise ValueError(
                "expected contribute without inherit_from: inherited blocks have had more training than others"
            )
        return self


class RandomSearch:
    """Trains architectures drawn uniformly over the encoding and ranks them.

    Two draws may be equal; both are in the history, and the second is answered from the memo.
    """

    def __init__(self, options: RandomSearchOptions) -> None:
        self.options = options

    async def search(self, run: Run) -> Result:
        """Returns all candidates, ranked; a larger `candidates` has a smaller one's as its first.

        Raises:
            RequestFailed: with the knowledge pool, if the first network cannot be measured.
        """
        options = self.options
        drawn = (
            run.candidate(run.space.random(run.rng), schedule_epochs=options.epochs) for _ in range(options.candidates)
        )
        if not (options.inherit_from or options.contribute):
            return self._result(await self._train_in_turn(run, drawn), None, 0)
        candidates = list(drawn)
        pool = await self._open_pool(run, candidates[0])
        if options.inherit_from:
            candidates = [one.inheriting((await pool.inherit(one)).initial) for one in candidates]
        history, lost = await self._train(run, candidates, pool)
        if lost:
            await self._train_at_random(run, [candidates[index] for index in lost], lost, history)
        return self._result(history, pool, len(lost))

    async def _train_in_turn(self, run: Run, candidates: Iterable[Candidate]) -> list[Individual]:
        """Trains candidates as they are drawn, so that neither the event loop nor the memory sees all of them."""
        epochs, total = self.options.epochs, self.options.candidates
        history, asked = list[Individual](), deque[tuple[Candidate, Handle]]()

        async def take_first() -> None:
            run.progress(len(history) * epochs, total * epochs, f"candidate {len(history)} of {total}")
            candidate, handle = asked.popleft()
            history.append(_individual(len(history), candidate, await handle))

        for candidate in candidates:
            asked.append((candidate, run.train(candidate, epochs=epochs)))
            if len(asked) == AHEAD:
                await take_first()
        while asked:
            await take_first()
        run.progress(total * epochs, total * epochs, f"{total} candidates")
        return history

    async def _open_pool(self, run: Run, candidate: Candidate) -> Pool:
        options = self.options
        pool = Pool(run, similarity=options.similarity or SIMILARITY, sources=options.inherit_from or ())
        await pool.open(candidate)
        return pool

    async def _train(self, run: Run, candidates: Sequence[Candidate], pool: Pool) -> tuple[list[Individual], list[int]]:
        """Trains candidates, all at once; puts those that may into the pool, in their order.

        Returns:
            The history, and the numbers of those of which an inherited block could not be read.
        """
        epochs, history, lost = self.options.epochs, list[Individual](), list[int]()
        handles = [run.train(candidate, epochs=epochs) for candidate in candidates]
        for index, (candidate, handle) in enumerate(zip(candidates, handles, strict=True)):
            run.progress(index * epochs, len(handles) * epochs, f"candidate {index} of {len(handles)}")
            outcome = await handle
            history.append(_individual(index, candidate, outcome))
            if isinstance(outcome, Failure) and outcome.reason == "corrupt_block":
                lost.append(index)
            sound = isinstance(outcome, Trained) and history[-1].failure is None
            if self.options.contribute and sound:
                await pool.contribute(candidate, cast(Trained, outcome), generation=0)
        run.progress(len(handles) * epochs, len(handles) * epochs, f"{len(handles)} candidates")
        return history, lost

    async def _train_at_random(
        self, run: Run, candidates: Sequence[Candidate], places: Sequence[int], history: list[Individual]
    ) -> None:
        """Trains candidates from random weights instead, and puts them into the history in their places."""
        run.epilogue(self.options.candidates)  # more candidates would be asked for before these
        plain = [candidate.inheriting(()) for candidate in candidates]
        outcomes = await run.map(run.train, plain, epochs=self.options.epochs)
        for index, candidate, outcome in zip(places, plain, outcomes, strict=True):
            history[index] = _individual(index, candidate, outcome)

    def _result(self, history: list[Individual], pool: Pool | None, lost: int) -> Result:
        failed = [one for one in history if one.failure is not None]
        curves: dict[str, Any] = {"best_accuracy": _best_so_far(history)}
        notes = list(pool.remarks()) if pool is not None else []
        if pool is not None and self.options.inherit_from:
            curves["similarity_histogram"] = pool.histogram.tolist()
        if lost:
            notes.append(f"networks of which an inherited block could not be read, and which began at random: {lost}")
        if pool is not None and self.options.contribute:
            notes.append(f"networks that entered the knowledge pool: {pool.entered}")
        return Result(
            best=best(history, self.options.top),
            history=tuple(ranked(history) + failed),
            curves=curves,
            notes=tuple(notes),
        )


def _individual(index: int, candidate: Candidate, outcome: AnyOutcome) -> Individual:
    born = Individual(index=index, architecture=candidate.architecture, candidate=candidate.id)
    return learnt(born, outcome)


def _best_so_far(history: list[Individual]) -> list[float | None]:
    """Returns the best accuracy among the first 1, 2, 3, ... candidates."""
    curve: list[float | None] = []
    for individual in history:
        known = [one for one in (*curve[-1:], individual.accuracy) if one is not None]
        curve.append(max(known, default=None))
    return curve
