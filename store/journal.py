"""The journal: an append-only table of events, the single commit point and the only truth.

Every row carries the hash of the row before it and of itself (`journal_table`), the newest head lies in a small fsynced
file outside SQLite (`journal_head`), and a thread of its own commits in groups (`journal_writer`). Opening a journal
reads and checks all of it: what it gives afterwards is what was acknowledged, or opening fails and says which row.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgpack

from store.errors import JournalClosed, JournalCorrupt, JournalTruncated, NotCanonical, StoreFull
from store.files import disk_errors, sync_folder
from store.journal_head import NAME as HEAD_NAME
from store.journal_head import NOTHING, Head, HeadState, create_head, read_head
from store.journal_table import (
    ERRORS,
    NAME,
    Entry,
    Told,
    connect_for_reading,
    connect_for_writing,
    has_rows,
    reading_error,
    walk,
)
from store.journal_writer import JournalWriter
from store.records.events import EVENT, AnyEvent

LARGEST_EVENT = 64 << 20
_PAGE = 1000
_EMPTY = HeadState(0, NOTHING)


class Row(NamedTuple):
    """A journalled event; `time` is in seconds since 1970 and orders nothing, `sequence` does."""

    sequence: int
    time: float
    event: AnyEvent


class RawRow(NamedTuple):
    """A row as it lies in the table; `payload` is the event's msgpack."""

    sequence: int
    time: float
    type: str
    search: str | None
    job: str | None
    payload: bytes

    def decode(self) -> Row:
        """Returns the row with its event."""
        return Row(self.sequence, self.time, EVENT.validate_python(msgpack.unpackb(self.payload, raw=False)))


class Journal:
    """A store's journal. One process writes it (see `store.lock`); others may read it at the same time.

    Args:
        folder: the store.
        read_only: read only; works beside a writer, and where nothing can be written.
        told: of a journal that is opened for writing, hears of each row when it is found sound, so that what folds the
            journal need not read it again. If a later row is not sound, opening fails, and what was told is void.

    Raises:
        JournalCorrupt: if a row, or the head file, is not what was written.
        JournalTruncated: if acknowledged rows are missing.
        StoreReadOnly: if it cannot be opened in this way where it lies.
    """

    def __init__(self, folder: Path, *, read_only: bool = False, told: Told | None = None) -> None:
        self.path = folder / NAME
        self._writer: JournalWriter | None = None
        if read_only:
            self._verified = _verify_for_reading(self.path)
        else:
            self._writer = _open_writer(self.path, told)

    @property
    def count(self) -> int:
        """Rows that are durable; opened for reading: rows that were there then."""
        return self._verified.rows if self._writer is None else self._writer.state.rows

    @property
    def pending_seconds(self) -> float:
        """How long the transaction under way has taken so far; 0 if there is none."""
        return 0.0 if self._writer is None else self._writer.pending_seconds

    def on_commit(self, told: Callable[[float, int], None]) -> None:
        """Has the seconds and the rows of every transaction told, on the writer's thread."""
        if self._writer is not None:
            self._writer.on_commit = told

    def submit(self, events: Sequence[AnyEvent], now: float | None = None) -> Future[int]:
        """Queues events for the next transaction, all of them or none.

        Args:
            events: what has happened.
            now: when, in seconds since 1970; absent: now.

        Returns:
            A future of the last event's sequence number, resolved when all of them are durable. It fails with
            `StoreFull` (none of them is in the journal; submit them again when there is room) or `JournalFailed`.

        Raises:
            JournalClosed: if the journal is closed or was opened for reading.
            JournalFailed: if an earlier commit failed for good.
            NotCanonical: if an event holds what msgpack does not carry, or is larger than `LARGEST_EVENT` bytes.
        """
        if self._writer is None:
            raise JournalClosed(self.path, "it was opened for reading")
        moment = time.time() if now is None else now
        return self._writer.submit([_encode(event, moment) for event in events])

    def append(self, events: Sequence[AnyEvent]) -> int:
        """Writes events and waits until they are durable; as `submit`."""
        return self.submit(events).result()

    def rows(
        self,
        after: int = 0,
        *,
        types: Collection[str] | None = None,
        search: str | None = None,
        job: str | None = None,
    ) -> Iterator[Row]:
        """Yields events in order, those after a sequence number, of some types, of one search, of one job."""
        for row in self.raw(after, types=types, search=search, job=job):
            yield row.decode()

    def raw(
        self,
        after: int = 0,
        *,
        types: Collection[str] | None = None,
        search: str | None = None,
        job: str | None = None,
    ) -> Iterator[RawRow]:
        """Yields rows as `rows` does, undecoded: some ten times as fast."""
        conditions, values = _where(types, search, job)
        if self._writer is not None:
            conditions.append(f"sequence <= {self.count}")  # committed but not yet in the head: not yet acknowledged
        elif not self.path.exists():
            return  # opened for reading before anything was written
        query = (
            "SELECT sequence, time, type, search, job, payload FROM events "
            f"WHERE {' AND '.join(['sequence > ?', *conditions])} ORDER BY sequence LIMIT {_PAGE}"
        )
        with closing(connect_for_reading(self.path)) as connection:
            if not has_rows(connection, self.path):
                return
            while page := _fetch(connection, self.path, query, [after, *values]):
                for columns in page:
                    yield RawRow(*columns)
                after = page[-1][0]

    def close(self) -> None:
        """Writes what waits and closes the files; safe to call twice."""
        if self._writer is not None:
            self._writer.close()


