"""The daemon's metrics: counters folded from events as they are committed, gauges read when somebody looks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.metrics.api import ApiMeter
from orchestrator.serving.service import Service
from store.records.events import AnyEvent
from store.records.messages import Progress


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
        self.registry = CollectorRegistry(auto_describe=True)
        self.api = ApiMeter(self.registry)
        self.app: ASGIApp = self._respond
        self._service = service

    async def run(self) -> None:
        """Measures what nobody tells, until it is cancelled: the loop's lag, the store's size, the disk's room."""

    def journal_committed(self, seconds: float, rows: int) -> None:
        """Takes how long a transaction of the journal took; called from its thread (`Journal.on_commit`)."""

    def recalled(self, sequence: int, time: float, kind: str, payload: Mapping[str, Any]) -> None:
        """Takes a row that was there before this process."""

    def event(self, sequence: int, time: float, event: AnyEvent) -> None:
        """Counts an event."""

    def progress(self, worker: str, job: str, message: Progress) -> None:
        """Keeps a worker's rate of images."""

    def strategy(self, search: str, done: int, total: int, label: str) -> None:
        """Passes over it."""

    def waiting(self, reason: str | None) -> None:
        """Passes over it."""

    def told(self, line: str) -> None:
        """Passes over it."""

    def close(self) -> None:
        """Does nothing."""

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise NotImplementedError
