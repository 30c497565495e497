"""What jobs printed: `<store>/logs/jobs/<job>.log`, written by workers (`trainers.output`), read and thinned here."""

from __future__ import annotations

import codecs
import os
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.observer import Silent
from store.records.events import AnyEvent, AttemptFailed, JobFailed, JobStopped, JobSucceeded

HEADING = "== "
"""What the line begins with that heads each attempt; `trainers.output` writes it."""
FATAL = "Fatal Python error: "
"""What the line begins with in which `faulthandler` says why a process ends."""
LINES = 10
DUMPED = 100
"""Lines that a dump of a stack may have."""
TAIL_BYTES = 8192
SAID = 200
PIECE_BYTES = 1 << 20
"""What is read at once; a piece that is shorter ends with the file."""
OFTEN = 100
"""So many jobs end between two looks for files that are too many."""
KEPT = 1000
"""Files that stay where no configuration says how many."""


class Piece(NamedTuple):
    """A part of a job's file. `end`: the offset to go on from."""

    text: str
    end: int


def folder(store: Path) -> Path:
    """Returns where a store's files of jobs lie."""
    return store / "logs" / "jobs"


def path(store: Path, job: str) -> Path:
    """Returns a job's file; it is not there if the job printed nothing, or was one of too many."""
    return folder(store) / f"{job}.log"


def read(store: Path, job: str, offset: int = 0, most: int = PIECE_BYTES) -> Piece:
    """Reads a job's file from an offset in bytes; a file that was cut short meanwhile is read on from its end.

    A character of which only a part is there is left for the next piece.

    Raises:
        OSError: if the file is there and cannot be read.
    """
    try:
        with path(store, job).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(min(offset, size))
            data = file.read(most)
    except FileNotFoundError:
        return Piece("", 0)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data)
    return Piece(text, min(offset, size) + len(data) - len(decoder.getstate()[0]))


def tail(store: Path, job: str, lines: int = LINES) -> list[str]:
    """Returns the last lines of a job's latest attempt, without its heading; none where nothing can be read."""
    try:
        with path(store, job).open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            found = file.read(TAIL_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    latest = next((at for at in range(len(found) - 1, -1, -1) if found[at].startswith(HEADING)), -1)
    return [line for line in found[latest + 1 :] if line.strip()][-lines:]


def said(store: Path, job: str) -> str:
    """Returns a job's last line as the end of a sentence, short enough for a message; empty if it said nothing.

    Of a process that crashed that is what `faulthandler` called it, not the last line of the stack below it.
    """
    lines = tail(store, job, DUMPED)
    words = next((line for line in reversed(lines) if line.startswith(FATAL)), lines[-1] if lines else "")
    return f"; it said last: {' '.join(words.split()):.{SAID}}" if words else ""


def thin(store: Path, most: int, failed: Collection[str]) -> int:
    """Removes the files of the oldest jobs until so many are left, those of failed jobs last; returns how many went."""
    found = sorted(_files(folder(store)), key=lambda one: (one[1].stem in failed, one[0]))
    for _, file in found[: max(0, len(found) - most)]:
        with suppress(OSError):  # gone already, or the disk takes nothing: the next time will do
            file.unlink()
    return max(0, len(found) - most)


class Thinner(Silent):
    """The observer that keeps the files few; it removes them in a thread.

    Args:
        store: the store's folder.
        most: files that stay.
    """

    def __init__(self, store: Path, most: int) -> None:
        self._store, self._most = store, most
        self._failed = set[str]()
        self._ended = OFTEN
        self._thread: threading.Thread | None = None

    def recalled(self, sequence: int, time: float, kind: str, payload: Mapping[str, Any]) -> None:
        """Takes note of jobs that failed."""
        if kind in _FAILURES:
            self._failed.add(payload["job"])

    def event(self, sequence: int, time: float, event: AnyEvent) -> None:
        """Counts attempts that ended; looks for files that are too many now and then."""
        if isinstance(event, AttemptFailed | JobFailed):
            self._failed.add(event.job)
        if isinstance(event, AttemptFailed | JobFailed | JobSucceeded | JobStopped):
            self._ended += 1
        if self._ended >= OFTEN and (self._thread is None or not self._thread.is_alive()):
            self._ended = 0
            work = partial(thin, self._store, self._most, frozenset(self._failed))
            self._thread = threading.Thread(target=work, name="thinner", daemon=True)
            self._thread.start()


_FAILURES = frozenset({"attempt_failed", "job_failed"})


def _files(where: Path) -> Iterator[tuple[float, Path]]:
    with suppress(FileNotFoundError), os.scandir(where) as entries:
        for entry in entries:
            if entry.name.endswith(".log"):
                with suppress(FileNotFoundError):
                    yield entry.stat().st_mtime, Path(entry.path)
