"""How searches share the workers: strictly by priority, and fairly, by weight, among those of the same. Pure.

Fairness is of the time that jobs take, not of their number. Each search has a virtual time, which grows by the seconds
of its jobs divided by its weight; the one that is furthest behind goes next. A job is charged when it starts, with what
the search's jobs took lately, and the difference when it ends. A search that had nothing to do gets no credit for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

FIRST_GUESS = 1.0
"""Seconds of a job of which nothing is known."""
LATEST = 0.3
"""What the latest job counts towards the expected seconds of the next."""


@dataclass(slots=True)
class Share:
    """One search's share.

    Attributes:
        weight: of two searches that always have work, one with twice the weight gets twice the workers' time.
        priority: nothing of a search starts while one of a higher priority has something to start.
        paused: nothing of it starts.
        time: virtual seconds that it has had.
        guess: seconds that its next job is expected to take.
    """

    weight: float = 1.0
    priority: int = 0
    paused: bool = False
    time: float = 0.0
    guess: float = FIRST_GUESS


class Shares:
    """The shares of all searches that are under way."""

    def __init__(self) -> None:
        self._shares: dict[str, Share] = {}
        self._charges: dict[str, tuple[str, float]] = {}
        self._reached: dict[int, float] = {}

    def __getitem__(self, search: str) -> Share:
        return self._shares.setdefault(search, Share())

    def __contains__(self, search: str) -> bool:
        return search in self._shares

    def add(self, search: str) -> None:
        """Lets a search take part, as it did before if it is known."""
        self._shares.setdefault(search, Share())

    def set(self, search: str, weight: float, priority: int) -> None:
        """Gives a search a weight and a priority; among others than before it starts level with them."""
        share = self[search]
        if share.priority != priority:
            share.time = self._reached.get(priority, 0.0)
        share.weight, share.priority = weight, priority

    def remove(self, search: str) -> None:
        """Forgets a search."""
        self._shares.pop(search, None)

    def is_active(self, search: str) -> bool:
        """Whether anything of a search may start."""
        return search in self._shares and not self._shares[search].paused

    def wakes(self, search: str) -> None:
        """A search that had nothing to do has something again: the time until now is lost to it."""
        share = self[search]
        share.time = max(share.time, self._reached.get(share.priority, 0.0))

    def next(self, searches: Iterable[str]) -> str | None:
        """Returns the neediest of some searches; None if nothing of any may start."""
        active = [search for search in searches if self.is_active(search)]
        return min(active, key=self._order, default=None)

    def starts(self, search: str, job: str) -> None:
        """A job of a search was given to a worker."""
        share = self[search]
        self._reached[share.priority] = max(self._reached.get(share.priority, 0.0), share.time)
        self._charges[job] = (search, share.guess)
        share.time += share.guess / share.weight

    def ends(self, job: str, seconds: float | None) -> None:
        """A job left its worker, after so many seconds if that is known."""
        search, charged = self._charges.pop(job)
        if seconds is None or search not in self._shares:
            return
        share = self._shares[search]
        share.time += (seconds - charged) / share.weight
        share.guess += LATEST * (seconds - share.guess)

    def _order(self, search: str) -> tuple[int, float, str]:
        share = self._shares[search]
        return (-share.priority, share.time, search)
