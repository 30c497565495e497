"""Group commit: one thread writes the journal, and everything that waits goes into one transaction."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

from store.errors import JournalClosed, JournalFailed, StoreError
from store.journal_head import Head, HeadState
from store.journal_table import Entry, checkpoint, insert, writing_error

_CHECKPOINT_BYTES = 4 << 20


class JournalWriter:
    """Takes events from any thread and makes them durable in the order in which they came.

    A commit is two steps: the transaction in SQLite (write-ahead log, fsynced), then the head file. Futures resolve
    after the second. A transaction that found no room is rolled back and fails only those who waited for it. Any other
    failure leaves open what the disk holds, so it ends the writer: an fsync is never tried twice.

    Attributes:
        on_commit: told the seconds and the rows of every transaction, on the writer's thread; it must not raise.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, head: Head, state: HeadState) -> None:
        self._path, self._connection, self._head = path, connection, head
        self._state = state
        self._waiting: list[tuple[Sequence[Entry], Future[int]]] = []
        self._wake = threading.Condition()
        self._closing = False
        self._dead: JournalFailed | None = None
        self._in_log = 0
        self._since: float | None = None
        self.on_commit: Callable[[float, int], None] | None = None
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    @property
    def state(self) -> HeadState:
        """The head: what is durable."""
        return self._state

    @property
    def pending_seconds(self) -> float:
        """How long the transaction under way has taken so far; 0 if there is none."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    def submit(self, entries: Sequence[Entry]) -> Future[int]:
        """Queues events; the future gives the last one's sequence number once they are durable.

        Raises:
            JournalFailed: if an earlier commit failed for good.
            JournalClosed: after `close`.
        """
        future: Future[int] = Future()
        future.set_running_or_notify_cancel()  # what is queued will be written: it cannot be cancelled
        with self._wake:
            if self._dead is not None:
                raise self._dead
            if self._closing:
                raise JournalClosed(self._path, "it is closed")
            self._waiting.append((entries, future))
            self._wake.notify()
        return future

    def close(self) -> None:
        """Writes what waits, ends the thread and closes the files. May be called twice."""
        with self._wake:
            if self._closing:
                return
            self._closing = True
            self._wake.notify()
        self._thread.join()
        self._connection.close()
        self._head.close()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._waiting or self._closing)
                group, self._waiting = self._waiting, []
            if not group:
                return
            self._since = time.monotonic()
            self._serve(group)
            self._since = None

    def _serve(self, group: list[tuple[Sequence[Entry], Future[int]]]) -> None:
        before = self._state.rows
        try:
            self._commit([entry for entries, _ in group for entry in entries])
        except StoreError as error:
            for _, future in group:
                future.set_exception(error)
            return
        for entries, future in group:
            before += len(entries)
            future.set_result(before)
        self._shorten_log()

    def _commit(self, entries: list[Entry]) -> None:
        if self._dead is not None:
            raise self._dead
        if not entries:
            return
        began = time.monotonic()
        try:
            state = insert(self._connection, self._state, entries)
            self._head.write(state)
        except sqlite3.Error as error:
            failure = writing_error(self._path, error)
            raise self._end(failure) if isinstance(failure, JournalFailed) else failure from error
        except OSError as error:
            raise self._end(JournalFailed(self._path, f"head file: {error}")) from error
        except Exception as error:
            # Whatever it is: those who wait must hear of it, and nobody knows what the disk holds.
            raise self._end(JournalFailed(self._path, f"{type(error).__name__}: {error}")) from error
        self._state = state
        self._in_log += sum(len(entry.payload) + 400 for entry in entries)
        if self.on_commit is not None:
            self.on_commit(time.monotonic() - began, len(entries))

    def _shorten_log(self) -> None:
        if self._in_log < _CHECKPOINT_BYTES:
            return
        self._in_log = 0
        try:
            checkpoint(self._connection)
        except sqlite3.Error as error:
            self._end(JournalFailed(self._path, f"{error} ({error.sqlite_errorname})"))

    def _end(self, failure: JournalFailed) -> JournalFailed:
        with self._wake:
            self._dead = failure
        return failure
