"""Keeps one worker process alive on each slot, hands it jobs, and kills it when it is silent for too long."""

from __future__ import annotations

import signal
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Protocol

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from orchestrator.budget import StartBudget
from orchestrator.devices import Device
from orchestrator.devices.occupancy import Occupancy
from orchestrator.errors import WorkerHandshakeFailed, WorkersKeepDying
from orchestrator.pressure import memory_kills
from orchestrator.reactions import AddWorker, CloseDevice, DeviceCommand, EndWorker, RetireWorker
from orchestrator.serving import joblogs
from orchestrator.watchdog import Watched, put_down
from orchestrator.workers import NO_ENVIRONMENT, STUCK_SECONDS, WorkerProcess, in_words
from store.records import messages
from store.records.messages import AnyReport
from store.records.outcomes import Reason
from store.records.spec import Resources

TICK_SECONDS = 0.5
LATE_TICK_SECONDS = 5.0
EXIT_SECONDS = 5.0
RESTART_SECONDS, LONGEST_RESTART_SECONDS = 0.5, 30.0
IDLE_SECONDS = 60.0
"""A worker that had no job for so long may be given up, where there are more of them than are needed."""
LOWERED_SECONDS = 300.0
"""So long a slot stays empty after the kernel killed its worker for want of memory, if there is another."""
MOST_IDLE_DEATHS = 5


class Listener(Protocol):
    """Who hears of the workers."""

    def worker_ready(self, worker: str, device: str, pid: int) -> None:
        """A worker is ready for jobs."""
        ...

    def worker_lost(self, worker: str, reason: Reason, message: str, sent: Collection[str]) -> None:
        """A worker's process is gone, and these jobs that had been sent to it."""
        ...

    def worker_idle(self, worker: str) -> None:
        """A worker has had no job for a while."""
        ...

    def slot_lost(self, device: str, reason: Reason, message: str) -> None:
        """A slot of a device can start no worker: its process does not end, or the device cannot be used."""
        ...

    def device_failed(self, device: str, message: str) -> None:
        """A worker's job met an error of its device."""
        ...

    def told(self, line: str) -> None:
        """Something that people should know."""
        ...

    def report(self, worker: str, message: AnyReport, seconds: float) -> None:
        """A worker said something about its job, so long after the job was given to it."""
        ...


class Surroundings:
    """What workers need to be there before they are started; nothing, unless a subclass says so."""

    async def environment(self, device: Device) -> dict[str, str]:
        """Returns variables for a worker on a device, when it can be started."""
        return dict(NO_ENVIRONMENT)


@dataclass(slots=True)
class _Seat:
    """A slot: one worker process after another, while it is wanted."""

    name: str
    device: Device
    scope: anyio.CancelScope
    wanted: bool = True
    watched: Watched | None = None
    deaths: int = 0


