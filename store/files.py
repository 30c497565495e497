"""Durable files: written, fsynced, renamed into place, and the folder fsynced; names that are never paths.

POSIX promises that a file's bytes survive a power loss after `fsync` of the file, and its name after `fsync` of the
folder. Not promised, and not assumed here: that a rename is durable by itself, or that a failed `fsync` may be repeated
(the kernel marks the pages clean). A failed `fsync` is therefore an error of the whole operation, never retried.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from store.errors import InvalidDigest, StoreFailed, StoreFull, StoreReadOnly

STRAY_SECONDS = 3600.0
TEMPORARY = "tmp"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NOT_WRITABLE = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


def checked(name: object) -> str:
    """Returns a digest that may become a file name.

    Raises:
        InvalidDigest: if it is anything but 64 lower-case hexadecimal digits.
    """
    if not isinstance(name, str) or _DIGEST.fullmatch(name) is None:
        raise InvalidDigest(name)
    return name


def is_digest(name: str) -> bool:
    """Whether a name is 64 lower-case hexadecimal digits."""
    return _DIGEST.fullmatch(name) is not None


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns what the operating system says about writing into the store's own errors.

    Raises:
        StoreFull: if there is no room, the quota is used up, or a file may not grow that large.
        StoreReadOnly: if nothing may be written there.
        StoreFailed: for every other `OSError`.
    """
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        if error.errno in _NO_ROOM:
            raise StoreFull(path, why) from error
        if error.errno in _NOT_WRITABLE:
            raise StoreReadOnly(path, why) from error
        raise StoreFailed(path, why) from error


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Makes a folder, and its name durable, unless it is there; the folder above it must exist."""
    try:
        folder.mkdir()
    except FileExistsError:
        return
    sync_folder(folder.parent)


def write_synced(path: Path, parts: list[memoryview]) -> None:
    """Writes buffers one after the other into a new file and fsyncs it; the name is not durable yet."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        for part in parts:
            write_all(handle, part)
        os.fsync(handle)
    finally:
        os.close(handle)


def write_all(handle: int, data: memoryview) -> None:
    """Writes a whole buffer to an open file, in as many pieces as the system takes it."""
    while data.nbytes:
        data = data[os.write(handle, data) :]


def replace_durably(path: Path, data: bytes, temporary: Path) -> None:
    """Puts a whole file in place: at any moment, and after any crash, `path` is the old file or the new one.

    Args:
        path: the file.
        data: what it shall hold.
        temporary: a folder on the same file system; what a crash leaves there is swept later.
    """
    draft = temporary / unique_name()
    try:
        write_synced(draft, [memoryview(data)])
        os.rename(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def unique_name() -> str:
    """Returns a name that no other process uses."""
    return f"{os.getpid()}-{uuid.uuid4().hex}"


def sweep_strays(folder: Path, older_than: float = STRAY_SECONDS) -> int:
    """Removes what crashed writers left in a temporary folder.

    Args:
        folder: the temporary folder; it need not exist.
        older_than: seconds; younger entries may belong to a writer that lives.

    Returns:
        How many entries were removed.
    """
    if not folder.is_dir():
        return 0
    limit = time.time() - older_than
    strays = [entry for entry in folder.iterdir() if _is_stray(entry, limit)]
    return sum(_took_away(stray) for stray in strays)


def _is_stray(entry: Path, limit: float) -> bool:
    """Whether a temporary entry is older than a time, and the process that `unique_name` says made it is gone.

    Age alone does not tell: where the clock leaps by years, what a live writer began a moment ago is old too.
    """
    pid = entry.name.partition("-")[0]
    if pid.isdecimal() and int(pid) != os.getpid() and Path("/proc", pid).exists():
        return False
    with suppress(FileNotFoundError):
        return entry.lstat().st_mtime < limit
    return False


def _took_away(stray: Path) -> bool:
    """Removes a stray under another name, so that its writer, if one lives after all, finds all of it or nothing."""
    grave = stray.with_name(unique_name())
    try:
        os.rename(stray, grave)
    except FileNotFoundError:
        return False
    remove(grave)
    return True


def remove(path: Path) -> None:
    """Removes a file or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
