"""The journal's tail for those who watch: each event encoded once, shared by all watchers, none missed, none twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from orchestrator.views import History
from store.journal import Journal
from store.records.events import AnyEvent
from store.records.messages import Progress


class Feed:
    """An observer that many may subscribe to.

    Args:
        journal: where a watcher catches up.
        history: says which jobs a search asked for.
    """

    def __init__(self, journal: Journal, history: History) -> None:
        self.sequence = 0
        self._journal = journal
        self._history = history

    def subscribe(self, after: int, search: str | None = None) -> AsyncIterator[bytes]:
        """Yields server-sent events, some at a time: all of the journal after a sequence number, then what happens."""
        raise StopAsyncIteration

    def recalled(self, sequence: int, time: float, kind: str, payload: Mapping[str, Any]) -> None:
        """Takes note of how far the journal is."""
        self.sequence = sequence

    def event(self, sequence: int, time: float, event: AnyEvent) -> None:
        """Passes an event on to all watchers."""
        self.sequence = sequence

    def progress(self, worker: str, job: str, message: Progress) -> None:
        """Passes a heartbeat on, one a second for each worker."""

    def strategy(self, search: str, done: int, total: int, label: str) -> None:
        """Passes on how far a search is."""

    def waiting(self, reason: str | None) -> None:
        """Passes on why nothing starts."""

    def told(self, line: str) -> None:
        """Passes a line on."""

    def close(self) -> None:
        """Ends every subscription."""