def _encode(event: AnyEvent, now: float) -> Entry:
    # Fields stand in the order of their class, so equal events have equal bytes.
    try:
        payload: bytes = msgpack.packb(event.model_dump(mode="python"), use_bin_type=True)
    except (TypeError, ValueError, OverflowError) as error:
        raise NotCanonical(event, str(error)) from error
    if len(payload) > LARGEST_EVENT:
        raise NotCanonical(event, f"it takes {len(payload)} bytes, at most {LARGEST_EVENT} are allowed")
    return Entry(now, event.type, getattr(event, "search", None), getattr(event, "job", None), payload)


def _where(types: Collection[str] | None, search: str | None, job: str | None) -> tuple[list[str], list[object]]:
    conditions: list[str] = []
    values: list[object] = []
    if types is not None:
        conditions.append(f"type IN ({', '.join('?' * len(types))})")
        values += types
    for column, value in (("search", search), ("job", job)):
        if value is not None:
            conditions.append(f"{column} = ?")
            values.append(value)
    return conditions, values


def _fetch(
    connection: sqlite3.Connection, path: Path, query: str, values: list[object]
) -> list[tuple[int, float, str, str | None, str | None, bytes]]:
    try:
        return connection.execute(query, values).fetchall()
    except ERRORS as error:
        raise reading_error(path, error) from error


def _acknowledged(path: Path) -> HeadState | None:
    try:
        state = read_head(path.parent)
    except FileNotFoundError:
        return None
    if state is None:
        raise JournalCorrupt(path, None, f"{HEAD_NAME} is damaged: no slot of it is sound")
    return state


def _verify_for_reading(path: Path) -> HeadState:
    # The head is read first: a writer beside us only adds rows, so the table that is read next holds at least as many.
    acknowledged = _acknowledged(path)
    if not path.exists():
        if acknowledged is not None and acknowledged.rows:
            raise JournalTruncated(path, 0, acknowledged.rows)
        return _EMPTY
    with closing(connect_for_reading(path)) as connection:
        if acknowledged is None and has_rows(connection, path) and (path.parent / HEAD_NAME).exists():
            return _verify_for_reading(path)  # another process was just making the store
        return _verify(connection, path, acknowledged)


def _verify(
    connection: sqlite3.Connection, path: Path, acknowledged: HeadState | None, told: Told | None = None
) -> HeadState:
    if not has_rows(connection, path):
        if acknowledged is not None and acknowledged.rows:
            raise JournalTruncated(path, 0, acknowledged.rows)
        return _EMPTY
    if acknowledged is None:
        # Rows are only written after the head was made, so it was there.
        raise JournalCorrupt(path, None, f"has rows, but {HEAD_NAME} is missing")
    state = walk(connection, path, acknowledged, told)
    if state.rows < acknowledged.rows:
        raise JournalTruncated(path, state.rows, acknowledged.rows)
    return state


def _open_writer(path: Path, told: Told | None) -> JournalWriter:
    if path.exists() and not os.access(path, os.W_OK):
        with disk_errors(path):
            os.close(os.open(path, os.O_RDWR))
    try:
        connection = connect_for_writing(path)
    except ERRORS as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise StoreFull(path, str(error)) from error
        raise reading_error(path, error) from error
    try:
        return _adopt(path, connection, told)
    except BaseException:
        connection.close()
        raise


def _adopt(path: Path, connection: sqlite3.Connection, told: Told | None) -> JournalWriter:
    """Checks the rows; those that a killed process committed but never acknowledged become part of the journal."""
    acknowledged = _acknowledged(path)
    state = _verify(connection, path, acknowledged, told)
    with disk_errors(path):
        sync_folder(path.parent)
        if acknowledged is None:
            create_head(path.parent, state)
        head = Head(path.parent, acknowledged or state)
        if state != (acknowledged or state):
            head.write(state)
    return JournalWriter(path, connection, head, state)
