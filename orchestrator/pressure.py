"""How often the kernel killed a process because the machine, or our part of it, was out of memory."""

from __future__ import annotations

from pathlib import Path

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def memory_kills(proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """Counts such kills since boot, in our own control group or, where that says nothing, everywhere.

    Args:
        proc: where the kernel tells of processes.
        cgroups: where it tells of control groups (version 2).
    """
    group = _group(proc, cgroups)
    count = None if group is None else _field(group / "memory.events", "oom_kill")
    return count if count is not None else _field(proc / "vmstat", "oom_kill") or 0


def _group(proc: Path, cgroups: Path) -> Path | None:
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return None
    paths = [line.removeprefix("0::") for line in lines if line.startswith("0::")]
    return cgroups / paths[0].lstrip("/") if paths else None


def _field(file: Path, name: str) -> int | None:
    try:
        words = [line.split() for line in file.read_text().splitlines()]
    except OSError:
        return None
    return next((int(number) for key, number in words if key == name), None)
