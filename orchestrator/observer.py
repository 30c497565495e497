"""What the runtime tells whoever watches: a live table, plain lines, or nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from store.records.events import AnyEvent
from store.records.messages import Progress


class Observer(Protocol):
    """Watches a search. Called on the event loop's thread, so every method returns at once and never raises."""

    def recalled(self, sequence: int, time: float, kind: str, payload: Mapping[str, Any]) -> None:
        """Takes a row that the journal already held when the search was taken up, in order, before any `event`."""
        ...

    def event(self, sequence: int, time: float, event: AnyEvent) -> None:
        """Takes an event that has just been committed."""
        ...

    def progress(self, worker: str, job: str, message: Progress) -> None:
        """Takes a worker's heartbeat; these are not journalled."""
        ...

    def strategy(self, search: str, done: int, total: int, label: str) -> None:
        """Takes how far a search's strategy says it is, e.g. `(search, 120, 560, "cycle 3 of 10")`."""
        ...

    def waiting(self, reason: str | None) -> None:
        """Takes why nothing new can start at present, or None when that is over."""
        ...

    def told(self, line: str) -> None:
        """Takes something that a person should know and that is no event, in one line."""
        ...

    def close(self) -> None:
        """Ends the view; nothing but another `close` is called after it."""
        ...


class Silent:
    """An observer that shows nothing."""

    def recalled(self, sequence: int, time: float, kind: str, payload: Mapping[str, Any]) -> None:
        """Passes over it."""

    def event(self, sequence: int, time: float, event: AnyEvent) -> None:
        """Passes over it."""

    def progress(self, worker: str, job: str, message: Progress) -> None:
        """Passes over it."""

    def strategy(self, search: str, done: int, total: int, label: str) -> None:
        """Passes over it."""

    def waiting(self, reason: str | None) -> None:
        """Passes over it."""

    def told(self, line: str) -> None:
        """Passes over it."""

    def close(self) -> None:
        """Does nothing."""


class Several:
    """Passes everything on to several observers, in their order.

    Args:
        observers: who hears it.
    """

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def recalled(self, sequence: int, time: float, kind: str, payload: Mapping[str, Any]) -> None:
        """Passes it on."""
        for observer in self._observers:
            observer.recalled(sequence, time, kind, payload)

    def event(self, sequence: int, time: float, event: AnyEvent) -> None:
        """Passes it on."""
        for observer in self._observers:
            observer.event(sequence, time, event)

    def progress(self, worker: str, job: str, message: Progress) -> None:
        """Passes it on."""
        for observer in self._observers:
            observer.progress(worker, job, message)

    def strategy(self, search: str, done: int, total: int, label: str) -> None:
        """Passes it on."""
        for observer in self._observers:
            observer.strategy(search, done, total, label)

    def waiting(self, reason: str | None) -> None:
        """Passes it on."""
        for observer in self._observers:
            observer.waiting(reason)

    def told(self, line: str) -> None:
        """Passes it on."""
        for observer in self._observers:
            observer.told(line)

    def close(self) -> None:
        """Passes it on."""
        for observer in self._observers:
            observer.close()
