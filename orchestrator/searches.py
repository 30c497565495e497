"""A search as the runtime sees it: the port that its strategy speaks through, and its requests under way."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

import anyio

from orchestrator.memory import Memory
from orchestrator.reactions import Reaction
from store.records.events import AnyEvent, Delivered, StateSaved
from store.records.outcomes import AnyOutcome
from store.records.requests import AnyRequest, describe
from strategies.errors import ReplayDiverged
from strategies.run import Handle


class Daemon(Protocol):
    """What a port needs of the runtime."""

    memory: Memory

    def post(self, stimulus: Callable[[], Reaction]) -> None:
        """Hands the scheduler something that happened."""
        ...

    async def commit(self, event: AnyEvent) -> None:
        """Journals an event and returns when it is durable."""
        ...

    def ask(self, search: str, index: int, request: AnyRequest) -> Reaction:
        """The scheduler's reaction to a request."""
        ...

    def strategy_progress(self, search: str, done: int, total: int, label: str) -> None:
        """Shows how far a strategy is."""
        ...


class RequestHandle:
    """A request under way; await it, as often as wanted, for its outcome."""

    def __init__(self, key: str, index: int) -> None:
        self.key, self.index = key, index
        self.outcome: AnyOutcome | None = None
        self.answered_as: int | None = None
        self._answered = anyio.Event()

    def answer(self, outcome: AnyOutcome, order: int) -> None:
        """Gives the outcome to all who wait; `order` counts the answers of the search."""
        self.outcome, self.answered_as = outcome, order
        self._answered.set()

    def __await__(self) -> Generator[Any, None, AnyOutcome]:
        if self.outcome is None:
            yield from self._answered.wait().__await__()
        assert self.outcome is not None
        return self.outcome


class SearchPort:
    """Carries the wishes of one search's `Run` to the runtime (`strategies.run.Port`)."""

    def __init__(self, search: str, daemon: Daemon) -> None:
        self.search = search
        self._daemon = daemon
        self._open: dict[str, list[RequestHandle]] = {}
        self._answers = 0
        self._progress = anyio.Event()

    def submit(self, index: int, request: AnyRequest) -> Handle:
        """Hands a request in.

        Raises:
            ReplayDiverged: if the journal has another request at this index.
        """
        recorded = self._daemon.memory.searches[self.search].requests.get(index)
        if recorded is not None and recorded != request.key:
            raise ReplayDiverged(
                f"request {index}", f"job {recorded[:12]}", f"job {request.key[:12]}, {describe(request)}"
            )
        handle = RequestHandle(request.key, index)
        self._open.setdefault(request.key, []).append(handle)
        self._daemon.post(lambda: self._daemon.ask(self.search, index, request))
        return handle

    def answer(self, job: str) -> None:
        """Gives a job's outcome to every handle that waits for it."""
        waiting = self._open.pop(job, [])
        if not waiting:
            return
        outcome = self._daemon.memory.outcome(job, self.search)
        if outcome is None:
            raise LookupError(f"job {job} was answered without an outcome")
        for handle in waiting:
            self._answers += 1
            handle.answer(outcome, self._answers)
        self._progress.set()
        self._progress = anyio.Event()

    async def completed(self, call: int, index: int, pending: Sequence[Handle]) -> Handle:
        """Waits for the completion that the journal has here, else for the next one, and journals it.

        Raises:
            ReplayDiverged: if the recorded completion is not among the pending ones.
        """
        recorded = self._daemon.memory.searches[self.search].delivered.get((call, index))
        if recorded is not None:
            return await self._recorded(recorded, call, pending)
        while not (done := [h for h in pending if isinstance(h, RequestHandle) and h.answered_as is not None]):
            await self._progress.wait()
        first = min(done, key=lambda handle: handle.answered_as or 0)
        await self._daemon.commit(Delivered(search=self.search, call=call, index=index, job=first.key))
        return first

    async def save(self, requests: int, calls: int, state: bytes, rng: str, pending: tuple[int, ...]) -> None:
        """Makes a strategy's state durable."""
        event = StateSaved(search=self.search, requests=requests, calls=calls, state=state, rng=rng, pending=pending)
        await self._daemon.commit(event)

    def progress(self, done: int, total: int, label: str) -> None:
        """Shows how far the strategy is."""
        self._daemon.strategy_progress(self.search, done, total, label)

    async def _recorded(self, job: str, call: int, pending: Sequence[Handle]) -> Handle:
        for handle in pending:
            if handle.key == job:
                await handle
                return handle
        pending_jobs = ", ".join(handle.key[:12] for handle in pending)
        raise ReplayDiverged(f"as_completed call {call}", f"job {job[:12]}", f"one of {pending_jobs}")
