"""Workers of an earlier daemon of the same store that are still there: they are waited for, then killed.

They are found by their command lines, so that one whose start was never journalled is found too. Whoever calls this
holds the store's lock: no living daemon has workers on it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import anyio

WAIT_SECONDS = 10.0
STUCK_SECONDS = 10.0
MODULE = "trainers.worker"
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Survivor:
    """A process: `started` in clock ticks since boot tells it from a later one with the same pid.

    `visible` is what it has of the GPUs, as `CUDA_VISIBLE_DEVICES` says.
    """

    pid: int
    started: int
    visible: str


def find(store: Path, proc: Path = PROC) -> list[Survivor]:
    """Returns our workers of a store that live."""
    return [survivor for survivor in _ours(proc) if _store_of(survivor.pid, proc) == os.path.realpath(store)]


async def see_out(store: Path, wait: float = WAIT_SECONDS, stuck: float = STUCK_SECONDS) -> list[Survivor]:
    """Waits until no worker of a store's earlier daemons is left; kills those that stay too long.

    Args:
        store: its folder.
        wait: seconds before they are killed.
        stuck: seconds after which a killed one is given up.

    Returns:
        Those that not even SIGKILL has ended.
    """
    left = await anyio.to_thread.run_sync(find, store)
    left = await _wait(left, wait)
    for survivor in left:
        _kill(survivor)
    return await _wait(left, stuck)


async def _wait(survivors: list[Survivor], seconds: float) -> list[Survivor]:
    """Waits for processes together; returns those that are there still."""
    gone: set[Survivor] = set()

    async def wait_for(survivor: Survivor) -> None:
        handle = _open(survivor)
        if handle is not None:
            try:
                await anyio.wait_readable(handle)  # a pidfd is readable when its process has ended (pidfd_open(2))
            finally:
                os.close(handle)
        gone.add(survivor)

    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as tasks:
            for survivor in survivors:
                tasks.start_soon(wait_for, survivor)
    return [survivor for survivor in survivors if survivor not in gone]


def _kill(survivor: Survivor) -> None:
    handle = _open(survivor)
    if handle is not None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)


def _open(survivor: Survivor) -> int | None:
    """Returns a handle of the process, not of a later one with its pid; None if it is gone."""
    try:
        handle = os.pidfd_open(survivor.pid)
    except ProcessLookupError:
        return None
    if _started(survivor.pid, PROC) != survivor.started:
        os.close(handle)
        return None
    return handle


def _ours(proc: Path) -> Iterator[Survivor]:
    """Yields the worker processes of this user, but for those that have ended and wait for their parent."""
    for entry in proc.iterdir():
        if not entry.name.isdecimal():
            continue
        with suppress(OSError):
            if entry.stat().st_uid != os.getuid() or MODULE not in _words(entry / "cmdline"):
                continue
            pid, started = int(entry.name), _started(int(entry.name), proc)
            variables = dict(word.partition("=")[::2] for word in _words(entry / "environ"))
            if started is not None:
                yield Survivor(pid, started, variables.get("CUDA_VISIBLE_DEVICES", ""))


def _store_of(pid: int, proc: Path) -> str:
    try:
        words = _words(proc / str(pid) / "cmdline")
        given = words[words.index("--store") + 1]
        return os.path.realpath(os.path.join(os.readlink(proc / str(pid) / "cwd"), given))
    except (OSError, ValueError, IndexError):
        return ""


def _words(file: Path) -> list[str]:
    return [os.fsdecode(word) for word in file.read_bytes().split(b"\0")]


def _started(pid: int, proc: Path) -> int | None:
    """When a process was started; None if it is gone, or dead and not yet reaped."""
    try:
        fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
