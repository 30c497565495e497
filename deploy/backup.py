#!/usr/bin/env python3
"""Copies a coldframe store while its daemon runs: backup.py STORE DESTINATION. Needs Python 3.11 and nothing else.

The destination is a store at every moment, the next backup adds what is new, and a kill leaves the backup before. That
is a matter of order. A store is written blocks first, then manifests, then the journal's row; so the journal is read
first here, and whatever it names is there by then. Its head, which says how many rows must be there, is read before it.
Journal and head take their places last, in this order. If the daemon removes anything meanwhile (it collects garbage
now and then, which also moves blocks), the journal is read again and what is new is copied.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

JOURNAL, HEAD, NEW = "journal.sqlite", "journal.head", ".new"
TRIES = 3
WRITTEN_ONCE = ("manifests", "blobs/packs")
"""Their files never change. The rest is made anew from them and the journal (pool, cache, index), or is not needed."""


def backup(store: Path, destination: Path) -> tuple[int, int]:
    """Copies a store.

    Returns:
        How many files were new, and how often the daemon removed some meanwhile; after `TRIES` times that is left so.
    """
    destination.mkdir(mode=0o700, parents=True, exist_ok=True)
    copied = removals = 0
    while removals < TRIES:
        before = there(store)
        copy(store / HEAD, destination / (HEAD + NEW))
        copy_journal(store / JOURNAL, destination / (JOURNAL + NEW))
        copied += sum(copy_new(store / path, destination / path) for path in sorted(there(store)))
        if before <= there(store):
            break
        removals += 1
    copy(store / "format", destination / "format")
    for suffix in ("-wal", "-shm"):  # of whoever looked into the backup before; they belong to the journal that goes
        (destination / (JOURNAL + suffix)).unlink(missing_ok=True)
    for name in (JOURNAL, HEAD):
        os.replace(destination / (name + NEW), destination / name)
        sync(destination)
    return copied, removals


def there(store: Path) -> set[Path]:
    """The files that are written once, relative to the store."""
    folders = (entry for folder in WRITTEN_ONCE for entry in os.walk(store / folder))
    return {Path(folder, name).relative_to(store) for folder, _, names in folders for name in names}


def copy_journal(source: Path, target: Path) -> None:
    """Copies what is committed at this moment, beside the daemon that goes on writing."""
    target.unlink(missing_ok=True)
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as connection,
        closing(sqlite3.connect(target)) as copied,
    ):
        connection.backup(copied)
    sync(target)


def copy_new(source: Path, target: Path) -> bool:
    """Copies a file that is not there yet, and has not been removed meanwhile; says whether it did."""
    if target.exists():
        return False
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        copy(source, target)
    except FileNotFoundError:
        return False
    return True


def copy(source: Path, target: Path) -> None:
    """Copies a file durably, under its name only when it is complete."""
    draft = target.with_name(target.name + ".part")
    shutil.copy2(source, draft)
    sync(draft)
    os.replace(draft, target)
    sync(target.parent)


def sync(path: Path) -> None:
    """Waits until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


if __name__ == "__main__":
    if len(sys.argv) != 3 or not (Path(sys.argv[1]) / JOURNAL).is_file():
        sys.exit("usage: backup.py STORE DESTINATION   (STORE: the folder that holds journal.sqlite)")
    files, removals = backup(Path(sys.argv[1]), Path(sys.argv[2]))
    sys.stdout.write(f"{files} new files\n")
    if removals == TRIES:
        sys.exit(f"files were removed meanwhile, {TRIES} times: see `coldframe check --store {sys.argv[2]}`, try again")