class Supervisor:
    """All worker processes of one daemon.

    Args:
        listener: who hears of them.
        store: the store's folder.
        resources: limits in seconds, and the workers' threads.
        starts_per_minute: processes that are started, at most; no limit if absent.
        surroundings: what workers need to be there.
    """

    def __init__(
        self,
        listener: Listener,
        store: Path,
        resources: Resources,
        starts_per_minute: int | None = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        self._listener = listener
        self._store = store
        self._resources = resources
        self._budget = None if starts_per_minute is None else StartBudget(starts_per_minute)
        self._surroundings = surroundings or Surroundings()
        self._seats: dict[str, _Seat] = {}
        self._occupancy = Occupancy()
        self._leaving = False
        self._idle_deaths = 0
        self._gone = anyio.Event()
        self._devices: dict[str, Device] = {}
        self._tasks: TaskGroup
        self._preload: str | None = None

    def start(self, tasks: TaskGroup, devices: Sequence[Device], slots: Sequence[Device], preload: str | None) -> None:
        """Starts one worker on each of the slots' devices, and is ready for orders from then on.

        Args:
            tasks: where the workers are looked after.
            devices: all that there are.
            slots: the device of each worker.
            preload: trainer that workers import before their first job.
        """
        self._tasks, self._preload = tasks, preload
        self._devices = {device.name: device for device in devices}
        tasks.start_soon(self._watch)
        for device in slots:
            self.add(device)

    def perform(self, command: DeviceCommand) -> None:
        """Carries out what is to happen to workers."""
        match command:
            case AddWorker(device):
                self.add(self._devices[device])
            case RetireWorker(worker):
                self.retire(worker)
            case EndWorker(worker, reason, message):
                self.end(worker, reason, message)
            case CloseDevice(device, reason, message):
                self.close(device, reason, message)

    def add(self, device: Device) -> None:
        """Starts one more worker on a device."""
        if self._leaving:
            return
        name = next(name for number in count() if (name := f"worker-{number}") not in self._seats)
        seat = self._seats[name] = _Seat(name, device, anyio.CancelScope())
        self._tasks.start_soon(self._tend, seat)

    def retire(self, worker: str) -> None:
        """Gives a slot up whose worker has no job."""
        if seat := self._seats.get(worker):
            seat.wanted = False
            if seat.watched is not None:
                seat.watched.process.send(messages.Exit())

    def close(self, device: str, reason: Reason, message: str) -> None:
        """Gives up all slots of a device, and ends their workers at once."""
        self._idle_deaths = 0
        for seat in self._seats.values():
            if seat.device.name == device:
                seat.wanted = False
                self._end(seat, reason, message)
                if seat.watched is None:
                    seat.scope.cancel()

    def end(self, worker: str, reason: Reason, message: str) -> None:
        """Ends a worker at once; another one is started in its slot."""
        if seat := self._seats.get(worker):
            self._end(seat, reason, message)

    def assign(self, worker: str, message: messages.Assign) -> None:
        """Gives a worker a job; its time starts now, or when the job before it ends."""
        if (seat := self._seats.get(worker)) and (watched := seat.watched):
            now = watched.jobs[message.job] = anyio.current_time()
            watched.heard = now if len(watched.jobs) == 1 else watched.heard
            self._occupancy.works(seat.device.name, worker, now)
            watched.process.send(message)

    def stop(self, worker: str, message: messages.Stop) -> None:
        """Asks a worker to stop its job at a checkpoint; it is killed if it has not within `stop_seconds`."""
        if (seat := self._seats.get(worker)) and seat.watched:
            seat.watched.stop_by = anyio.current_time() + self._resources.stop_seconds
            seat.watched.process.send(message)

    def pids(self, device: str) -> frozenset[int]:
        """Returns the processes of the workers that a device has."""
        seats = [seat for seat in self._seats.values() if seat.device.name == device]
        return frozenset(seat.watched.process.pid for seat in seats if seat.watched is not None)

    def load(self, device: str) -> tuple[int, int]:
        """Returns how many workers a device has, and how many of them have a job."""
        found = [seat.watched for seat in self._seats.values() if seat.device.name == device and seat.watched]
        return len(found), sum(bool(watched.jobs) for watched in found)

    def idle_share(self, device: str) -> float | None:
        """Returns the share of the time since the start in which a device had no job."""
        return self._occupancy.idle_share(device, anyio.current_time())

    async def leave(self) -> None:
        """Ends all workers; returns when no process is left, but those that not even SIGKILL ends."""
        self._leaving = True
        for seat in list(self._seats.values()):
            seat.wanted = False
            if seat.watched is None:
                seat.scope.cancel()
            else:
                seat.watched.process.send(messages.Exit())
        with anyio.move_on_after(EXIT_SECONDS):
            await self._all_gone()
        for seat in list(self._seats.values()):
            if seat.watched is not None:
                seat.watched.process.kill()
        with anyio.move_on_after(2 * STUCK_SECONDS):
            await self._all_gone()

    async def _all_gone(self) -> None:
        while self._seats:
            self._gone = anyio.Event()
            await self._gone.wait()

    async def _tend(self, seat: _Seat) -> None:
        try:
            while seat.wanted:
                with anyio.CancelScope() as seat.scope:
                    await self._live(seat)
        finally:
            del self._seats[seat.name]
            self._gone.set()

    async def _live(self, seat: _Seat) -> None:
        """Starts a worker, listens to it until it ends, and tells how it ended."""
        log = self._store / "logs" / f"{seat.name}.log"
        kills = memory_kills()
        try:
            process = await self._start(seat, log)
        except WorkerHandshakeFailed as error:
            await self._count_idle_death(seat, str(error), log)
            return
        except OSError as error:
            await self._wait_for_room(seat, error)
            return
        watched = seat.watched = Watched(process, anyio.current_time(), kills=kills)
        fault = ""
        try:
            if self._preload is None:
                self._is_ready(seat, watched)
            if not seat.wanted:
                process.send(messages.Exit())
            fault = await process.listen(lambda message: self._hear(seat, watched, message))
        finally:
            seat.watched = None
            self._occupancy.rests(seat.device.name, seat.name, anyio.current_time())
            status = await process.end(0.0 if watched.verdict else EXIT_SECONDS)
        await self._ended(seat, watched, status, fault, log)

    async def _ended(self, seat: _Seat, watched: Watched, status: int | None, fault: str, log: Path) -> None:
        reason, message = watched.verdict or _cause(status, fault, memory_kills() > watched.kills)
        if watched.jobs and reason == "crashed":
            with anyio.CancelScope(shield=True):  # the seat may be given up meanwhile: its jobs must be heard of still
                message += await to_thread.run_sync(joblogs.said, self._store, next(iter(watched.jobs)))
        if watched.ready:
            self._listener.worker_lost(seat.name, reason, message, watched.jobs.keys())
        if status is None:
            await self._give_up(seat, watched.process)
        elif reason == "host_memory":
            await self._lower(seat, message)
        elif not watched.jobs and seat.wanted:
            await self._count_idle_death(seat, message, log)

    async def _start(self, seat: _Seat, log: Path) -> WorkerProcess:
        variables = await self._surroundings.environment(seat.device)
        if self._budget is not None:
            await anyio.sleep(self._budget.take(anyio.current_time()))
        threads, preload = self._resources.threads, self._preload
        return await WorkerProcess.start(
            seat.name, seat.device, self._store, threads=threads, preload=preload, log=log, environment=variables
        )

    def _is_ready(self, seat: _Seat, watched: Watched) -> None:
        watched.ready = True
        seat.deaths = 0
        watched.freed = anyio.current_time()
        self._occupancy.rests(seat.device.name, seat.name, watched.freed)
        self._listener.worker_ready(seat.name, seat.device.name, watched.process.pid)

    def _hear(self, seat: _Seat, watched: Watched, message: AnyReport) -> None:
        watched.heard = now = anyio.current_time()
        if not watched.ready:
            # Until its trainer is imported it has no job: what goes wrong before is the machine's fault, not a job's.
            if isinstance(message, messages.Progress) and message.note == messages.READY:
                self._is_ready(seat, watched)
            return
        seconds = 0.0
        if isinstance(message, messages.Finished | messages.Stopped | messages.Failed):
            seconds = now - max(watched.jobs.pop(message.job, now), watched.freed)
            watched.freed = now
            watched.stop_by = watched.stop_by if watched.jobs else None
            self._idle_deaths = 0
            if not watched.jobs:
                self._occupancy.rests(seat.device.name, seat.name, now)
        self._listener.report(seat.name, message, seconds)
        if isinstance(message, messages.Failed) and message.reason == "device":
            self._listener.device_failed(seat.device.name, message.message)

    def _end(self, seat: _Seat, reason: Reason, message: str) -> None:
        if seat.watched is not None and seat.watched.verdict is None:
            seat.watched.verdict = (reason, message)
            self._tasks.start_soon(partial(put_down, seat.watched.process, dump=reason == "hung"))

    # What goes wrong without a job.

    async def _count_idle_death(self, seat: _Seat, cause: str, log: Path) -> None:
        """A worker ended without having had a job: that is the machine's fault, or its device's."""
        seat.deaths += 1
        self._idle_deaths += 1
        if seat.device.kind != "cpu":
            self._listener.slot_lost(seat.device.name, "device", cause)
        if self._idle_deaths >= MOST_IDLE_DEATHS * max(1, len(self._seats)):
            raise WorkersKeepDying(self._idle_deaths, cause, str(log))
        await anyio.sleep(_longer(seat.deaths))

    async def _wait_for_room(self, seat: _Seat, error: OSError) -> None:
        """The machine has no room for another process, or no more open files: that passes."""
        seat.deaths += 1
        seconds = _longer(seat.deaths)
        self._listener.told(f"{seat.name} cannot be started ({error}): tried again in {seconds:g} s")
        await anyio.sleep(seconds)

    async def _lower(self, seat: _Seat, message: str) -> None:
        """Leaves the slot empty for a while, if there is another one."""
        if sum(other.wanted for other in self._seats.values()) > 1:
            self._listener.told(f"{message}: one worker less for {LOWERED_SECONDS:g} s")
            await anyio.sleep(LOWERED_SECONDS)

    async def _give_up(self, seat: _Seat, process: WorkerProcess) -> None:
        """Nothing more is started in the slot while its process is there, and nobody waits for that."""
        self._listener.slot_lost(seat.device.name, "hung", f"process {process.pid} of {seat.name} {in_words(None)}")
        await process.gone()

    async def _watch(self) -> None:
        """Ends workers that are silent with a job, or that do not stop in time."""
        last = anyio.current_time()
        while True:
            await anyio.sleep(TICK_SECONDS)
            now = anyio.current_time()
            late = now - last - TICK_SECONDS
            last = now
            for seat in list(self._seats.values()):
                if watched := seat.watched:
                    if late > LATE_TICK_SECONDS:
                        watched.slept(late)
                    self._judge(seat, watched, now)

    def _judge(self, seat: _Seat, watched: Watched, now: float) -> None:
        if verdict := watched.judge(now, self._resources):
            self._end(seat, *verdict)
        elif watched.ready and not watched.jobs and now - watched.freed > IDLE_SECONDS:
            watched.freed = now
            self._listener.worker_idle(seat.name)


def _cause(status: int | None, fault: str, memory_short: bool) -> tuple[Reason, str]:
    if status == -signal.SIGKILL and memory_short:
        return "host_memory", "the kernel killed the worker: the machine was out of memory"
    return "crashed", fault or f"the worker {in_words(status)}"


def _longer(times: int) -> float:
    return float(min(LONGEST_RESTART_SECONDS, RESTART_SECONDS * 2 ** (times - 1)))
