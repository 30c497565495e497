"""What the daemon itself hears of what happens: the fold that it shows, and how far each strategy is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from orchestrator.observer import Silent
from orchestrator.views import History
from store.records.events import AnyEvent


class Progressed(NamedTuple):
    """How far a search's strategy says it is."""

    done: int = 0
    total: int = 0
    label: str = ""


class Seen(Silent):
    """The daemon's own observer; the first, so that all others find what they hear of in the history.

    Args:
        heard: called with every event, once it is durable and in the history.

    Attributes:
        history: the journal's fold.
        far: how far each strategy is.
    """

    def __init__(self, heard: Callable[[AnyEvent], None]) -> None:
        self.history = History(stories=False)
        self.far: dict[str, Progressed] = {}
        self._heard = heard

    def recalled(self, sequence: int, time: float, kind: str, payload: Mapping[str, Any]) -> None:
        """Folds an earlier row."""
        self.history.apply(sequence, time, kind, payload)

    def event(self, sequence: int, time: float, event: AnyEvent) -> None:
        """Folds a new row and passes it on."""
        self.history.event(sequence, time, event)
        self._heard(event)

    def strategy(self, search: str, done: int, total: int, label: str) -> None:
        """Keeps how far a strategy is."""
        self.far[search] = Progressed(done, total, label)
