"""The daemon's metrics: counters folded from events as they are committed, gauges read when somebody looks."""

from __future__ import annotations

import gzip
import platform
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import anyio
from anyio import to_thread
from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.metrics.api import ApiMeter
from orchestrator.metrics.families import LEFT, Families
from orchestrator.metrics.fold import Fold
from orchestrator.metrics.gauges import Gauges, Snapshot, snapshot
from orchestrator.metrics.sizes import Scales, Sizes
from orchestrator.serving.service import Service
from store.records.events import AnyEvent, CheckpointQuarantined, DeviceLeft, StaleReport, WorkerEnded, WorkerStarted
from store.records.messages import Progress

LAG_EVERY_SECONDS = 0.1
MEASURE_SECONDS = 60.0
MEASURING_SHARE = 0.02
"""Of the time, at most, is spent on measuring the store: a large one is measured less often."""


class Metrics:
    """An observer of everything, and the ASGI app that shows it.

    Counters start at 0 with the process: `recalled` rows only tell where things stand. Nothing is labelled by
    candidate, job or checkpoint.

    Args:
        service: the daemon; asked only when somebody looks, so it may still be in the making.

    Attributes:
        api: what the API counts, to be called by it.
        app: answers GET and HEAD of any path with the metrics; the caller mounts it where they belong.
    """

    def __init__(self, service: Service) -> None:
        # When a counter began is when the process did: process_start_time_seconds.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry(auto_describe=False)
        self.api = ApiMeter(self.registry)
        self.app: ASGIApp = self._respond
        self._service = service
        self._families = Families(self.registry)
        self._fold = Fold(self._families, lambda: service.history)
        self._sizes = Sizes()
        self._seen: Snapshot | None = None
        self.registry.register(Gauges(lambda: self._seen))
        ProcessCollector(registry=self.registry)
        build = Gauge(
            "coldframe_build_info", "1; its labels say what runs.", ["version", "python"], registry=self.registry
        )
        build.labels(version("coldframe"), platform.python_version()).set(1)

    async def run(self) -> None:
        """Measures what nobody tells, until it is cancelled: the loop's lag, the store's size, the disk's room."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._measure_lag)
            tasks.start_soon(self._measure_store)

    def journal_committed(self, seconds: float, rows: int) -> None:
        """Takes how long a transaction of the journal took; called from its thread (`Journal.on_commit`)."""
        self._families.commit.observe(seconds)
        self._families.journal_rows.inc(rows)

    def recalled(self, sequence: int, time: float, kind: str, payload: Mapping[str, Any]) -> None:
        """Takes a row that was there before this process."""
        self._fold.apply(kind, payload, live=False)

    def event(self, sequence: int, time: float, event: AnyEvent) -> None:
        """Counts an event."""
        match event:
            case WorkerStarted():
                self._families.worker_starts.inc()
            case WorkerEnded():
                self._families.worker_ends.labels(event.reason or LEFT).inc()
            case StaleReport():
                self._families.fenced.inc()
            case CheckpointQuarantined():
                self._families.quarantined.inc()
            case DeviceLeft():
                self._families.devices_left.labels(event.device, event.reason).inc()
            case _:
                self._fold.apply(event.type, vars(event), live=True)

    def progress(self, worker: str, job: str, message: Progress) -> None:
        """Keeps a job's rate of images."""
        self._fold.progress(message)

    def strategy(self, search: str, done: int, total: int, label: str) -> None:
        """Passes over it: the daemon knows."""

    def waiting(self, reason: str | None) -> None:
        """Passes over it."""

    def told(self, line: str) -> None:
        """Passes over it."""

    def close(self) -> None:
        """Does nothing."""

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if request.method not in ("GET", "HEAD"):
            response: Response = PlainTextResponse("only GET and HEAD\n", 405, {"Allow": "GET, HEAD"})
        else:
            self._seen = snapshot(self._service, self._fold, self._sizes)
            response = await to_thread.run_sync(_text, self.registry, request.headers)
        await response(scope, receive, send)

    async def _measure_lag(self) -> None:
        due = anyio.current_time()
        while True:
            due += LAG_EVERY_SECONDS
            await anyio.sleep_until(due)
            now = anyio.current_time()
            self._families.lag.observe(max(0.0, now - due))
            due = max(due, now)

    async def _measure_store(self) -> None:
        scales = Scales(self._service.store.folder, self._service.store.checkpoints)
        while True:
            begun = anyio.current_time()
            with suppress(OSError):  # no file to be had now: what was measured last stands, with its time
                self._sizes = await to_thread.run_sync(scales.measure)
            took = anyio.current_time() - begun
            await anyio.sleep(max(MEASURE_SECONDS, took / MEASURING_SHARE))


def _text(registry: Collector, headers: Headers) -> Response:
    """The metrics in the format that the scraper asks for."""
    encoder: Callable[[Collector], bytes]
    encoder, content_type = choose_encoder(headers.get("accept", ""))
    body, more = encoder(registry), {"Vary": "Accept, Accept-Encoding"}
    if "gzip" in headers.get("accept-encoding", ""):
        body, more = gzip.compress(body, 1), more | {"Content-Encoding": "gzip"}
    return Response(body, headers=more | {"Content-Type": content_type})
