"""The journal's tail for those who watch: each event encoded once, shared by all watchers, none missed, none twice.

A watcher has a position, the last sequence number that it was given. What comes after it lies in a short tail in
memory, or, for one that joins late or reads slowly, in the journal: it goes from one to the other by its position
alone, so nothing is buffered for anybody.
"""

from __future__ import annotations

import asyncio
import time as clocks
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple

import anyio
import msgpack
from anyio import to_thread

from orchestrator.api.encoding import Encoded, event, passing
from orchestrator.views import History
from store.journal import Journal
from store.records.events import AnyEvent
from store.records.messages import Progress

TAIL_EVENTS, TAIL_BYTES = 4096, 8 << 20
PAGE = 512
"""Events that are read from the journal at a time; pages are shared by those who read the same part."""
PAGES = 24
CHUNK_BYTES = 256 << 10
GATHER_SECONDS = 0.02
"""Watchers are woken at most so often: they get what happened meanwhile together."""
BETWEEN_SECONDS = 1.0
"""Between two heartbeats of one worker."""


class _Passing(NamedTuple):
    """What is not journalled, encoded, with the search or the job that it is about."""

    version: int
    search: str | None
    job: str | None
    sent: bytes


class Feed:
    """An observer that many may watch through.

    Args:
        journal: where watchers catch up.
        history: its fold, which says which jobs a search asked for.

    Attributes:
        sequence: the last event that was heard of.
        milestone: the last one that changed a search's state.
    """

    def __init__(self, journal: Journal, history: History) -> None:
        self.sequence = self.milestone = journal.count
        self.history = history
        self.closed = False
        self._journal = journal
        self._tail: deque[Encoded] = deque()
        self._tail_bytes = 0
        self._pages: OrderedDict[int, Sequence[Encoded]] = OrderedDict()
        self._reading = anyio.Lock()
        self._passing: dict[tuple[str, str], _Passing] = {}
        self._passed = 0
        self._heard: dict[tuple[str, str], float] = {}
        self._changed = anyio.Event()
        self._gathering: asyncio.TimerHandle | None = None
        self._watchers = 0

    # What the daemon tells.

    def recalled(self, sequence: int, time: float, kind: str, payload: Mapping[str, Any]) -> None:
        """Takes note of how far the journal is."""
        self.sequence = self.milestone = max(sequence, self.sequence)

    def event(self, sequence: int, time: float, event_: AnyEvent) -> None:
        """Passes an event on to all watchers."""
        follows = sequence == self.sequence + 1
        self.sequence = sequence
        if event_.type.startswith("search_"):
            self.milestone = sequence
        if not self._watchers:
            return
        if not follows:
            self._forget()
        encoded = event(sequence, time, event_.type, event_.model_dump(mode="python"))
        self._tail.append(encoded)
        self._tail_bytes += len(encoded.sent)
        while len(self._tail) > TAIL_EVENTS or self._tail_bytes > TAIL_BYTES:
            self._tail_bytes -= len(self._tail.popleft().sent)
        self._wake()

    def progress(self, worker: str, job: str, message: Progress) -> None:
        """Passes a heartbeat on, at most one a second of each worker."""
        if self._watchers and self._due("progress", worker):
            shown = message.model_dump(exclude={"type", "job"})
            self._pass("progress", worker, {"worker": worker, "job": job, **shown})

    def strategy(self, search: str, done: int, total: int, label: str) -> None:
        """Passes on how far a search is, as often as heartbeats; its end always."""
        if self._watchers and (done == total or self._due("strategy", search)):
            shown = {"search": search, "done": done, "total": total, "label": label}
            self._pass("strategy", search, shown)

    def waiting(self, reason: str | None) -> None:
        """Passes on why nothing new starts, or that this is over."""
        if self._watchers:
            self._pass("waiting", "", {"reason": reason})

    def told(self, line: str) -> None:
        """Passes a line on; a watcher that is slow misses some."""
        if self._watchers:
            self._pass("told", str(self._passed % 16), {"line": line})

    def close(self) -> None:
        """Ends every watcher's stream at once."""
        self.closed = True
        if self._gathering is not None:
            self._gathering.cancel()
        self._flush()

    # What watchers ask.

    @contextmanager
    def watch(self, after: int, search: str | None = None) -> Iterator[Watcher]:
        """Opens a watcher.

        Args:
            after: the sequence number of the last event that it has.
            search: only what concerns this search, by its id.
        """
        self._watchers += 1
        try:
            yield Watcher(self, after, search, self._passed)
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._forget()

    @property
    def watchers(self) -> int:
        """Streams that are open."""
        return self._watchers

    def recent(self, position: int) -> Sequence[Encoded] | None:
        """Returns the events after a position, or None if the tail in memory does not reach back so far."""
        if position >= self.sequence:
            return ()
        if not self._tail or self._tail[0].sequence > position + 1:
            return None
        start = position + 1 - self._tail[0].sequence
        return list(islice(self._tail, start, start + PAGE))

    async def read(self, position: int) -> Sequence[Encoded]:
        """Returns the events after a position from the journal, up to the end of their page; none if there are none."""
        number, last = position // PAGE, self.sequence
        if position >= last:
            return ()
        async with self._reading:  # whoever waits here finds the page that the one before has read
            page, end = self._pages.get(number, ()), min((number + 1) * PAGE, last)
            if (there := number * PAGE + len(page)) < end:
                page = self._pages[number] = [*page, *await to_thread.run_sync(self._load, there, end)]
                while len(self._pages) > PAGES:
                    self._pages.popitem(last=False)
        return page[position - number * PAGE :]

    def passed(self, since: int, search: str | None) -> tuple[int, list[bytes]]:
        """Returns what happened since, of what is not journalled and still the latest of its kind."""
        latest = self._passing.values()
        return self._passed, [one.sent for one in latest if one.version > since and self._of(one, search)]

    @property
    def moment(self) -> anyio.Event:
        """What is set at the next change; to be taken before looking."""
        return self._changed

    def _of(self, one: _Passing, search: str | None) -> bool:
        return search is None or (one.search in (None, search) and (one.job is None or self._asked(one.job, search)))

    def _asked(self, job: str, search: str) -> bool:
        known = self.history.jobs.get(job)
        return known is not None and search in known.searches

    def _load(self, after: int, last: int) -> Sequence[Encoded]:
        rows = islice(self._journal.raw(after), last - after)
        return [event(row.sequence, row.time, row.type, msgpack.unpackb(row.payload, raw=False)) for row in rows]

    def _pass(self, kind: str, name: str, value: Mapping[str, Any]) -> None:
        self._passed += 1
        self._passing[kind, name] = _Passing(self._passed, value.get("search"), value.get("job"), passing(kind, value))
        self._wake()

    def _due(self, kind: str, name: str) -> bool:
        now = clocks.monotonic()
        if now - self._heard.get((kind, name), -BETWEEN_SECONDS) < BETWEEN_SECONDS:
            return False
        self._heard[kind, name] = now
        return True

    def _forget(self) -> None:
        self._tail.clear()
        self._tail_bytes = 0
        self._passing.clear()

    def _wake(self) -> None:
        if self._gathering is None:
            self._gathering = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._flush)

    def _flush(self) -> None:
        self._gathering = None
        self._changed.set()
        self._changed = anyio.Event()


