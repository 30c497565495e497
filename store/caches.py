"""Decoded images: folders under `cache/`, each with a lock of its own. What is in them can always be made anew.

What the files in such a folder are is the business of whoever makes them (`trainers.cache`); here is what keeps two
processes apart, and what collects the folders that nobody has used for a while.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from store.files import TEMPORARY, disk_errors, make_folder, sync_folder, unique_name

FOLDER = "cache"
LOCK = "lock"
UNUSED_SECONDS = 7 * 24 * 3600.0
"""A cache that nobody has opened for so long is garbage: making it anew costs less than its room."""

POLL_SECONDS = 0.2


class Collected(NamedTuple):
    """What became of the caches of a store, in folders and in bytes."""

    kept: int = 0
    removed: int = 0
    bytes_kept: int = 0
    bytes_freed: int = 0


@contextmanager
def held(folder: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Makes a cache's folder if it is missing, and keeps every other process out of it until the end of the block.

    Args:
        folder: the cache; the folder above it is made too.
        waiting: called about five times a second while another process holds it. What it raises ends the wait.

    Raises:
        StoreFull, StoreReadOnly, StoreFailed: if the folder or its lock cannot be made.
    """
    handle = _locked(folder, waiting)
    try:
        yield
    finally:
        os.close(handle)


def used(folder: Path) -> None:
    """Notes that a cache is in use now; where nothing can be written, it is not collected either."""
    try:
        os.utime(folder / LOCK)
    except OSError:
        return


def collect(store: Path, *, dry_run: bool, unused_seconds: float = UNUSED_SECONDS) -> Collected:
    """Removes the caches that nobody has opened for a while and nobody holds.

    Args:
        store: the store; the caller holds its lock unless this is a dry run.
        dry_run: only say what would go.
        unused_seconds: how long is a while.
    """
    root, limit = store / FOLDER, time.time() - unused_seconds
    total = Collected()
    if not root.is_dir():
        return total
    with disk_errors(root):
        for folder in sorted(entry for entry in root.iterdir() if entry.is_dir()):
            size = sum(_size(file) for file in folder.iterdir())
            if _last_use(folder) <= limit and (dry_run or _removed(folder, store)):
                total = total._replace(removed=total.removed + 1, bytes_freed=total.bytes_freed + size)
            else:
                total = total._replace(kept=total.kept + 1, bytes_kept=total.bytes_kept + size)
    return total


def _locked(folder: Path, waiting: Callable[[], None]) -> int:
    """Returns an open file that is locked and is the cache's lock, which a collection may have replaced meanwhile."""
    path = folder / LOCK
    while True:
        with disk_errors(path):
            for each in (folder.parent, folder):
                make_folder(each)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            while not _try(handle):
                waiting()
                time.sleep(POLL_SECONDS)
            if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _try(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _removed(folder: Path, store: Path) -> bool:
    """Removes a cache unless somebody holds it. It leaves its name first, so that a kill leaves no half of it."""
    path = folder / LOCK
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if not _try(handle):
            return False
        aside = store / TEMPORARY / unique_name()
        os.rename(folder, aside)
        sync_folder(folder.parent)
        shutil.rmtree(aside)
        return True
    finally:
        os.close(handle)


def _last_use(folder: Path) -> float:
    return max([folder.stat().st_mtime, *(file.stat().st_mtime for file in folder.iterdir())])


def _size(file: Path) -> int:
    """What a file takes on the disk: it may have been given room that is not written yet, or less than its length."""
    return file.stat().st_blocks * 512
