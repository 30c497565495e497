"""What jobs printed: `<store>/logs/jobs/<job>.log`, written by workers (`trainers.output`), read and thinned here."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

HEADING = "== "
"""What the line begins with that heads each attempt; `trainers.output` writes it."""
LINES = 10
TAIL_BYTES = 8192


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


def read(store: Path, job: str, offset: int = 0, most: int = 1 << 20) -> Piece:
    """Reads a job's file from an offset in bytes; a file that was cut short meanwhile is read on from its end.

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
    return Piece(data.decode("utf-8", "replace"), min(offset, size) + len(data))


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


def thin(store: Path, most: int, failed: Collection[str]) -> int:
    """Removes the files of the oldest jobs until so many are left, those of failed jobs last; returns how many went."""
    found = sorted(_files(folder(store)), key=lambda one: (one[1].stem in failed, one[0]))
    for _, file in found[: max(0, len(found) - most)]:
        with suppress(OSError):  # gone already, or the disk takes nothing: the next time will do
            file.unlink()
    return max(0, len(found) - most)


def _files(where: Path) -> Iterator[tuple[float, Path]]:
    with suppress(FileNotFoundError), os.scandir(where) as entries:
        for entry in entries:
            if entry.name.endswith(".log"):
                with suppress(FileNotFoundError):
                    yield entry.stat().st_mtime, Path(entry.path)
