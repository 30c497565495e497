"""Workers that an earlier daemon of the same store left behind: they are ended before new ones are started.

There should be none: the kernel kills a worker when its parent dies, and its socket ends besides. One that waits for a
driver or a disk may outlive both for a while, and would share its device with the worker that takes its place.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import anyio

from orchestrator.workers import STUCK_SECONDS

_PROC = Path("/proc")


async def end_leftovers(store: Path, seconds: float = STUCK_SECONDS) -> list[int]:
    """Kills every worker of a store that is no child of this process, and waits for its end.

    Args:
        store: the store's folder; whoever calls holds its lock.
        seconds: that it waits, for each of them.

    Returns:
        The pids of those that are still there after that.
    """
    left = []
    for pid, handle in list(_workers_of(store)):
        with anyio.move_on_after(seconds) as waiting:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            await anyio.wait_readable(handle)
        if waiting.cancelled_caught:
            left.append(pid)
        os.close(handle)
    return left


def _workers_of(store: Path) -> Iterator[tuple[int, int]]:
    """Yields pids with a pidfd each: what was looked at is what is killed, though a pid be used again meanwhile."""
    for pid in [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]:
        if not _is_worker_of(pid, store):
            continue
        try:
            handle = os.pidfd_open(pid)
        except OSError:
            continue  # it has just ended
        if _is_worker_of(pid, store):
            yield pid, handle
        else:
            os.close(handle)


def _is_worker_of(pid: int, store: Path) -> bool:
    try:
        words = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
        parent = int((_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError):
        return False  # it has just ended, or is somebody else's
    named = b"trainers.worker" in words and (b"--store", os.fsencode(store)) in pairwise(words)
    return named and parent != os.getpid()
