"""What `coldframe serve` does: opens the store, puts the daemon's parts together, and sees them out."""

from __future__ import annotations

import logging
import os
import signal
import sys
from functools import partial

import anyio
from anyio.abc import TaskGroup, TaskStatus

from orchestrator import metrics
from orchestrator.api import server
from orchestrator.api.feed import Feed
from orchestrator.fleet import Fleet
from orchestrator.groups import first_of
from orchestrator.knowledge import Knowledge
from orchestrator.metrics import Metrics
from orchestrator.observer import Observer, Several
from orchestrator.recall import taken
from orchestrator.runtime import Runtime
from orchestrator.serving import logs
from orchestrator.serving.config import ServeConfig
from orchestrator.serving.daemon import Daemon
from orchestrator.serving.endpoint import Endpoint
from orchestrator.serving.joblogs import Thinner
from orchestrator.serving.logs import DaemonLog
from orchestrator.serving.notify import Notifier
from orchestrator.wording import plural
from store.opening import Store
from store.records.spec import Resources

STATUS_SECONDS = 5.0
SWITCH_SECONDS = 0.0005
"""While a thread makes an answer, the event loop waits so long for the interpreter after each call of the system, which
it makes for every packet. Python's own 5 ms are a second for 200 packets."""
_log = logging.getLogger("coldframe.daemon")


def serve(config: ServeConfig) -> None:
    """Serves a store until SIGTERM or SIGINT; returns when all has stopped in good order.

    Raises:
        StoreError: if the store cannot be used, or fails for good.
        OrchestratorError: if the daemon cannot listen, or has no device, as the configuration says.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    daemon = Daemon(config)
    meters = Metrics(daemon)
    early = Several(daemon.seen, meters)  # the other observers have nothing to do with what is over
    with (
        taken(config.store, daemon.memory, early.recalled, create=True) as store,
        logs.setup(config.log, store.folder),
    ):
        try:
            anyio.run(_Serving(config, store, daemon, meters).run)
        except BaseExceptionGroup as group:
            error = first_of(group)
            _log.critical("the daemon ends: %s", error)
            raise error from group


class _Serving:
    """One daemon in an open store, from its journal's fold to its end."""

    def __init__(self, config: ServeConfig, store: Store, daemon: Daemon, meters: Metrics) -> None:
        self._config, self._store, self._daemon, self._metrics = config, store, daemon, meters
        self._feed = Feed(store.journal, self._daemon.history)
        self._notifier = Notifier()
        log = DaemonLog(self._daemon.history)
        thinner = Thinner(store.folder, config.log.jobs)
        self._observer: Observer = Several(self._daemon.seen, self._feed, log, thinner, self._metrics)

    async def run(self) -> None:
        """Runs the daemon; returns after a drain."""
        self._store.journal.on_commit(self._metrics.journal_committed)
        fleet = await Fleet.find(self._config.devices, self._store.folder)
        knowledge = Knowledge(self._store, self._config.limits.pool_bytes)
        try:
            async with anyio.create_task_group() as around:
                around.start_soon(self._await_signal, around)
                async with anyio.create_task_group() as searches:
                    await self._begin(around, searches, fleet, knowledge)
                around.cancel_scope.cancel()
        finally:
            knowledge.close()

    async def _begin(self, around: TaskGroup, searches: TaskGroup, fleet: Fleet, knowledge: Knowledge) -> None:
        limits = self._config.limits
        resources = Resources(
            threads=self._config.devices.threads,
            hang_seconds=limits.hang_seconds,
            stop_seconds=limits.stop_seconds,
            pool_bytes=limits.pool_bytes,
        )
        memory = self._daemon.memory
        runtime = Runtime(self._store, memory, resources, self._observer, knowledge, fleet, limits.starts_per_minute)
        await runtime.start(searches, [], None)
        await self._daemon.begin(searches, self._store, runtime, fleet)
        around.start_soon(self._metrics.run)
        port = await around.start(partial(metrics.serve, self._config.metrics, self._metrics))
        where: Endpoint = await around.start(self._serve_api)
        self._tell(where, port)
        around.start_soon(self._notifier.watch, self._daemon.stalled)
        around.start_soon(self._keep_status)

    async def _serve_api(self, *, task_status: TaskStatus[Endpoint]) -> None:
        api = self._metrics.api
        await server.serve(self._daemon, self._feed, self._metrics.app, api, task_status=task_status)

    def _tell(self, where: Endpoint, port: int | None) -> None:
        known = plural(len(self._daemon.memory.searches), "search")
        places = [where.socket, *([where.tcp] if where.tcp else [])]
        more = f"; metrics on port {port}" if port is not None else ""
        _log.info("serving %s (%s) on %s%s", self._store.folder, known, " and ".join(places), more)
        self._notifier.ready(self._status())

    async def _keep_status(self) -> None:
        """Tells systemd what the daemon does, now and then."""
        last = ""
        while True:
            await anyio.sleep(STATUS_SECONDS)
            if (now := self._status()) != last:
                last = now
                self._notifier.status(now)

    def _status(self) -> str:
        running = sum(one.status == "running" for one in self._daemon.searches())
        devices = self._daemon.devices()
        busy, slots = sum(device.busy for device in devices), sum(device.slots for device in devices)
        health = self._daemon.health()
        trouble = "" if health.status == "ok" else f"; {health.status}: {health.reason}"
        return f"{running} of {len(self._daemon.memory.searches)} searches run, {busy} of {slots} workers busy{trouble}"

    async def _await_signal(self, around: TaskGroup) -> None:
        """The first signal drains; the second one, or too long a drain, ends the process as a kill would."""
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for number in signals:
                if self._daemon.draining:
                    self._kill(f"{number.name} again")
                around.start_soon(self._drain, number.name)

    async def _drain(self, reason: str) -> None:
        seconds = self._config.limits.drain_seconds
        _log.info("%s: workers stop at a checkpoint; once more to leave at once", reason)
        self._notifier.stopping(f"draining: {reason}")
        async with anyio.create_task_group() as asking:
            asking.start_soon(self._notifier.draining, seconds)
            with anyio.move_on_after(seconds) as limit:
                await self._daemon.drain(reason)
            asking.cancel_scope.cancel()
        if limit.cancelled_caught:
            self._kill(f"not all has stopped within {seconds:g} s")
        _log.info("all has stopped in good order")

    def _kill(self, why: str) -> None:
        """Ends this process without more ado: the workers end with it, and the store can take it."""
        os.write(2, f"coldframe: leaving at once: {why}\n".encode())  # the log's thread would not get to it
        os.kill(os.getpid(), signal.SIGKILL)
