"""A search that the daemon has taken up: planned in a thread, then run as a coroutine until it ends, or is told to."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import anyio
from anyio import CapacityLimiter, to_thread

from orchestrator import spec
from orchestrator.errors import SearchChanged, SpecError
from orchestrator.memory import Memory
from orchestrator.runtime import Runtime
from orchestrator.serving.orders import raised
from orchestrator.spec import Plan
from orchestrator.turn import FATAL, Turn
from store.opening import Store
from store.records.base import digest
from store.records.events import SearchFailed
from store.records.spec import SearchSpec
from strategies import registry

THREADS = 2
"""Searches whose data are read at the same time."""
FIRST_RETRY, LONGEST_RETRY = 5.0, 300.0
"""Seconds between two tries to read what cannot be read now."""
_READ = frozenset({"data", "trainer", "reference"})
"""Tables of a spec that name files."""


class _Abandoned(Exception):
    """Ends a planning that nobody waits for any more."""


@dataclass(slots=True)
class Taken:
    """One search in the daemon's hands.

    Attributes:
        search: its id.
        plan: once it is made.
        spec: digest of the spec that it runs with; empty before.
        phase: `preparing` while its data are read, then `running`, also while it is paused.
        reading: how many of the data set's files are read, and of how many.
        unread: why its data, or a table, could not be read, and when it is tried again, in seconds of the loop's clock.
        keep: whether its jobs go on after the coroutine's end, because it is started again at once.
        turn: its turn; None before it runs.
        gone: set when the coroutine is over and out of the daemon's hands.
    """

    search: str
    plan: Plan | None = None
    spec: str = ""
    phase: Literal["preparing", "running"] = "preparing"
    reading: tuple[int, int] = (0, 0)
    unread: tuple[str, float] | None = None
    keep: bool = False
    turn: Turn | None = None
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    gone: anyio.Event = field(default_factory=anyio.Event)

    @property
    def is_over(self) -> bool:
        """Whether its turn has come to its end, which may not be journalled yet."""
        return self.turn is not None and not self.turn.is_open

    @property
    def was_interrupted(self) -> bool:
        """Whether it was ended in the middle of its turn."""
        return self.turn is not None and self.turn.is_open


class Taker:
    """Runs the coroutines of searches.

    Args:
        runtime: what they speak to.
        store: open for writing.
        memory: what the journal says of them.
        log_bytes: how long the file of what a job prints may become.
    """

    def __init__(self, runtime: Runtime, store: Store, memory: Memory, log_bytes: int) -> None:
        self._runtime, self._store, self._memory, self._log_bytes = runtime, store, memory, log_bytes
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
                taken.plan = self._as_journalled(taken.plan or await self._planned(taken))
                taken.spec, taken.phase = digest(taken.plan.spec), "running"
                taken.turn = Turn(self._runtime, taken.plan, self._store.folder, self._log_bytes)
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

    async def _planned(self, taken: Taken) -> Plan:
        """Plans a search; one whose files cannot be read waits for them: they were there when it was submitted."""
        wait = FIRST_RETRY
        while True:
            try:
                return await self._planned_now(taken)
            except SpecError as error:
                if not all(problem.key.partition(".")[0] in _READ for problem in error.problems):
                    raise
                why = "; ".join(str(problem) for problem in error.problems)
            if taken.unread is None or taken.unread[0] != why:
                name = self._memory.searches[taken.search].spec["name"]
                self._runtime.told(f"search {name} waits for what cannot be read: {why}")
            taken.unread, taken.reading = (why, anyio.current_time() + wait), (0, 0)
            await anyio.sleep(wait)
            wait = min(2 * wait, LONGEST_RETRY)

    async def _planned_now(self, taken: Taken) -> Plan:
        def told(done: int, total: int) -> None:
            taken.reading = (done, total)
            if taken.scope.cancel_called:
                raise _Abandoned

        known = self._memory.searches[taken.search]
        make = partial(spec.plan, raised(known.submitted or {}, known), known.file, told)
        plan = await to_thread.run_sync(make, abandon_on_cancel=True, limiter=self._threads)
        if plan.id != taken.search:
            raise SearchChanged(plan.spec.name, taken.search, plan.id)
        return plan

    def _as_journalled(self, plan: Plan) -> Plan:
        """Returns a plan with the spec that the journal has now: its totals may have been raised meanwhile."""
        now = SearchSpec.model_validate(self._memory.searches[plan.id].spec)
        return replace(plan, spec=now, make_strategy=lambda: registry.create(now))
