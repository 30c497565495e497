"""The CPU as a device, from /proc."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from orchestrator.devices.found import Device, cpu
from orchestrator.devices.provider import Reading

IDLE_COLUMNS = (3, 4)
"""Of the line `cpu` in /proc/stat: idle, and waiting for a disk (proc(5))."""


class Processor:
    """The CPU; it is always there, and never at fault.

    Args:
        proc: where the kernel tells.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._before: tuple[int, int] | None = None

    def devices(self) -> list[Device]:
        """Returns the CPU."""
        return [cpu()]

    def read(self, device: Device, ours: Collection[int]) -> Reading:
        """Looks at the machine's memory, and how busy all its cores were since the last look.

        Where there is no /proc to be read, or no file can be opened now, it says nothing.
        """
        try:
            memory = dict(line.split(":") for line in (self._proc / "meminfo").read_text().splitlines())
            utilisation = self._utilisation()
        except OSError:
            return Reading()
        total, free = (int(memory[key].split()[0]) << 10 for key in ("MemTotal", "MemAvailable"))
        return Reading(memory_bytes=total, memory_used_bytes=total - free, utilisation=utilisation)

    def _utilisation(self) -> float | None:
        # The columns after the eighth are guests' times, which the first two hold already.
        ticks = [int(word) for word in (self._proc / "stat").read_text().split("\n", 1)[0].split()[1:9]]
        now = (sum(ticks) - sum(ticks[column] for column in IDLE_COLUMNS), sum(ticks))
        before, self._before = self._before, now
        if before is None or now[1] <= before[1]:
            return None
        return min(1.0, max(0.0, (now[0] - before[0]) / (now[1] - before[1])))