class Watcher:
    """One who watches: a position in the journal, and nothing that waits for it."""

    def __init__(self, feed: Feed, after: int, search: str | None, passed: int) -> None:
        self.position = after
        self._feed = feed
        self._search = search
        self._passed = passed

    async def next(self) -> bytes | None:
        """Waits for more and returns it as server-sent events, some `CHUNK_BYTES` at most; None at the feed's end.

        May be cancelled at any time: what was not returned is returned the next time.
        """
        while not self._feed.closed:
            moment = self._feed.moment
            rows = self._feed.recent(self.position)
            if rows is None:
                rows = await self._feed.read(self.position)
            if chunk := self._take(rows):
                return chunk
            if rows:
                continue
            self._passed, found = self._feed.passed(self._passed, self._search)
            if found:
                return b"".join(found)
            await moment.wait()
        return None

    def _take(self, rows: Sequence[Encoded]) -> bytes:
        """Takes what concerns the search, until it is enough for a chunk; moves on past what does not."""
        chosen, size = list[bytes](), 0
        for row in rows:
            self.position = row.sequence
            if self._search is None or row.concerns(self._search, self._feed.history):
                chosen.append(row.sent)
                size += len(row.sent)
                if size >= CHUNK_BYTES:
                    break
        return b"".join(chosen)
