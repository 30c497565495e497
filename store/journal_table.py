"""The journal's table: its columns, its connections, and the chain of hashes that runs through its rows."""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from blake3 import blake3

from store.errors import JournalCorrupt, JournalFailed, StoreFailed, StoreFull, StoreReadOnly
from store.journal_head import NOTHING, HeadState

NAME = "journal.sqlite"
BUSY_SECONDS = 10.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    sequence INTEGER PRIMARY KEY,
    time REAL NOT NULL,
    type TEXT NOT NULL,
    search TEXT,
    job TEXT,
    payload BLOB NOT NULL,
    previous BLOB NOT NULL,
    hash BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS events_by_search ON events (search) WHERE search IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_by_job ON events (job) WHERE job IS NOT NULL;
"""
_INSERT = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_CHAIN = "SELECT sequence, time, type, search, job, payload, previous, hash FROM events ORDER BY sequence"
_POSITION = struct.Struct("<qd")
# What SQLite says when there was no room; a write that fails otherwise (EFBIG, EDQUOT) has no code of its own.
_NO_ROOM = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE})
_NOT_WRITABLE = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What reading raises; the second where SQLite's message quotes damaged bytes."""


class Entry(NamedTuple):
    """An event on its way into the table, or out of it: `payload` is its msgpack, `time` is in seconds since 1970."""

    time: float
    type: str
    search: str | None
    job: str | None
    payload: bytes


Told = Callable[[int, Entry], None]
"""Hears of a row and its number."""


def connect_for_writing(path: Path) -> sqlite3.Connection:
    """Opens the table, makes it if it is new, and brings what an earlier process left in the log into it.

    Checkpoints are run by hand (`checkpoint`), because SQLite passes over what fails in its automatic ones.
    """
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.executescript(_SCHEMA)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_for_reading(path: Path) -> sqlite3.Connection:
    """Opens the table beside a writer, or on a file system where nothing can be written.

    Raises:
        StoreReadOnly: if rows lie in the write-ahead log and SQLite cannot make the index that it needs to read them.
    """
    place = f"file:{quote(str(path))}?mode=ro"
    if not os.access(path.parent, os.W_OK):
        log = path.with_name(path.name + "-wal")
        if log.exists() and log.stat().st_size:
            raise StoreReadOnly(path.parent, "the journal was not closed, and reading its log needs a writable folder")
        place += "&immutable=1"
    return sqlite3.connect(place, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def has_rows(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the table is there and holds anything; a process killed while it made the store leaves neither."""
    try:
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'events'").fetchone() is None:
            return False
        return connection.execute("SELECT 1 FROM events LIMIT 1").fetchone() is not None
    except ERRORS as error:
        raise reading_error(path, error) from error


def link(previous: bytes, sequence: int, entry: Entry) -> bytes:
    """Returns the hash of a row: 32 bytes of BLAKE3 over the hash before it and everything that the row holds."""
    time, kind, search, job, payload = entry
    words = f"{kind}\0{search or ''}\0{job or ''}\0"
    return blake3(previous + _POSITION.pack(sequence, time) + words.encode() + payload).digest()


def insert(connection: sqlite3.Connection, head: HeadState, entries: Iterable[Entry]) -> HeadState:
    """Adds rows in one durable transaction and returns the head after them.

    Raises:
        sqlite3.Error: if it fails; then none of the rows is in the table.
    """
    count, last = head
    rows = []
    for entry in entries:
        count += 1
        following = link(last, count, entry)
        rows.append((count, *entry, last, following))
        last = following
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_INSERT, rows)
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return HeadState(count, last)


def checkpoint(connection: sqlite3.Connection) -> None:
    """Moves committed rows from the write-ahead log into the table's file.

    Raises:
        sqlite3.Error: if that fails for another reason than want of room, which only leaves the log longer.
    """
    try:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.Error as error:
        if error.sqlite_errorcode not in _NO_ROOM:
            raise


def sound_rows(connection: sqlite3.Connection, path: Path) -> Iterator[tuple[int, Entry, bytes]]:
    """Yields sequence number, entry and hash of every row, from the first on, for as long as the chain holds.

    Raises:
        JournalCorrupt: at the first row that is missing or altered.
    """
    expected, last = 1, NOTHING
    try:
        for sequence, time, kind, search, job, payload, previous, own in connection.execute(_CHAIN):
            if sequence != expected:
                raise JournalCorrupt(path, expected, "is missing")
            entry = Entry(time, kind, search, job, payload)
            if previous != last or own != link(last, sequence, entry):
                raise JournalCorrupt(path, expected, "was altered")
            yield sequence, entry, own
            expected, last = expected + 1, own
    except (TypeError, AttributeError, struct.error) as error:
        raise JournalCorrupt(path, expected, "was altered: a column has another type") from error
    except ERRORS as error:
        raise reading_error(path, error, expected) from error


def walk(connection: sqlite3.Connection, path: Path, acknowledged: HeadState, told: Told | None = None) -> HeadState:
    """Recomputes the chain from the first row to the last and returns its head.

    Args:
        connection: to the table.
        path: of the table.
        acknowledged: the head that is kept outside it.
        told: hears of each row that is sound, before the next one is looked at.

    Raises:
        JournalCorrupt: at the first row that is missing, altered, or not what was acknowledged under its number.
    """
    sequence, own = 0, NOTHING
    for sequence, entry, own in sound_rows(connection, path):
        if sequence == acknowledged.rows and own != acknowledged.hash:
            raise JournalCorrupt(path, sequence, "is not the row that was acknowledged under this number")
        if told is not None:
            told(sequence, entry)
    return HeadState(sequence, own)


def integrity(path: Path) -> str:
    """Says what SQLite finds wrong with the table's indexes and pages; empty if nothing, or if there is no table.

    The chain of hashes covers the rows, and nothing but them; a damaged index can hide rows from who asks for some.

    Raises:
        StoreReadOnly: if it cannot be read where it lies.
    """
    if not path.exists():
        return ""
    try:
        with closing(connect_for_reading(path)) as connection:
            found = [str(line) for (line,) in connection.execute("PRAGMA integrity_check(3)")]
    except ERRORS as error:
        return str(error)
    return "" if found == ["ok"] else "; ".join(found)


def reading_error(path: Path, error: Exception, sequence: int | None = None) -> Exception:
    """Returns the store's own error for what SQLite says while it reads."""
    primary = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    # Text that is not UTF-8 has no code: it can only come from a damaged row.
    if primary in _DAMAGED or primary == 0:
        return JournalCorrupt(path, sequence, f"cannot be read ({error})")
    if primary in _NOT_WRITABLE:
        return StoreReadOnly(path, str(error))
    return StoreFailed(path, str(error))


def writing_error(path: Path, error: sqlite3.Error) -> StoreFull | JournalFailed:
    """Returns the store's own error for what SQLite says while it writes."""
    if error.sqlite_errorcode in _NO_ROOM:
        return StoreFull(path, str(error))
    return JournalFailed(path, f"{error} ({error.sqlite_errorname})")
