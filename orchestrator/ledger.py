"""Writes what happened to the journal, and tells the observer; waits where the disk has no room."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

from orchestrator.observer import Observer
from store.errors import StoreFull, StoreReadOnly
from store.journal import Journal
from store.records.events import AnyEvent

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0

T = TypeVar("T")


class Ledger:
    """The way of all events into the journal; used by one task at a time, so their order is that of the rows.

    Args:
        journal: open for writing.
        observer: hears of each event once it is durable.
        troubled: called with the error when there is no room.

    Attributes:
        pending: what `commit` was given and is not durable yet.
        trouble: why nothing can be journalled now; None while it can.
        leaving: whether the process ends: then nobody waits for room.
    """

    def __init__(self, journal: Journal, observer: Observer, troubled: Callable[[Exception], None]) -> None:
        self.pending: Sequence[AnyEvent] = ()
        self.trouble: StoreFull | StoreReadOnly | None = None
        self.leaving = False
        self._journal, self._observer, self._troubled = journal, observer, troubled

    async def commit(self, events: Sequence[AnyEvent]) -> None:
        """Journals events, all or none, and waits for room if there is none.

        Raises:
            StoreFull, StoreReadOnly: if there is none and the process is leaving.
            JournalFailed: if the journal failed for good.
        """
        if events:
            self.pending = events
            await self.when_there_is_room(lambda: self._write(events))
            self.pending = ()

    async def write(self, events: Sequence[AnyEvent]) -> None:
        """Journals events, all or none, now or not at all.

        Raises:
            StoreFull, StoreReadOnly: if there is no room.
            JournalFailed: if the journal failed for good.
        """
        if events:
            await self._write(events)

    async def when_there_is_room(self, write: Callable[[], Awaitable[T]]) -> T:
        """Tries a write until the disk has room for it; raises as `commit`."""
        wait = FIRST_WAIT
        while True:
            try:
                written = await write()
            except (StoreFull, StoreReadOnly) as error:
                if self.leaving:
                    raise
                self.trouble = error
                self._troubled(error)
                self._observer.waiting(f"{error}; nothing is lost, it is tried again every {wait:g} s")
                await anyio.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT)
            else:
                self.trouble = None
                return written

    async def _write(self, events: Sequence[AnyEvent]) -> None:
        """Journals events and tells of them, with the time that their rows have."""
        now = time.time()
        last = await asyncio.wrap_future(self._journal.submit(events, now))
        for offset, event in enumerate(events, start=last - len(events) + 1):
            self._observer.event(offset, now, event)
