"""Keeps the sound rows of a damaged journal: `python -m store.repair FOLDER`.

The rows before the first bad one are chained and can be trusted; what came after cannot. Jobs whose rows are lost are
done again when they are asked for, and checkpoints that are no longer named are collected as garbage. The damaged files
are kept beside the journal, in `journal-damaged-N`.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

from store import format as store_format
from store.errors import JournalCorrupt, JournalError, StoreError
from store.files import TEMPORARY, disk_errors, make_folder, sync_folder, unique_name
from store.journal import Journal
from store.journal_head import NAME as HEAD_NAME
from store.journal_head import NOTHING, HeadState, create_head, read_head
from store.journal_table import (
    ERRORS,
    NAME,
    Entry,
    connect_for_reading,
    connect_for_writing,
    has_rows,
    insert,
    integrity,
    sound_rows,
)
from store.lock import StoreLock

_FILES = (NAME, f"{NAME}-wal", f"{NAME}-shm", HEAD_NAME)
_AT_ONCE = 1000


class Repaired(NamedTuple):
    """What a repair did: rows kept, rows that had been acknowledged (None if unknown), and where the old files lie."""

    kept: int
    acknowledged: int | None
    damaged: Path | None


def repair(folder: Path) -> Repaired:
    """Cuts a damaged journal back to its sound rows; a sound one is left as it is.

    A kill at any moment leaves a journal that is either repaired or still refuses to open, and the old files.

    Raises:
        NotAStore, UnsupportedFormat, StoreLocked, StoreReadOnly, StoreFull: if it cannot be done.
    """
    folder = folder.absolute()
    store_format.require(folder, "write")
    with StoreLock(folder, "repair"), disk_errors(folder):
        try:
            rows = Journal(folder, read_only=True).count
            if not integrity(folder / NAME):
                return Repaired(rows, rows, None)
        except JournalError:
            pass
        acknowledged = _acknowledged(folder)
        damaged = _copy_aside(folder)
        state = _rebuild(damaged / NAME, folder)
        return Repaired(state.rows, acknowledged, damaged)


def _acknowledged(folder: Path) -> int | None:
    try:
        state = read_head(folder)
    except FileNotFoundError:
        return None
    return None if state is None else state.rows


def _copy_aside(folder: Path) -> Path:
    target = next(path for number in count(1) if not (path := folder / f"journal-damaged-{number}").exists())
    target.mkdir()
    for name in _FILES:
        if (folder / name).exists():
            shutil.copy2(folder / name, target / name)
    sync_folder(target)
    sync_folder(folder)
    return target


def _rebuild(damaged: Path, folder: Path) -> HeadState:
    make_folder(folder / TEMPORARY)
    draft = folder / TEMPORARY / f"{unique_name()}.sqlite"
    state = HeadState(0, NOTHING)
    with closing(connect_for_writing(draft)) as connection:
        entries = _sound_entries(damaged)
        while page := list(islice(entries, _AT_ONCE)):
            state = insert(connection, state, page)
    # The old log must not outlive the old table: SQLite would play it into the new one.
    for name in _FILES[1:3]:
        (folder / name).unlink(missing_ok=True)
    sync_folder(folder)
    draft.replace(folder / NAME)
    sync_folder(folder)
    create_head(folder, state)
    return state


def _sound_entries(path: Path) -> Iterator[Entry]:
    if not path.exists():
        return
    try:
        with closing(connect_for_reading(path)) as connection:
            if has_rows(connection, path):
                for _, entry, _ in sound_rows(connection, path):
                    yield entry
    except (JournalCorrupt, *ERRORS):
        return


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m store.repair FOLDER\n")
        return 2
    try:
        done = repair(Path(arguments[0]))
    except StoreError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    if done.damaged is None:
        sys.stdout.write(f"the journal is sound: {done.kept} rows; nothing was changed\n")
    else:
        of = "" if done.acknowledged is None else f" of {done.acknowledged} acknowledged"
        sys.stdout.write(f"kept {done.kept}{of} rows; the damaged files are in {done.damaged}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
