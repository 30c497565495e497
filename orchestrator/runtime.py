"""Carries the scheduler's commands out, and feeds it what happens.

One task (`_act`) owns the scheduler. It takes all that has happened since its last turn, commits the events that
follow in one journal transaction, and only then performs the commands. While it waits for the disk, more happens: that
is the next transaction (group commit).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from orchestrator import survivors, waiting
from orchestrator.crewed import CrewedScheduler
from orchestrator.devices import Device
from orchestrator.fleet import Fleet, Links
from orchestrator.knowledge import Knowledge
from orchestrator.ledger import FIRST_WAIT, LONGEST_WAIT, Ledger
from orchestrator.memory import Memory
from orchestrator.observer import Observer
from orchestrator.reactions import (
    AddWorker,
    Answer,
    Assign,
    AwaitSpace,
    CloseDevice,
    Command,
    Delay,
    EndWorker,
    Quarantine,
    Reaction,
    RetireWorker,
    SendStop,
    Terms,
)
from orchestrator.searches import SearchPort
from orchestrator.space import room_in
from orchestrator.supervision import Supervisor
from store.errors import NotCanonical, StoreFull, StoreReadOnly
from store.gc import collect_states
from store.lock import process
from store.opening import Store
from store.records.events import AnyEvent
from store.records.messages import AnyReport, Progress, Saved
from store.records.outcomes import Reason
from store.records.requests import AnyRequest
from store.records.spec import Resources

MANY_STATES = 64
"""States of computations between two removals: of FNAS's agent about 230 MB."""
GRACE_SECONDS = 600.0
"""A worker is given at least so long from a checkpoint's blocks to its manifest."""

T = TypeVar("T")


@dataclass(slots=True)
class _Order:
    """What somebody wants of the daemon: the events that it takes, made when it is its turn, and what follows."""

    plan: Callable[[], Sequence[AnyEvent]]
    then: Callable[[], Reaction]
    done: anyio.Event = field(default_factory=anyio.Event)
    refused: Exception | None = None
    events: list[AnyEvent] = field(default_factory=list)

    def refuse(self, error: Exception) -> None:
        """Ends it with an error."""
        self.refused = error
        self.done.set()


