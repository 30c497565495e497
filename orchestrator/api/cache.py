"""Answers that take time: made in a thread, by one for all who ask meanwhile, and given again while they are fresh."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
from anyio import to_thread

from orchestrator.api.encoding import dumps

HOLD_SECONDS: Final = 1.0
TIMES: Final = 5.0
"""What took long to make is given for so many times as long: making answers never takes more than a sixth of a core."""
KEPT_BYTES: Final = 32 << 20
ENTRY_BYTES: Final = 1024
"""What an answer takes beside its text."""
THREADS: Final = 2


@dataclass(slots=True)
class _Answer:
    body: bytes = b""
    mark: Hashable = None
    until: float = 0.0
    making: anyio.Lock = field(default_factory=anyio.Lock)


class Answers:
    """Keeps answers by key, the least lately asked for going first.

    An answer is given again as long as its mark is the same (nothing has happened that people wait for) and it is
    no older than a second, or than it is worth.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, _Answer] = OrderedDict()
        self._size = 0
        self._threads = anyio.CapacityLimiter(THREADS)

    async def get(self, key: Hashable, mark: Hashable, prepare: Callable[[], Callable[[], Any]]) -> bytes:
        """Returns an answer as JSON.

        Args:
            key: what is asked.
            mark: must be equal to what it was when the answer was made.
            prepare: called here, on the loop, where the answer must be made; returns what makes it in a thread.
        """
        answer = self._kept.get(key)
        if answer is None:
            answer = self._kept[key] = _Answer()
            self._size += ENTRY_BYTES
            self._trim()
        else:
            self._kept.move_to_end(key)
        if not _is_fresh(answer, mark):
            async with answer.making:  # whoever waits here finds what the one before has made
                if not _is_fresh(answer, mark):
                    longer = await self._make(answer, mark, prepare())
                    if self._kept.get(key) is answer:  # it may have gone meanwhile
                        self._size += longer
                        self._trim()
        return answer.body

    async def run(self, make: Callable[[], Any]) -> bytes:
        """Returns an answer that is not kept."""
        return await to_thread.run_sync(lambda: dumps(make()), limiter=self._threads)

    async def _make(self, answer: _Answer, mark: Hashable, make: Callable[[], Any]) -> int:
        """Makes an answer; returns by how many bytes it is longer than before."""
        began, before = time.monotonic(), len(answer.body)
        answer.body = await self.run(make)
        now = time.monotonic()
        answer.mark, answer.until = mark, now + max(HOLD_SECONDS, TIMES * (now - began))
        return len(answer.body) - before

    def _trim(self) -> None:
        while self._size > KEPT_BYTES and len(self._kept) > 1:
            self._size -= ENTRY_BYTES + len(self._kept.popitem(last=False)[1].body)


def _is_fresh(answer: _Answer, mark: Hashable) -> bool:
    return answer.mark == mark and time.monotonic() < answer.until
