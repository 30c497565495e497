"""What a job prints goes to a file of its own, `<store>/logs/jobs/<job>.log`; what comes between jobs to the worker's.

The process's file descriptors are turned, so that what a library prints from C, and the last words of a process that
crashes, land there too. A file that grows too long keeps its beginning and its end. Nothing here fails a job: what a
full disk does not take is lost.
"""

from __future__ import annotations

import io
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from store.records.messages import Assign
from store.records.requests import describe

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

HEADING = "== "


class Output:
    """Turns standard output and error of this process, once for each job.

    Args:
        store: the store's folder.
        worker: this worker's name, and `device` what it runs on, for the headings.
    """

    def __init__(self, store: Path, worker: str, device: str) -> None:
        self._folder = store / "logs" / "jobs"
        self._where = f"{worker}, {_device(device)}"
        self._own = os.dup(1), os.dup(2)
        self._path: Path | None = None
        self._most = 0
        self._headed = 0
        _flush()
        sys.stdout, sys.stderr = _stream(1), _stream(2)

    def begin(self, assign: Assign) -> None:
        """Lets what is printed from now on go to the job's file, under a heading for this attempt."""
        _flush()
        path = self._folder / f"{assign.job}.log"
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        heading = f"{HEADING}attempt {assign.attempt} on {self._where}, {stamp}: {describe(assign.request)}\n".encode()
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                os.write(descriptor, heading)
                self._headed = os.fstat(descriptor).st_size if assign.attempt == 1 else 0
                os.dup2(descriptor, 1)
                os.dup2(descriptor, 2)
            finally:
                os.close(descriptor)
            self._path, self._most = path, assign.settings.log_bytes

    def end(self, *, failed: bool) -> None:
        """Turns back to the worker's own output; a job that went well and printed nothing leaves no file."""
        _flush()
        os.dup2(self._own[0], 1)
        os.dup2(self._own[1], 2)
        path, self._path = self._path, None
        if path is None:
            return
        with suppress(OSError):
            size = path.stat().st_size
            if size == self._headed and not failed:
                path.unlink()
            elif size > self._most:
                cut(path, self._most)

    def look(self) -> None:
        """Cuts the file of a job that prints without end, before it fills the disk. Called now and then."""
        with suppress(OSError):
            if self._path is not None and self._path.stat().st_size > 2 * self._most:
                cut(self._path, self._most)


def cut(path: Path, most: int) -> None:
    """Leaves out the middle of a file, in whole lines where it has some, so that about `most` bytes stay.

    The file stays the same one, for whoever has it open to append.

    Raises:
        OSError: if it cannot be read or written.
    """
    half = most // 2
    with path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(half)
        file.seek(max(half, size - half))
        tail = file.read()
        head = head[: head.rfind(b"\n") + 1] or head
        tail = tail[tail.find(b"\n") + 1 :] or tail
        file.seek(0)
        file.truncate()
        file.write(head + b"[%d bytes left out here]\n" % (size - len(head) - len(tail)) + tail)


class _Lossy(io.FileIO):
    """A file descriptor that takes everything; what its disk refuses is lost."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Writes what it can."""
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def _stream(descriptor: int) -> io.TextIOWrapper:
    raw = _Lossy(descriptor, "wb", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", "backslashreplace", line_buffering=True)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(ValueError, OSError):  # a trainer may have put a stream of its own there, or closed it
            stream.flush()


def _device(kind: str) -> str:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return f"{kind} {visible}" if kind == "cuda" and visible else kind