class Runtime:
    """What runs searches: their journal, their workers, their ports.

    Attributes:
        retries: when each failed job that waits for its next try may start, in seconds of the loop's clock.
        collecting: held by whoever removes checkpoints from the store, or looks whether all are there.
    """

    def __init__(
        self,
        store: Store,
        memory: Memory,
        resources: Resources,
        observer: Observer,
        knowledge: Knowledge,
        fleet: Fleet | None = None,
        starts_per_minute: int | None = None,
    ) -> None:
        self.memory = memory
        self.knowledge = knowledge
        self.scheduler = CrewedScheduler(memory, process())
        self._store = store
        self._observer = observer
        self._ledger = Ledger(store.journal, observer, self._refuse_orders)
        self._ports: dict[str, SearchPort] = {}
        self.retries: dict[str, float] = {}
        self.collecting = anyio.Lock()
        self._inbox: list[tuple[Callable[[], Reaction], anyio.Event | None]] = []
        self._orders: list[_Order] = []
        self._acting_since: float | None = None
        self._wake = anyio.Event()
        self._quiet = anyio.Event()
        self._space_wait = FIRST_WAIT
        self._why: str | None = None
        self._resources = resources
        surroundings = None if fleet is None else fleet.surroundings
        self._supervisor = Supervisor(self, store.folder, resources, starts_per_minute, surroundings)
        self._fleet = fleet
        if fleet is not None:
            fleet.tie(Links(self.scheduler, self._supervisor, self.post, self.told))
        self._tasks: TaskGroup

    # What the rest of the orchestrator calls.

    async def start(self, tasks: TaskGroup, devices: list[Device], preload: str | None) -> None:
        """Starts acting, and one worker on each of the devices, or as many as the fleet's devices are to have."""
        self._tasks = tasks
        tasks.start_soon(self._act)
        if self._fleet is not None:
            self._supervisor.start(tasks, list(self._fleet.devices.values()), [], preload)
            tasks.start_soon(self._fleet.run)
        else:
            await survivors.see_out(self._store.folder)
            self._supervisor.start(tasks, devices, devices, preload)

    def open_port(self, search: str, terms: Terms) -> SearchPort:
        """Returns the port of a search that memory knows; it answers nothing while the search is paused."""
        self.scheduler.add_search(search, terms)
        port = self._ports[search] = SearchPort(search, self)
        if self.scheduler.shares[search].paused:
            port.pause()
        return port

    def close_port(self, search: str) -> None:
        """A search's coroutine is over: it asks for nothing any more, and nobody waits for its answers."""
        self._ports.pop(search, None)
        self.post(lambda: self.scheduler.remove_search(search))

    def port(self, search: str) -> SearchPort | None:
        """Returns a search's port, if it is open."""
        return self._ports.get(search)

    def post(self, stimulus: Callable[[], Reaction], done: anyio.Event | None = None) -> None:
        """Hands over something that happened; `done` is set when all that follows is committed and performed."""
        self._inbox.append((stimulus, done))
        self._wake.set()

    async def commit(self, *events: AnyEvent) -> None:
        """Journals events, all or none; returns when they are durable."""
        await self.settle(lambda: self._record(events))

    async def settle(self, stimulus: Callable[[], Reaction]) -> None:
        """Hands over something that happened; returns when all that follows is committed and performed."""
        done = anyio.Event()
        self.post(stimulus, done)
        await done.wait()

    async def order(self, plan: Callable[[], Sequence[AnyEvent]], then: Callable[[], Reaction]) -> list[AnyEvent]:
        """Carries out what somebody wants, between two turns of everything else; returns its events, durable.

        Args:
            plan: makes its events of what memory says when it is its turn; raises if it cannot be.
            then: what follows once they are durable.

        Raises:
            StoreFull, StoreReadOnly: if the journal cannot take it now; nothing of it is done then.
            Exception: what `plan` raises.
        """
        if self.trouble is not None:
            raise self.trouble
        order = _Order(plan, then)
        self._orders.append(order)
        self._wake.set()
        await order.done.wait()
        if order.refused is not None:
            raise order.refused
        return order.events

    @property
    def trouble(self) -> StoreFull | StoreReadOnly | None:
        """Why nothing can be journalled now; None while it can."""
        return self._ledger.trouble

    @property
    def pending(self) -> Sequence[AnyEvent]:
        """What has happened, as far as memory says so and the journal does not yet."""
        return self._ledger.pending

    def told(self, line: str) -> None:
        """Passes on a line that people should know."""
        self._observer.told(line)

    def stalled(self) -> float:
        """Seconds for which what happened has waited to be journalled and acted upon; 0 if nothing waits, or no room.

        Waiting for room on the disk is not being stuck.
        """
        since = self._acting_since
        return 0.0 if since is None or self.trouble is not None else anyio.current_time() - since

    def ask(self, search: str, index: int, request: AnyRequest) -> Reaction:
        """The scheduler's reaction to a request."""
        return self.scheduler.request(search, index, request)

    def starts(self) -> set[str]:
        """The checkpoints that jobs under way inherit blocks from."""
        candidates = (job.request.candidate for job in self.scheduler.jobs.values())
        initial = (one for candidate in candidates if candidate is not None for one in candidate.initial)
        return {one.partition("=")[2].partition("/")[0] for one in initial}

    async def when_there_is_room(self, write: Callable[[], Awaitable[T]]) -> T:
        """Does something that writes, and tries it again until the disk has room for it.

        Raises:
            StoreFull, StoreReadOnly: if there is none and the daemon is leaving.
        """
        return await self._ledger.when_there_is_room(write)

    async def remove_superseded(self, least: int = MANY_STATES, grace_seconds: float | None = None) -> None:
        """Removes the states of computations that nothing goes on from, if so many were made since the last time.

        Where the disk has no room even for that, or the store is being collected or checked, they stay until the next
        time.

        Args:
            least: that many.
            grace_seconds: what is younger stays; if absent, as long as a worker may take from a checkpoint's blocks to
                its manifest.
        """
        states = self.memory.states
        if states.fresh < least or self.collecting.locked():
            return
        states.fresh = 0
        grace = max(GRACE_SECONDS, self._resources.hang_seconds) if grace_seconds is None else grace_seconds
        collected = partial(collect_states, self._store.journal, self._store.checkpoints, grace_seconds=grace)
        async with self.collecting:
            with suppress(StoreFull):
                states.missing |= await to_thread.run_sync(collected)

    def strategy_progress(self, search: str, done: int, total: int, label: str) -> None:
        """Shows how far a strategy is."""
        self._observer.strategy(search, done, total, label)

    async def drain(self) -> None:
        """Stops every job at a checkpoint; returns when no worker has one.

        Raises:
            StoreFull: if what happens meanwhile does not fit on the disk: now nobody waits for room any more.
        """
        self._ledger.leaving = True
        done = anyio.Event()
        self.post(self.scheduler.drain, done)
        await done.wait()
        while self.scheduler.busy:
            self._quiet = anyio.Event()
            await self._quiet.wait()

    async def leave(self) -> None:
        """Ends the workers, and then the task that acts."""
        await self._supervisor.leave()
        await self.settle(Reaction)  # whoever observes hears of the workers' ends too
        self._tasks.cancel_scope.cancel()

    # What the supervisor calls.

    def worker_ready(self, worker: str, device: str, pid: int) -> None:
        """A worker is ready for jobs."""
        self.post(lambda: self.scheduler.worker_ready(worker, device, pid))

    def worker_lost(self, worker: str, reason: Reason, message: str, sent: Collection[str]) -> None:
        """A worker's process is gone, and these jobs that had been sent to it."""
        had = frozenset(sent)
        self.post(lambda: self.scheduler.worker_lost(worker, reason, message, had))

    def worker_idle(self, worker: str) -> None:
        """A worker has had no job for a while."""
        self.post(lambda: self.scheduler.worker_idle(worker))

    def slot_lost(self, device: str, reason: Reason, message: str) -> None:
        """A worker's process does not end, or its device cannot be used."""
        if self._fleet is not None:
            self._fleet.slot_lost(device, reason, message)

    def device_failed(self, device: str, message: str) -> None:
        """A worker's job met an error of its device."""
        if self._fleet is not None:
            self._fleet.failed(device, message)

    def report(self, worker: str, message: AnyReport, seconds: float) -> None:
        """A worker said something about its job."""
        if isinstance(message, Saved):
            self._space_wait = FIRST_WAIT
        if isinstance(message, Progress):
            self._observer.progress(worker, message.job, message)
        self.post(lambda: self.scheduler.report(worker, message, seconds))

    # The one task that acts.

    async def _act(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            self._acting_since = anyio.current_time()
            batch, self._inbox = self._inbox, []
            reactions = [(stimulus(), done) for stimulus, done in batch]
            await self._ledger.commit([event for reaction, _ in reactions for event in reaction.events])
            for reaction, done in reactions:
                for command in reaction.commands:
                    await self._perform(command)
                if done is not None:
                    done.set()
            while self._orders:
                await self._carry_out(self._orders.pop(0))
            self._acting_since = None
            self._show_why()
            if not self.scheduler.busy:
                self._quiet.set()

    def _refuse_orders(self, error: Exception) -> None:
        while self._orders:
            self._orders.pop().refuse(error)

    def _record(self, events: Sequence[AnyEvent]) -> Reaction:
        for event in events:
            self.memory.apply(event.type, vars(event))
        return Reaction(events=list(events))

    async def _carry_out(self, order: _Order) -> None:
        """Journals an order and does what follows; one that cannot be, or finds no room, has changed nothing."""
        try:
            events = list(order.plan())
        except Exception as error:
            order.refuse(error)  # whatever it is: it is raised where the order was given, and nothing else is harmed
            return
        try:
            await self._ledger.write(events)
        except (StoreFull, StoreReadOnly, NotCanonical) as error:
            order.refuse(error)
            return
        for event in events:
            self.memory.apply(event.type, vars(event))
        order.events = events
        reaction = order.then()
        await self._ledger.commit(reaction.events)
        for command in reaction.commands:
            await self._perform(command)
        order.done.set()

    async def _perform(self, command: Command) -> None:
        match command:
            case Assign(worker, message):
                self._supervisor.assign(worker, message)
            case SendStop(worker, message):
                self._supervisor.stop(worker, message)
            case Answer(search, job):
                if port := self._ports.get(search):
                    port.answer(job)
            case AddWorker() | RetireWorker() | EndWorker() | CloseDevice():
                self._supervisor.perform(command)
            case Delay(job, seconds):
                self._tasks.start_soon(self._delay, job, seconds)
            case Quarantine(blobs):
                for blob in blobs:
                    quarantine = partial(to_thread.run_sync, self._store.blobs.quarantine, blob)
                    await self._ledger.when_there_is_room(quarantine)
            case AwaitSpace():
                self._tasks.start_soon(self._await_space)

    async def _delay(self, job: str, seconds: float) -> None:
        until = self.retries[job] = anyio.current_time() + seconds
        await anyio.sleep(seconds)
        if self.retries.get(job) == until:
            del self.retries[job]
        self.post(lambda: self.scheduler.delay_over(job))

    async def _await_space(self) -> None:
        """Waits for room; where the disk shows room all along (a quota, a limit), tries ever less often."""
        room = False
        while not room:
            await anyio.sleep(self._space_wait)
            self._space_wait = min(2 * self._space_wait, LONGEST_WAIT)
            room = await to_thread.run_sync(room_in, self._store.folder)
        self.post(self.scheduler.space_returned)

    def _show_why(self) -> None:
        why = waiting.why(self.scheduler)
        if why != self._why:
            self._why = why
            self._observer.waiting(why)
