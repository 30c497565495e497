"""Garbage collection and checking inside the process that holds the store, while its workers go on.

Both read a whole store, so they run in threads, one at a time. What is to be removed is forgotten first, on the event
loop: no job is given to a worker from a checkpoint that is about to go.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator

import anyio
import msgpack
from anyio import to_thread

from orchestrator.lifecycle import Job
from orchestrator.runtime import Runtime
from store.check import CheckReport, check
from store.errors import StoreError
from store.gc import GRACE_SECONDS, HeldCollection, collect
from store.opening import Store
from store.records.requests import Train
from store.roots import mentioned
from store.sweeping import GcReport

HOUR = 3600.0
LEAST_SECONDS = 600.0
"""A worker is given at least so long from a checkpoint's blocks to its manifest."""
_NOTE_SECONDS = 60.0
_FEW_FREED = 1 << 20


class Clock:
    """Says which time of files is so long ago, on a clock that is never set.

    Files carry the wall clock's time. If that jumps ahead, or the machine sleeps, what a worker wrote a moment ago
    looks old. So the wall clock is read now and then, and what was written after the lowest of the readings that lie
    within the time asked for is young.

    Args:
        wall: seconds since 1970.
        steady: seconds that pass while the machine is awake.
    """

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._steady = wall, steady
        self._readings: deque[tuple[float, float]] = deque()
        self.read()

    def read(self) -> None:
        """Takes a reading; those older than a day are forgotten."""
        now = self._steady()
        self._readings.append((now, self._wall()))
        while self._readings[0][0] < now - 24 * HOUR:
            self._readings.popleft()

    def before(self, seconds: float) -> float:
        """Returns the time so many seconds ago, as files have it; never later than it was."""
        self.read()
        since = self._steady() - seconds
        before = [wall for steady, wall in self._readings if steady < since]
        later = [wall for steady, wall in self._readings if steady >= since]
        return min([self._wall() - seconds, *before[-1:], *later])


class Collecting:
    """What removes garbage from a store that is in use.

    Args:
        store: open for writing by this process.
        runtime: what runs jobs; its memory forgets the checkpoints that go.
        least_seconds: a worker that is silent for so long is killed; a grace period is never shorter, nor than ten
            minutes.
    """

    def __init__(self, store: Store, runtime: Runtime, least_seconds: float) -> None:
        self._store, self._runtime, self._least = store, runtime, max(LEAST_SECONDS, least_seconds)
        self._clock = Clock()

    async def collect(self, *, delete: bool, grace_seconds: float = GRACE_SECONDS) -> GcReport:
        """Collects the store's garbage, or says what would go.

        Args:
            delete: remove it.
            grace_seconds: what was written within this time stays; where something is removed, it is at least
                `least_seconds`.

        Raises:
            StoreFull, StoreReadOnly, StoreFailed: if the disk refuses.
        """
        async with self._runtime.collecting:
            if not delete:
                return await to_thread.run_sync(lambda: collect(self._store.folder, grace_seconds=grace_seconds))
            grace = max(grace_seconds, self._least)
            limit = self._clock.before(grace)
            found = await to_thread.run_sync(lambda: HeldCollection(self._store, grace_seconds=grace, limit=limit))
            keep = needed(self._runtime)
            self._runtime.memory.forget_removed(found.doomed - keep)
            return await to_thread.run_sync(found.sweep, keep)

    async def check(self) -> CheckReport:
        """Reads the whole store again."""
        async with self._runtime.collecting:
            return await to_thread.run_sync(check, self._store.folder)

    async def every(self, hours: float, told: Callable[[str], None]) -> None:
        """Collects every so many hours until it is cancelled, and says what went; what fails is tried next time.

        Args:
            hours: of the time that the machine is awake; 0: never.
            told: takes a line for people.
        """
        due = anyio.current_time() + hours * HOUR
        while True:
            await anyio.sleep(min(_NOTE_SECONDS, max(0.0, due - anyio.current_time())) if hours else _NOTE_SECONDS)
            self._clock.read()
            if hours and anyio.current_time() >= due:
                await self._collect_and_tell(told)
                due = anyio.current_time() + hours * HOUR

    async def _collect_and_tell(self, told: Callable[[str], None]) -> None:
        try:
            report = await self.collect(delete=True)
        except StoreError as error:
            told(f"garbage was not collected: {error}")
            return
        freed = report.bytes_freed + report.cache_bytes_freed
        if freed >= _FEW_FREED:
            told(f"removed what nothing needs any more: {freed / 1e6:,.0f} MB")
        for problem in report.problems:
            told(f"while collecting garbage: {problem}")


def needed(runtime: Runtime) -> set[str]:
    """Returns the checkpoints that are needed for what the journal does not say yet.

    These are those that jobs start from, on a worker or before, and those that the rows under way mention.
    """
    found = runtime.starts()
    for job in runtime.scheduler.jobs.values():
        found |= set(_starts(job, runtime))
    for event in runtime.pending:
        found |= mentioned(msgpack.packb(event.model_dump(mode="python")))
    return found


def _starts(job: Job, runtime: Runtime) -> Iterator[str]:
    request = job.request
    if job.worker is not None and job.start is not None:
        yield job.start
    if isinstance(request, Train) and (newest := runtime.memory.newest(request.candidate.id, request.epochs)):
        yield newest.digest
    for name in ("checkpoint", "state"):
        if digest := getattr(request, name, None):
            yield digest
