"""Runs searches in processes forked from one that has everything imported, under strace if asked: a second less each.

A line of JSON says what to do, a line of JSON answers. A process under strace is killed by SIGKILL inside a system call
of its own; its workers are let go when they are executed (`--detach-on=execve`), unless one of them is the victim.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from orchestrator import foreground
from orchestrator.observer import Silent
from store.journal import Journal
from store.records.events import AnyEvent

_PR_SET_CHILD_SUBREAPER = 36
_COUNTS = struct.Struct("<qq")
_ATTACH_SECONDS = 30.0
_WRAPPER = """#!/bin/sh
if mkdir {marker} 2>/dev/null; then exec strace -D -f -q -o {trace} {options} {python} "$@"; fi
exec {python} "$@"
"""


class Acknowledged(Silent):
    """Notes the last acknowledged event in memory that the parent shares, so without a system call."""

    def __init__(self, shared: mmap.mmap) -> None:
        self._shared = shared

    def event(self, sequence: int, time: float, event: AnyEvent) -> None:
        """Notes it."""
        submitted = _COUNTS.unpack_from(self._shared)[1]
        _COUNTS.pack_into(self._shared, 0, sequence, submitted)


def count_submitted(shared: mmap.mmap) -> None:
    """Notes how many events the journal has been given, in shared memory."""
    submit = Journal.submit

    def counting(journal: Journal, events: Sequence[AnyEvent], *more: Any) -> Future[int]:
        acknowledged, _ = _COUNTS.unpack_from(shared)
        _COUNTS.pack_into(shared, 0, acknowledged, journal.count + len(events))
        return submit(journal, events, *more)

    Journal.submit = counting  # type: ignore[method-assign]


def search(order: dict[str, Any], shared: mmap.mmap, wait: int) -> None:
    """Runs a search, in the child, once the parent is ready."""
    os.read(wait, 1)
    os.chdir(Path(order["store"]).parent)
    sys.stderr = open(order["said"], "a")
    if order.get("python"):
        sys.executable = order["python"]
    count_submitted(shared)
    foreground.run(Path(order["spec"]), Path(order["store"]), observer=Acknowledged(shared))


def fork(order: dict[str, Any]) -> dict[str, Any]:
    """Runs a search to its end or to its death."""
    shared = mmap.mmap(-1, _COUNTS.size)
    wait, ready = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            search(order, shared, wait)
            os._exit(0)
        except BaseException as error:  # whatever it is, the child must not go on as a second zygote
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            sys.stderr.flush()
            os._exit(getattr(error, "exit_code", 1))
    tracer = None
    if order.get("strace"):
        options = [*order["strace"], "-o", order["trace"], "-p", str(pid)]
        tracer = subprocess.Popen(["strace", "-f", "-qq", "-b", "execve", *options], stderr=subprocess.DEVNULL)
        until = time.monotonic() + _ATTACH_SECONDS
        while "TracerPid:\t0" in Path(f"/proc/{pid}/status").read_text():
            if tracer.poll() is not None or time.monotonic() > until:
                break
            time.sleep(0.002)
    os.write(ready, b"x")
    os.close(ready)
    os.close(wait)
    _, status = os.waitpid(pid, 0)
    if tracer is not None:
        tracer.wait()
    _reap()
    acknowledged, submitted = _COUNTS.unpack_from(shared)
    return {"exit": os.waitstatus_to_exitcode(status), "acknowledged": acknowledged, "submitted": submitted}


def _reap() -> None:
    """Waits for every process that the child left behind: workers end when their daemon does."""
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def wrapper(folder: Path, options: Sequence[str]) -> Path:
    """Writes a program that runs Python, the first time under strace; returns its path."""
    path = folder / "python"
    text = _WRAPPER.format(
        marker=folder / "was", trace=folder / "trace", options=" ".join(options), python=sys.executable
    )
    path.write_text(text)
    path.chmod(0o755)
    return path


def main() -> None:
    """Serves orders from the standard input until it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(fork(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
