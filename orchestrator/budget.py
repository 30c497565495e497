"""How much may be started in any minute. Pure: times are passed in."""

from __future__ import annotations

from collections import deque


class StartBudget:
    """At most so many starts in any `seconds`; a start that must wait keeps its place.

    Args:
        most: starts.
        seconds: the length of the window, of a monotonic clock.
    """

    def __init__(self, most: int, seconds: float = 60.0) -> None:
        self._most = most
        self._seconds = seconds
        self._starts: deque[float] = deque()

    def take(self, now: float) -> float:
        """Takes one start out of the budget; returns in how many seconds it may be made, 0 for at once."""
        while self._starts and self._starts[0] <= now - self._seconds:
            self._starts.popleft()
        when = now
        if len(self._starts) >= self._most:
            when = max(now, self._starts[-self._most] + self._seconds)
        self._starts.append(when)
        return when - now
