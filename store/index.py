"""Where blocks lie: a cache of the packs' own indexes, shared by all processes that use a store.

It is not durable and never trusted: a hit is checked by the block's digest when it is read, a miss by a look at the
packs. If it is missing, unfinished or damaged it is made anew from the packs. Processes that still have a damaged one
open go on with it; what they add there is found by the next look at the packs.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from store.errors import StoreFailed, StoreFull
from store.files import disk_errors, is_digest
from store.packs import PackEntry, is_possible

Result = TypeVar("Result")
Argument = TypeVar("Argument")
Pack = tuple[str, Sequence[PackEntry]]

NAME = "index.sqlite"
_LOCK = "index.lock"
_BUSY_SECONDS = 30.0
_AT_ONCE = 500
_FILLED = 1
_NO_ROOM = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE})
_USELESS = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH})
# The second where SQLite's message quotes damaged bytes.
_ERRORS = (sqlite3.Error, UnicodeDecodeError)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS packs (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS blocks (
    digest TEXT NOT NULL,
    pack INTEGER NOT NULL,
    dtype TEXT NOT NULL,
    start INTEGER NOT NULL,
    length INTEGER NOT NULL,
    PRIMARY KEY (digest, pack)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS blocks_by_pack ON blocks (pack);
"""
_FIND = "SELECT digest, dtype, start, length, name FROM blocks JOIN packs ON pack = id WHERE digest IN"


class Location(NamedTuple):
    """A block's place: the pack's name, and where in the pack."""

    pack: str
    entry: PackEntry


class BlobIndex:
    """The cache, open in one process. Calls come from one thread at a time (`BlobStore` sees to it).

    Args:
        folder: where it lies, or None for one in memory, where nothing can be written.
        scan: gives every pack that is there, to fill a new index.
    """

    def __init__(self, folder: Path | None, scan: Callable[[], Iterable[Pack]]) -> None:
        self._folder, self._scan = folder, scan
        self._connection = self._open()

    def find(self, digests: Sequence[str]) -> dict[str, list[Location]]:
        """Returns every known place of some blocks."""
        found: dict[str, list[Location]] = {}
        for start in range(0, len(digests), _AT_ONCE):
            for digest, dtype, offset, length, pack in self._run(_find, digests[start : start + _AT_ONCE]):
                found.setdefault(digest, []).append(Location(pack, PackEntry(digest, dtype, offset, length)))
        return found

    def add(self, packs: Iterable[Pack]) -> None:
        """Takes note of packs; one that is known already changes nothing."""
        self._run(_add, packs)

    def forget(self, packs: Iterable[str]) -> None:
        """Drops packs that are no longer there."""
        self._run(_forget, packs)

    def packs(self) -> set[str]:
        """Returns the names of the known packs."""
        return {name for (name,) in self._run(_names, None)}

    def entries(self, pack: str) -> list[PackEntry]:
        """Returns what is known of a pack's blocks."""
        return [PackEntry(*row) for row in self._run(_entries, pack)]

    def remake(self) -> None:
        """Makes the index anew from the packs: something in it proved to be wrong."""
        self._connection.close()
        self._connection = self._open(anew=True)

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def _run(self, work: Callable[[sqlite3.Connection, Argument], Result], argument: Argument) -> Result:
        try:
            return work(self._connection, argument)
        except _ERRORS as error:
            if not _is_useless(error):
                raise self._failure(error) from error
        self.remake()
        return work(self._connection, argument)

    def _failure(self, error: Exception) -> StoreFull | StoreFailed:
        path = (self._folder or Path()) / NAME
        if getattr(error, "sqlite_errorcode", None) in _NO_ROOM:
            return StoreFull(path, str(error))
        return StoreFailed(path, str(error))

    def _open(self, *, anew: bool = False) -> sqlite3.Connection:
        if self._folder is None:
            return self._filled(sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False))
        with disk_errors(self._folder / NAME), _alone(self._folder):
            try:
                if not anew:
                    return self._filled(_connect(self._folder / NAME))
            except _ERRORS as error:
                if not _is_useless(error):
                    raise self._failure(error) from error
            for suffix in ("", "-wal", "-shm"):
                (self._folder / (NAME + suffix)).unlink(missing_ok=True)
            return self._filled(_connect(self._folder / NAME))

    def _filled(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        try:
            if connection.execute("PRAGMA user_version").fetchone()[0] != _FILLED:
                connection.executescript(_SCHEMA)
                _add(connection, self._scan())
                connection.execute(f"PRAGMA user_version={_FILLED}")
            # Where a damaged page cannot be read this fails now, and the index is made anew.
            connection.execute("SELECT count(*) FROM packs").fetchone()
        except BaseException:
            connection.close()
            raise
        return connection


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=OFF")
    except BaseException:
        connection.close()
        raise
    return connection


def _is_useless(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is None or code & 0xFF in _USELESS


def _find(connection: sqlite3.Connection, digests: Sequence[str]) -> list[tuple[str, str, int, int, str]]:
    rows = connection.execute(f"{_FIND} ({', '.join('?' * len(digests))})", list(digests)).fetchall()
    if not all(is_possible(PackEntry(*row[:4])) and is_digest(row[4]) for row in rows):
        raise sqlite3.DatabaseError("a row is damaged")
    return rows


def _entries(connection: sqlite3.Connection, pack: str) -> list[tuple[str, str, int, int]]:
    query = "SELECT digest, dtype, start, length FROM blocks JOIN packs ON pack = id WHERE name = ? ORDER BY start"
    rows = connection.execute(query, (pack,)).fetchall()
    return [row for row in rows if is_possible(PackEntry(*row))]


def _names(connection: sqlite3.Connection, nothing: None) -> list[tuple[str]]:
    return connection.execute("SELECT name FROM packs").fetchall()


def _add(connection: sqlite3.Connection, packs: Iterable[Pack]) -> None:
    with _transaction(connection):
        for name, entries in packs:
            connection.execute("INSERT OR IGNORE INTO packs (name) VALUES (?)", (name,))
            (number,) = connection.execute("SELECT id FROM packs WHERE name = ?", (name,)).fetchone()
            rows = [(entry.digest, number, entry.dtype, entry.offset, entry.length) for entry in entries]
            connection.executemany("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?, ?)", rows)


def _forget(connection: sqlite3.Connection, packs: Iterable[str]) -> None:
    with _transaction(connection):
        for name in packs:
            connection.execute("DELETE FROM blocks WHERE pack IN (SELECT id FROM packs WHERE name = ?)", (name,))
            connection.execute("DELETE FROM packs WHERE name = ?", (name,))


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps other processes from opening the index while it is opened, made or replaced here."""
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
