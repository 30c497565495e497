"""What the API tells whoever counts: each answer, each refusal, each open stream of events."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Meter(Protocol):
    """Counts what the API does; `orchestrator.metrics.ApiMeter` does so for Prometheus."""

    def request(self, route: str | None, code: int, seconds: float | None = None) -> None:
        """Takes an answer: the template of its route if one matched, its status, its time (None for a stream)."""
        ...

    def refused(self, reason: str) -> None:
        """Takes that a request was turned away before it was looked at."""
        ...

    def watching(self) -> AbstractContextManager[None]:
        """Is open for as long as a stream of events is."""
        ...


class Uncounted:
    """A meter that counts nothing."""

    def request(self, route: str | None, code: int, seconds: float | None = None) -> None:
        """Passes over it."""

    def refused(self, reason: str) -> None:
        """Passes over it."""

    def watching(self) -> AbstractContextManager[None]:
        """Passes over it."""
        return nullcontext()
