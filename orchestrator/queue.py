"""The order in which waiting jobs get slots. Pure.

Fair between searches (the one with the fewest jobs on workers comes first); inside a search resumes before fresh
trains, because they unblock a cycle, and the longest first, so that a cycle's last job does not leave devices idle.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator


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

    def __iter__(self) -> Iterator[str]:
        return iter(self._waiting)

    def push(self, job: str, search: str, *, resumes: bool, epochs: int) -> None:
        """Adds a job that will train for so many epochs."""
        self._ticket += 1
        self._waiting.add(job)
        heapq.heappush(self._heaps.setdefault(search, []), (not resumes, -epochs, self._ticket, job))

    def pop(self, on_workers: Counter[str]) -> str | None:
        """Takes out the job that is next, given how many jobs each search has on workers."""
        for search in sorted(self._heaps, key=lambda name: (on_workers[name], name)):
            heap = self._heaps[search]
            while heap:
                job = heapq.heappop(heap)[-1]
                if job in self._waiting:
                    self._waiting.discard(job)
                    return job
        return None

    def remove(self, job: str) -> None:
        """Forgets a job; nothing happens if it does not wait."""
        self._waiting.discard(job)
