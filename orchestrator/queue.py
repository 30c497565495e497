"""The order in which waiting jobs get slots. Pure.

Fair between searches (the one with the fewest jobs on workers comes first); inside a search resumes before fresh
trains, because they unblock a cycle, and the longest first, so that a cycle's last job does not leave devices idle.
"""

from __future__ import annotations

import heapq
from collections import Counter


class JobQueue:
    """Waiting jobs, one heap for each search."""

    def __init__(self) -> None:
        self._heaps: dict[str, list[tuple[bool, int, int, str]]] = {}
        self._waiting: set[str] = set()
        self._ticket = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, job: str) -> bool:
        return job in self._waiting

    def push(self, job: str, search: str, *, resumes: bool, epochs: int) -> None:
        """Adds a job that will train for so many epochs."""
        self._ticket += 1
        self._waiting.add(job)
        heapq.heappush(self._heaps.setdefault(search, []), (not resumes, -epochs, self._ticket, job))

    def peek(self, on_workers: Counter[str]) -> str | None:
        """Returns the job that is next, given how many jobs each search has on workers."""
        search = self._next(on_workers)
        return None if search is None else self._heaps[search][0][-1]

    def pop(self, on_workers: Counter[str]) -> str | None:
        """Takes out the job that `peek` returns."""
        search = self._next(on_workers)
        if search is None:
            return None
        job = heapq.heappop(self._heaps[search])[-1]
        self._waiting.discard(job)
        return job

    def _next(self, on_workers: Counter[str]) -> str | None:
        waiting = [search for search, heap in self._heaps.items() if heap]
        return min(waiting, key=lambda name: (on_workers[name], name), default=None)
