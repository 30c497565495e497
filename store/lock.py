"""The store's single writer: an advisory lock that the kernel drops when its holder ends, however it ends.

The file stays behind and means nothing by itself; only the `flock` does, so a stale file never keeps anyone out. What
is written in it says who holds the lock, for the message that a second writer gets.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from store.errors import StoreLocked
from store.files import disk_errors

NAME = "lock"
Purpose = Literal["write", "gc", "repair"]
_LARGEST_NOTE = 4096


class StoreLock:
    """Holds a store for writing until `release`, or until the process ends.

    The descriptor is not inherited by programs that this process starts, so a worker cannot keep the store locked.

    Args:
        folder: the store; it must exist.
        purpose: what it is held for, said in the note: `write`, `gc` or `repair`.

    Raises:
        StoreLocked: if another process holds it; the error names the pid.
        StoreReadOnly, StoreFull, StoreFailed: if the lock file cannot be written.
    """

    def __init__(self, folder: Path, purpose: Purpose = "write") -> None:
        self._handle: int | None = None
        with disk_errors(folder / NAME):
            handle = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with disk_errors(folder / NAME):
                _leave_note(handle, purpose)
        except BlockingIOError as error:
            refusal = _refusal(folder, handle)
            os.close(handle)
            raise refusal from error
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle

    def release(self) -> None:
        """Lets the next writer in; safe to call twice. Its note goes too, so that nobody takes us for the holder."""
        if self._handle is not None:
            os.ftruncate(self._handle, 0)
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> StoreLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _leave_note(handle: int, purpose: Purpose) -> None:
    note: dict[str, Any] = {"pid": os.getpid(), "host": socket.gethostname(), "boot": boot(), "started": _started()}
    note |= {"purpose": purpose, "inode": os.fstat(handle).st_ino}  # a copy of the store has another
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(note).encode(), 0)


def _read_note(handle: int) -> dict[str, Any]:
    try:
        note = json.loads(os.pread(handle, _LARGEST_NOTE, 0))
    except ValueError:
        return {}  # its holder has not written it yet
    return note if isinstance(note, dict) else {}


def _refusal(folder: Path, handle: int) -> StoreLocked:
    note = _read_note(handle)
    pid, host = note.get("pid"), note.get("host")
    here = host == socket.gethostname() and note.get("boot") == boot()
    return StoreLocked(folder, pid if isinstance(pid, int) else None, str(host), same_host=here)


def process() -> str:
    """Returns what tells this process from all others of this machine, also from those that had its pid before."""
    return f"{boot()}/{os.getpid()}/{_started()}"


def boot() -> str:
    """Returns what this boot of the machine is called; empty where the kernel does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _started() -> int:
    """Clock ticks from boot to this process's start: with the boot's id it tells a reused pid apart."""
    try:
        return int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return 0
