"""A search that the daemon has taken up: planned in a thread, then run as a coroutine until it ends, or is told to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import anyio
from anyio import CapacityLimiter, to_thread

from orchestrator.errors import OrchestratorError
from orchestrator.runtime import Runtime
from orchestrator.spec import Plan
from orchestrator.turn import FATAL, Turn
from store.errors import StoreError
from store.opening import Store
from store.records.events import SearchFailed
from strategies.errors import StrategyError
from trainers.errors import TrainerError
from trainers.fingerprint import Told

THREADS = 2
"""Searches whose data are read at the same time."""


class _Abandoned(Exception):
    """Ends a planning that nobody waits for any more."""


@dataclass(slots=True)
class Taken:
    """One search in the daemon's hands.

    Attributes:
        search: its id.
        plan: once it is made.
        phase: `preparing` while its data are read, then `running`, also while it is paused.
        reading: how many of the data set's files are read, and of how many.
        keep: whether its jobs go on after the coroutine's end, because it is started again at once.
        turn: its turn; None before it runs.
        gone: set when the coroutine is over.
    """

    search: str
    plan: Plan | None = None
    phase: Literal["preparing", "running"] = "preparing"
    reading: tuple[int, int] = (0, 0)
    keep: bool = False
    turn: Turn | None = None
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    gone: anyio.Event = field(default_factory=anyio.Event)

    @property
    def was_interrupted(self) -> bool:
        """Whether it was ended in the middle of its turn."""
        return self.turn is not None and self.turn.is_open


class Taker:
    """Runs the coroutines of searches.

    Args:
        runtime: what they speak to.
        store: open for writing.
        plan: plans a search again; called in a thread.
    """

    def __init__(self, runtime: Runtime, store: Store, plan: Callable[[str, Told], Plan]) -> None:
        self._runtime, self._store, self._plan = runtime, store, plan
        self._threads = CapacityLimiter(THREADS)

    async def run(self, taken: Taken) -> None:
        """Takes a search to its end, or until its scope is cancelled.

        What a search raises is journalled and ends that search alone.

        Raises:
            StoreError, InvalidTransition, InvariantBroken: if the daemon must end.
        """
        search = taken.search
        try:
            with taken.scope:
                taken.plan = taken.plan or await self._planned(taken)
                taken.phase = "running"
                taken.turn = Turn(self._runtime, taken.plan, self._store.folder)
                await taken.turn.open()
                await taken.turn.search()
        except FATAL:
            raise
        except Exception as error:
            # Strategies, spaces and data sets may be a user's own code: whatever it raises is that search's end alone.
            if taken.turn is None:  # else it is journalled already
                await self._runtime.commit(SearchFailed(search=search, message=f"{type(error).__name__}: {error}"))
        finally:
            if not taken.keep:
                self._runtime.close_port(search)
            taken.gone.set()

    async def _planned(self, taken: Taken) -> Plan:
        def told(done: int, total: int) -> None:
            taken.reading = (done, total)
            if taken.scope.cancel_called:
                raise _Abandoned

        make = partial(self._plan, taken.search, told)
        return await to_thread.run_sync(make, abandon_on_cancel=True, limiter=self._threads)

