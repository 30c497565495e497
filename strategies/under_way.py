"""The trainings that an asynchronous strategy has under way, at most so many at once."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from store.records.outcomes import AnyOutcome
from strategies.run import Handle, Run

Stage = TypeVar("Stage")


def due(occasion: int) -> bool:
    """Whether a growing state is saved at this occasion, counted from 1: the first 64, then one in 2, 4, 8, ...

    A journal keeps every state that it was given. If each holds all networks so far, what they take grows with the
    square of the search's length. Here there are 32 for each doubling, so it grows in proportion, and a restart repeats
    no more than about 3 % of the requests, from the journal.
    """
    return occasion % (1 << max(0, occasion.bit_length() - 6)) == 0


class UnderWay(Generic[Stage]):
    """What was asked for and has not been taken back yet, in the order in which it was asked for.

    Args:
        run: the search's view of the world.
        limit: how many may be under way at once.
    """

    def __init__(self, run: Run, limit: int) -> None:
        self._run, self._limit = run, limit
        self._waiting: list[tuple[Stage, Handle]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def free(self) -> bool:
        """Whether there is room for one more."""
        return len(self._waiting) < self._limit

    @property
    def stages(self) -> list[Stage]:
        """What is under way; to be saved with the state, and added again in this order by a search that goes on."""
        return [stage for stage, _ in self._waiting]

    def add(self, stage: Stage, handle: Handle) -> None:
        """Adds a request and what it is for."""
        self._waiting.append((stage, handle))

    async def first(self) -> tuple[Stage, AnyOutcome]:
        """Takes back the first that has ended (`Run.first`). There must be one under way."""
        handle = await self._run.first([handle for _, handle in self._waiting])
        place = next(place for place, (_, waiting) in enumerate(self._waiting) if waiting is handle)
        stage, _ = self._waiting.pop(place)
        return stage, await handle

    async def oldest(self) -> tuple[Stage, AnyOutcome]:
        """Takes back the one that was asked for first, when it has ended. There must be one under way.

        For when nothing depends on the order in which they end, and at the end of a search nothing may: with a higher
        total more would be asked for meanwhile, so no order may be recorded that would bind it.
        """
        stage, handle = self._waiting[0]
        outcome = await handle
        del self._waiting[0]
        return stage, outcome

    async def save(self, state: Any) -> None:
        """Commits a state of the strategy together with what is under way."""
        await self._run.save(state, [handle for _, handle in self._waiting])
