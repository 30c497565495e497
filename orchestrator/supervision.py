"""Keeps one worker process alive on each slot, hands it jobs, and kills it when it is silent for too long."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import anyio
from anyio.abc import TaskGroup

from orchestrator.devices import Device
from orchestrator.errors import WorkerHandshakeFailed, WorkersKeepDying
from orchestrator.workers import WorkerProcess
from store.records import messages
from store.records.messages import AnyReport
from store.records.outcomes import Reason
from store.records.spec import Resources

TICK_SECONDS = 0.5
LATE_TICK_SECONDS = 5.0
EXIT_SECONDS = 5.0
RESTART_SECONDS = 0.5
MOST_IDLE_DEATHS = 5


class Listener(Protocol):
    """Who hears of the workers."""

    def worker_ready(self, worker: str, device: str, pid: int) -> None:
        """A worker is ready for jobs."""
        ...

    def worker_lost(self, worker: str, reason: Reason, message: str, sent: Collection[str]) -> None:
        """A worker's process is gone, and these jobs that had been sent to it."""
        ...

    def report(self, worker: str, message: AnyReport, seconds: float) -> None:
        """A worker said something about its job, so long after the job was given to it."""
        ...


@dataclass(slots=True)
class _Watched:
    """What the watchdog knows of a worker; times are of the monotonic clock."""

    process: WorkerProcess
    heard: float
    jobs: dict[str, float] = field(default_factory=dict)
    freed: float = 0.0
    stop_by: float | None = None
    verdict: tuple[Reason, str] | None = None
    ready: bool = False


class Supervisor:
    """All worker processes of one daemon."""

    def __init__(self, listener: Listener, store: Path, resources: Resources) -> None:
        self._listener = listener
        self._store = store
        self._resources = resources
        self._watched: dict[str, _Watched] = {}
        self._starting: dict[str, anyio.CancelScope] = {}
        self._leaving = False
        self._idle_deaths = 0
        self._gone = anyio.Event()
        self._tending = 0

    def start(self, tasks: TaskGroup, devices: list[Device], preload: str | None) -> None:
        """Starts one worker on each device of the list, which may name a device several times."""
        for number, device in enumerate(devices):
            self._tending += 1
            tasks.start_soon(self._tend, f"worker-{number}", device, preload)
        tasks.start_soon(self._watch)

    def assign(self, worker: str, message: messages.Assign) -> None:
        """Gives a worker a job; its time starts now, or when the job before it ends."""
        if watched := self._watched.get(worker):
            now = watched.jobs[message.job] = anyio.current_time()
            watched.heard = now if len(watched.jobs) == 1 else watched.heard
            watched.process.send(message)

    def stop(self, worker: str, message: messages.Stop) -> None:
        """Asks a worker to stop its job at a checkpoint; it is killed if it has not within `stop_seconds`."""
        if watched := self._watched.get(worker):
            watched.stop_by = anyio.current_time() + self._resources.stop_seconds
            watched.process.send(message)

    async def leave(self) -> None:
        """Ends all workers; returns when no process is left."""
        self._leaving = True
        for scope in self._starting.values():
            scope.cancel()
        for watched in list(self._watched.values()):
            watched.process.send(messages.Exit())
        with anyio.move_on_after(EXIT_SECONDS):
            await self._gone.wait()
        for watched in list(self._watched.values()):
            watched.process.kill()
        if self._tending:
            await self._gone.wait()

    async def _tend(self, name: str, device: Device, preload: str | None) -> None:
        try:
            while not self._leaving:
                await self._live(name, device, preload)
        finally:
            self._tending -= 1
            if not self._tending:
                self._gone.set()

    async def _live(self, name: str, device: Device, preload: str | None) -> None:
        """Starts a worker, listens to it until it ends, and tells how it ended."""
        log = self._store / "logs" / f"{name}.log"
        try:
            process = await self._start(name, device, preload, log)
        except WorkerHandshakeFailed as error:
            await self._count_idle_death(str(error), log)
            return
        if process is None:
            return
        watched = self._watched[name] = _Watched(process, anyio.current_time())
        fault = ""
        try:
            if preload is None:
                self._is_ready(name, device, watched)
            fault = await process.listen(lambda message: self._hear(name, device, watched, message))
        finally:
            del self._watched[name]
            ended = await process.end(0.0 if watched.verdict else EXIT_SECONDS)
        reason, message = watched.verdict or ("crashed", fault or f"the worker {ended}")
        if watched.ready:
            self._listener.worker_lost(name, reason, message, watched.jobs.keys())
        if not watched.jobs and not self._leaving:
            await self._count_idle_death(message, log)

    async def _start(self, name: str, device: Device, preload: str | None, log: Path) -> WorkerProcess | None:
        """Starts a worker; gives it up, and returns None, if the daemon leaves meanwhile."""
        with anyio.CancelScope() as scope:
            self._starting[name] = scope
            try:
                return await WorkerProcess.start(
                    name, device, self._store, threads=self._resources.threads, preload=preload, log=log
                )
            finally:
                del self._starting[name]
        return None

    def _is_ready(self, name: str, device: Device, watched: _Watched) -> None:
        watched.ready = True
        self._listener.worker_ready(name, device.name, watched.process.pid)

    def _hear(self, name: str, device: Device, watched: _Watched, message: AnyReport) -> None:
        watched.heard = now = anyio.current_time()
        if not watched.ready:
            # Until its trainer is imported it has no job: what goes wrong before is the machine's fault, not a job's.
            if isinstance(message, messages.Progress) and message.note == messages.READY:
                self._is_ready(name, device, watched)
            return
        seconds = 0.0
        if isinstance(message, messages.Finished | messages.Stopped | messages.Failed):
            seconds = now - max(watched.jobs.pop(message.job, now), watched.freed)
            watched.freed = now
            watched.stop_by = watched.stop_by if watched.jobs else None
            self._idle_deaths = 0
        self._listener.report(name, message, seconds)

    async def _count_idle_death(self, cause: str, log: Path) -> None:
        self._idle_deaths += 1
        if self._idle_deaths >= MOST_IDLE_DEATHS * max(1, self._tending):
            raise WorkersKeepDying(self._idle_deaths, cause, str(log))
        await anyio.sleep(RESTART_SECONDS)

    async def _watch(self) -> None:
        """Kills workers that are silent with a job, or that do not stop in time."""
        last = anyio.current_time()
        while True:
            await anyio.sleep(TICK_SECONDS)
            now = anyio.current_time()
            late = now - last - TICK_SECONDS
            last = now
            for watched in self._watched.values():
                if late > LATE_TICK_SECONDS:  # it was this process that slept: the workers' messages wait unread
                    watched.heard += late
                    watched.stop_by = watched.stop_by + late if watched.stop_by is not None else None
                self._judge(watched, now)

    def _judge(self, watched: _Watched, now: float) -> None:
        limits, verdict = self._resources, ""
        if watched.verdict is not None or (watched.ready and not watched.jobs):
            return
        if now - watched.heard > limits.hang_seconds:
            verdict = f"the worker was silent for more than {limits.hang_seconds:g} s and was killed"
        elif watched.stop_by is not None and now > watched.stop_by:
            verdict = f"the worker did not stop within {limits.stop_seconds:g} s and was killed"
        if verdict:
            watched.verdict = ("hung", verdict)
            watched.process.kill()
