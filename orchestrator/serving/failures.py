"""How many failed attempts a search may have: more in an hour mean that something is wrong with it. Pure."""

from __future__ import annotations

from collections import Counter, deque

from orchestrator.wording import plural
from store.records.outcomes import brief

HOUR = 3600.0
SHOWN = 3


class FailureBudget:
    """The counted failures of each search, lately.

    Args:
        most: so many within `seconds` are borne.
        seconds: of a monotonic clock.
    """

    def __init__(self, most: int, seconds: float = HOUR) -> None:
        self._most, self._seconds = most, seconds
        self._failures: dict[str, deque[tuple[float, str]]] = {}

    def count(self, search: str, reason: str, message: str, now: float) -> str | None:
        """Counts a failed attempt; returns a summary of what failed if these are too many now."""
        lately = self._failures.setdefault(search, deque())
        lately.append((now, f"{reason}: {brief(message)}"))
        while now - lately[0][0] > self._seconds:
            lately.popleft()
        return self._summary(lately) if len(lately) > self._most else None

    def forget(self, search: str) -> None:
        """Starts a search's count again."""
        self._failures.pop(search, None)

    def _summary(self, lately: deque[tuple[float, str]]) -> str:
        reasons = Counter(reason for _, reason in lately).most_common()
        shown = "; ".join(f"{count} times {reason}" for reason, count in reasons[:SHOWN])
        more = f"; and {plural(len(reasons) - SHOWN, 'other reason')}" if len(reasons) > SHOWN else ""
        within = f"{len(lately)} attempts failed within {self._seconds / 60:g} minutes, {self._most} are borne"
        return f"{within}: {shown}{more}"
