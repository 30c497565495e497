"""The order in which waiting jobs get slots. Pure.

Between searches it is the one that their shares name; inside a search resumes come before fresh trains, because they
unblock a cycle, and the longest first, so that a cycle's last job does not leave devices idle. A job that several
searches asked for waits in the line of each, and is done once.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from orchestrator.shares import Shares


def _any(job: str) -> bool:
    return True


@dataclass(slots=True)
class _Waiting:
    place: tuple[bool, int, int]
    searches: set[str] = field(default_factory=set)


class JobQueue:
    """Waiting jobs, one heap for each search; what has left a line is dropped when it comes to the front."""

    def __init__(self) -> None:
        self._heaps: dict[str, list[tuple[tuple[bool, int, int], str]]] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._ticket = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, job: str) -> bool:
        return job in self._waiting

    def push(self, job: str, searches: Collection[str], *, resumes: bool, epochs: int) -> None:
        """Adds a job of some searches that will train for so many epochs."""
        self._ticket += 1
        self._waiting[job] = _Waiting((not resumes, -epochs, self._ticket))
        for search in searches:
            self.join(job, search)

    def join(self, job: str, search: str) -> None:
        """Lets a waiting job be one of another search too."""
        entry = self._waiting[job]
        if search not in entry.searches:
            entry.searches.add(search)
            heapq.heappush(self._heaps.setdefault(search, []), (entry.place, job))

    def leave(self, job: str, search: str) -> None:
        """Takes a job out of a search's line; out of all lines, if it was in no other."""
        entry = self._waiting[job]
        entry.searches.discard(search)
        if not entry.searches:
            del self._waiting[job]

    def has(self, search: str) -> bool:
        """Whether a job of a search waits."""
        return self._head(search) is not None

    def peek(self, shares: Shares, fits: Callable[[str], bool] = _any) -> str | None:
        """Returns the job that is next, of the first of each search's line those that fit."""
        search = shares.next(self._lines(fits))
        return None if search is None else self._head(search)

    def pop(self, shares: Shares, fits: Callable[[str], bool] = _any) -> tuple[str, str] | None:
        """Takes out the job that `peek` returns; returns it with the search that it is done for."""
        search = shares.next(self._lines(fits))
        job = None if search is None else self._head(search)
        if search is None or job is None:
            return None
        del self._waiting[job]
        return job, search

    def _lines(self, fits: Callable[[str], bool]) -> list[str]:
        heads = ((search, self._head(search)) for search in list(self._heaps))
        return [search for search, head in heads if head is not None and fits(head)]

    def _head(self, search: str) -> str | None:
        """The first job of a search's line; an empty line is dropped."""
        heap = self._heaps.get(search, [])
        while heap:
            place, job = heap[0]
            entry = self._waiting.get(job)
            if entry is not None and entry.place == place and search in entry.searches:
                return job
            heapq.heappop(heap)
        self._heaps.pop(search, None)
        return None
