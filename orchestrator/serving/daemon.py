"""The daemon: runs the searches that were submitted to a store. The one implementation of `Service`.

It keeps no state that matters. An order is journalled, and then what runs is brought in line with what the journal
says (`_reconcile`), which is also all that happens at a start.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import anyio
from anyio import CapacityLimiter, to_thread
from anyio.abc import TaskGroup

from orchestrator.collecting import Collecting
from orchestrator.errors import Draining, UnknownSearch
from orchestrator.fleet import Fleet
from orchestrator.memory import Memory
from orchestrator.reactions import Reaction
from orchestrator.runtime import Runtime
from orchestrator.serving import health, orders, planning, waits
from orchestrator.serving.config import ServeConfig
from orchestrator.serving.failures import FailureBudget
from orchestrator.serving.seen import Progressed, Seen
from orchestrator.serving.service import Actor, DeviceState, Health, ServedSearch, Submission, Submitted, Wait
from orchestrator.serving.taken import Taken, Taker
from orchestrator.spec import Plan
from store.opening import Store
from store.records.base import digest
from store.records.events import AnyEvent, AttemptFailed, SearchFailed, SearchInterrupted, SearchOpened

SUBMISSIONS = 4
"""Submissions whose specs are checked at the same time; more wait."""


class Daemon:
    """Runs searches, and answers for them.

    Args:
        config: what the operator wrote.

    Attributes:
        store: open for writing, once it has begun.
        memory: the journal's fold, for running.
        seen: the first of the observers that its runtime must have.
        history: the journal's fold, for showing.
    """

    def __init__(self, config: ServeConfig) -> None:
        self.config = config
        self.store: Store
        self.memory = Memory()
        self.seen = Seen(self._heard)
        self.history = self.seen.history
        self.draining = ""
        self._began = time.monotonic()
        self._failures = FailureBudget(config.limits.search_failures)
        self._taken: dict[str, Taken] = {}
        self._locks: dict[str, anyio.Lock] = {}
        self._checks = CapacityLimiter(SUBMISSIONS)
        self._runtime: Runtime
        self._fleet: Fleet
        self._taker: Taker
        self._collecting: Collecting
        self._tasks: TaskGroup

    # Its life.

    async def begin(self, tasks: TaskGroup, store: Store, runtime: Runtime, fleet: Fleet) -> None:
        """Takes up every search that is wanted; memory holds the journal by now.

        Args:
            tasks: where the searches run.
            store: open for writing.
            runtime: started, on these devices.
            fleet: the devices.
        """
        self.store, self._tasks, self._runtime, self._fleet = store, tasks, runtime, fleet
        self._taker = Taker(runtime, self.store, self.memory, self.config.log.job_bytes)
        self._collecting = Collecting(self.store, runtime, self.config.limits.hang_seconds)
        for search, known in self.memory.searches.items():
            if orders.is_wanted(known):
                self._take_up(search)
        tasks.start_soon(self._collecting.every, self.config.limits.collect_hours, runtime.told)

    async def drain(self, reason: str) -> None:
        """Stops everything in good order, so that the next daemon goes on; returns when no worker is left.

        Raises:
            StoreFull, StoreReadOnly: if what happens meanwhile does not fit on the disk.
        """
        self.draining = reason
        taken = list(self._taken.values())
        for one in taken:
            one.keep = True
            one.scope.cancel()
        await self._runtime.drain()
        for one in taken:
            await one.gone.wait()
        ended = [SearchInterrupted(search=one.search, reason=reason) for one in taken if one.was_interrupted]
        await self._runtime.commit(*ended)
        await self._runtime.leave()

    # What may be asked.

    def searches(self) -> Sequence[ServedSearch]:
        """Every search that the store has, oldest first."""
        stopping = {search for job in self._runtime.scheduler.jobs.values() if job.worker for search in job.searches}
        return [self._served(search, search in stopping) for search in self.memory.searches]

    def why(self, search: str) -> Sequence[Wait]:
        """What a search waits for.

        Raises:
            UnknownSearch: if there is no such search.
        """
        self._require(search)
        now, taken = anyio.current_time(), self._taken.get(search)
        unread = None if taken is None else taken.unread
        circumstances = waits.Circumstances(
            scheduler=self._runtime.scheduler,
            reading=(0, 0) if taken is None else taken.reading if taken.phase == "preparing" else None,
            trouble=self._runtime.trouble,
            draining=bool(self.draining),
            out=[device for device in self.devices() if device.state == "out of service"],
            retries={job: until - now for job, until in self._runtime.retries.items()},
            unread=None if unread is None else (unread[0], unread[1] - now),
        )
        return waits.served(search, self.memory, circumstances)

    def devices(self) -> Sequence[DeviceState]:
        """Every device, also those out of service."""
        return self._fleet.states()

    def jobs(self) -> Mapping[tuple[str, str], int]:
        """How many jobs are under way, by state and kind."""
        return Counter((str(job.state), job.request.kind) for job in self._runtime.scheduler.jobs.values())

    def health(self) -> Health:
        """How the daemon is."""
        trouble = self._runtime.trouble or self._runtime.scheduler.paused
        status, reason = health.status(self.store.folder, trouble, self.draining)
        return Health(status, reason, time.monotonic() - self._began, self.store.journal.count)

    def stalled(self) -> dict[str, float]:
        """For each part that must get on, the seconds for which it has not, for systemd's watchdog."""
        waits_for_room = self._runtime.trouble is not None
        return {
            "journal": 0.0 if waits_for_room else self.store.journal.pending_seconds,
            "runtime": self._runtime.stalled(),
        }

    # What may be ordered.

    async def submit(self, submission: Submission, actor: Actor) -> Submitted:
        """Checks a spec, journals the search, and starts it or takes it up again.

        Raises:
            SpecError, TotalLowered, Draining, StoreFull, StoreReadOnly: as `Service` says.
        """
        self._refuse_while_draining()
        plan = partial(planning.hand_in, submission, actor.name, self.store.journal)
        handed = await to_thread.run_sync(plan, limiter=self._checks)
        search = handed.plan.id
        events = await self._order(search, lambda: orders.submit(self.memory, handed), handed.plan)
        new = any(isinstance(event, SearchOpened) for event in events)
        return Submitted(search, handed.plan.spec.name, self._served(search).status, new)

    async def pause(self, search: str, actor: Actor) -> None:
        """Starts nothing of the search any more, and stops its jobs at their next checkpoint."""
        await self._order(search, lambda: orders.pause(self.memory, search, actor.name))

    async def resume(self, search: str, actor: Actor) -> None:
        """Lets a paused, stopped or failed search go on."""
        await self._order(search, lambda: orders.resume(self.memory, search, actor.name))

    async def stop(self, search: str, actor: Actor) -> None:
        """Ends a search in good order; it can be resumed later."""
        await self._order(search, lambda: orders.stop(self.memory, search, actor.name))

    async def prioritise(self, search: str, weight: float | None, priority: int | None, actor: Actor) -> None:
        """Changes a search's share of the devices; None leaves a value as it is."""
        plan = partial(orders.prioritise, self.memory, search, weight, priority, actor.name)
        await self._order(search, plan, then=lambda: self._share(search))

    async def extend(self, search: str, totals: Mapping[str, int], actor: Actor) -> None:
        """Raises totals of a search's strategy; a finished one goes on."""
        await self._order(search, lambda: orders.extend(self.memory, search, totals))

    async def return_device(self, device: str, actor: Actor) -> None:
        """Takes a device that had left service back into it."""
        self._fleet.back(device, actor.name)

    async def collect(self, delete: bool, grace_seconds: float) -> dict[str, Any]:
        """`coldframe gc` while searches run."""
        report = await self._collecting.collect(delete=delete, grace_seconds=grace_seconds)
        return report.model_dump(mode="json")

    async def check(self) -> dict[str, Any]:
        """`coldframe check` while searches run."""
        report = await self._collecting.check()
        return report.model_dump(mode="json") | {"clean": report.clean}

    # How orders are carried out.

    async def _order(
        self,
        search: str,
        make: Callable[[], Sequence[AnyEvent]],
        plan: Plan | None = None,
        then: Callable[[], Reaction] = Reaction,
    ) -> Sequence[AnyEvent]:
        """Journals an order, and brings the search in line with it; returns its events."""
        self._refuse_while_draining()
        events = await self._runtime.order(make, then)
        await self._reconcile(search, plan)
        return events

    async def _reconcile(self, search: str, plan: Plan | None = None) -> None:
        """Makes what runs be what the journal says should.

        Args:
            search: what it is about.
            plan: of it, if somebody has just made it.
        """
        async with self._locks.setdefault(search, anyio.Lock()):
            known, taken = self.memory.searches[search], self._taken.get(search)
            if taken is not None and taken.is_over:  # it came to its end while the order was journalled
                await taken.gone.wait()
                plan, taken = plan or taken.plan, None
            changed = taken is not None and taken.spec not in ("", digest(known.spec))
            if taken is None or self.draining:
                if orders.is_wanted(known):
                    self._take_up(search, plan)
            elif known.paused is not None and taken.phase == "running" and not changed:
                await self._park(search)
            elif not orders.is_wanted(known):
                await self._end(taken, orders.standing(known))
            elif changed:
                await self._restart(taken)
            else:
                await self._unpark(search)

    def _take_up(self, search: str, plan: Plan | None = None) -> None:
        if self.draining:
            return
        self._failures.forget(search)
        taken = self._taken[search] = Taken(search, plan)
        self._runtime.post(lambda: self._share(search))
        self._tasks.start_soon(self._run, taken)

    async def _run(self, taken: Taken) -> None:
        try:
            await self._taker.run(taken)
        finally:
            if self._taken.get(taken.search) is taken and not self.draining:
                del self._taken[taken.search]
            taken.gone.set()

    async def _end(self, taken: Taken, why: str) -> None:
        taken.scope.cancel()
        await taken.gone.wait()
        if taken.was_interrupted:
            await self._runtime.commit(SearchInterrupted(search=taken.search, reason=why))

    async def _restart(self, taken: Taken) -> None:
        """Starts a coroutine again, for another total; its jobs go on meanwhile, and it asks for them again."""
        taken.keep = True
        taken.scope.cancel()
        await taken.gone.wait()
        known = self.memory.searches[taken.search]
        if orders.is_wanted(known):
            self._take_up(taken.search, taken.plan)
        else:
            self._runtime.close_port(taken.search)

    async def _park(self, search: str) -> None:
        await self._runtime.settle(lambda: self._runtime.scheduler.pause(search))
        if (port := self._runtime.port(search)) is not None:
            port.pause()

    async def _unpark(self, search: str) -> None:
        await self._runtime.settle(lambda: self._runtime.scheduler.resume(search))
        if (port := self._runtime.port(search)) is not None:
            port.resume()

    async def _fail(self, search: str, summary: str) -> None:
        """Ends a search of which too much fails; the others go on."""
        async with self._locks.setdefault(search, anyio.Lock()):
            if (taken := self._taken.get(search)) is None:
                return
            taken.scope.cancel()
            await taken.gone.wait()
            if taken.was_interrupted:
                await self._runtime.commit(SearchFailed(search=search, message=summary))

    def _heard(self, event: AnyEvent) -> None:
        if not isinstance(event, AttemptFailed) or not event.counted or self.draining:
            return
        now, job = time.monotonic(), self.history.jobs.get(event.job)
        for search in job.searches if job is not None else ():
            if search in self._taken:
                summary = self._failures.count(search, event.reason, event.message, now)
                if summary is not None:
                    self._failures.forget(search)
                    self._tasks.start_soon(self._fail, search, summary)

    def _share(self, search: str) -> Reaction:
        known = self.memory.searches[search]
        return self._runtime.scheduler.set_share(search, known.weight, known.priority)

    def _served(self, search: str, stopping: bool = False) -> ServedSearch:
        known, far = self.memory.searches[search], self.seen.far.get(search, Progressed())
        status, taken = orders.standing(known), self._taken.get(search)
        if status == "paused":
            status = "pausing" if stopping and taken is not None else "paused"
        elif status in {"submitted", "running", "interrupted"}:
            status = "interrupted" if taken is None else taken.phase
        return ServedSearch(search, status, known.owner, known.weight, known.priority, *far)

    def _require(self, search: str) -> None:
        if search not in self.memory.searches:
            raise UnknownSearch(search, ())

    def _refuse_while_draining(self) -> None:
        if self.draining:
            raise Draining
