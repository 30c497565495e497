"""A search as the runtime sees it: the port that its strategy speaks through, and its requests under way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, Protocol, TypeVar

import anyio

from orchestrator.knowledge import Knowledge
from orchestrator.memory import Memory
from orchestrator.reactions import Reaction
from store.records.events import AnyEvent, Delivered, StateSaved, WeightsMatched, WeightsPooled
from store.records.knowledge import Contribution, Inheritance, PoolQuery
from store.records.outcomes import AnyOutcome
from store.records.requests import AnyRequest, describe
from strategies.errors import ReplayDiverged
from strategies.run import Handle

T = TypeVar("T")


class Daemon(Protocol):
    """What a port needs of the runtime."""

    memory: Memory
    knowledge: Knowledge

    def post(self, stimulus: Callable[[], Reaction]) -> None:
        """Hands the scheduler something that happened."""
        ...

    async def commit(self, *events: AnyEvent) -> None:
        """Journals events, all or none, and returns when they are durable."""
        ...

    def ask(self, search: str, index: int, request: AnyRequest) -> Reaction:
        """The scheduler's reaction to a request."""
        ...

    async def when_there_is_room(self, write: Callable[[], Awaitable[T]]) -> T:
        """Does something that writes, and tries it again until the disk has room for it."""
        ...

    async def remove_superseded(self) -> None:
        """Removes the states of computations that nothing goes on from, if there may be many."""
        ...

    def starts(self) -> set[str]:
        """The checkpoints that jobs under way inherit blocks from."""
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
        self._kept: list[str] | None = None

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
        """Gives a job's outcome to every handle that waits for it; later, if the search is paused."""
        if self._kept is not None:
            self._kept.append(job)
            return
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

    def pause(self) -> None:
        """Keeps what is answered from now on to itself, so that the strategy goes no further."""
        if self._kept is None:
            self._kept = []

    def resume(self) -> None:
        """Gives the answers that were kept, and all later ones."""
        kept, self._kept = self._kept or [], None
        for job in kept:
            self.answer(job)

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
        """Makes a strategy's state durable; what computations left behind before it may go then."""
        event = StateSaved(search=self.search, requests=requests, calls=calls, state=state, rng=rng, pending=pending)
        await self._daemon.commit(event)
        await self._daemon.remove_superseded()

    async def inherit(self, call: int, query: PoolQuery) -> Inheritance:
        """Returns the answer that the journal has for this call, else the pool's, and journals it.

        Raises:
            ReplayDiverged: if the recorded answer is one to another question.
        """
        recorded = self._daemon.memory.searches[self.search].inheritance(call)
        if recorded is not None:
            return self._same_blocks(recorded, call, query)
        knowledge = self._daemon.knowledge
        found, lost = await self._daemon.when_there_is_room(lambda: knowledge.match(self.search, query))
        await self._daemon.commit(*lost, WeightsMatched(search=self.search, call=call, inheritance=found))
        return found

    async def contribute(self, call: int, contribution: Contribution) -> None:
        """Journals that a network's blocks enter the pool, and puts them in; once for this call.

        A kill between the two is made good when the pool is next used.

        Raises:
            ReplayDiverged: if the journal has another network at this call.
        """
        recorded = self._daemon.memory.searches[self.search].pooled.get(call)
        if recorded is None:
            knowledge = self._daemon.knowledge
            held = await self._daemon.when_there_is_room(lambda: knowledge.held(contribution))
            await self._daemon.commit(WeightsPooled(search=self.search, call=call, contribution=held))
            await self._daemon.when_there_is_room(lambda: knowledge.follow(self._daemon.starts()))
        elif recorded != contribution.checkpoint:
            asked = f"those of checkpoint {contribution.checkpoint[:12]}"
            raise ReplayDiverged(f"contribution of call {call}", f"blocks of checkpoint {recorded[:12]}", asked)

    def progress(self, done: int, total: int, label: str) -> None:
        """Shows how far the strategy is."""
        self._daemon.strategy_progress(self.search, done, total, label)

    def _same_blocks(self, recorded: Inheritance, call: int, query: PoolQuery) -> Inheritance:
        known, asked = [one.block for one in recorded.blocks], [one.name for one in query.blocks]
        if known != asked:
            raise ReplayDiverged(f"inheritance of call {call}", f"a network of {known}", f"one of {asked}")
        return recorded

    async def _recorded(self, job: str, call: int, pending: Sequence[Handle]) -> Handle:
        for handle in pending:
            if handle.key == job:
                await handle
                return handle
        pending_jobs = ", ".join(handle.key[:12] for handle in pending)
        raise ReplayDiverged(f"as_completed call {call}", f"job {job[:12]}", f"one of {pending_jobs}")
