"""The trainings that an asynchronous strategy has under way, at most so many at once."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from store.records.outcomes import AnyOutcome
from strategies.run import Handle, Run

Stage = TypeVar("Stage")


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

    async def rest(self) -> list[tuple[Stage, AnyOutcome]]:
        """Takes back all, in the order in which they were asked for: nothing depends on how they end, nor is recorded.

        For the end of a search, when nothing more will be asked for. With a higher total something would be, so no
        order may be recorded that would bind it.
        """
        ended = [(stage, await handle) for stage, handle in self._waiting]
        self._waiting.clear()
        return ended

    async def save(self, state: Any) -> None:
        """Commits a state of the strategy together with what is under way."""
        await self._run.save(state, [handle for _, handle in self._waiting])
