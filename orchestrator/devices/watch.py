"""Which devices are in service: counts faults, takes devices out and back in. Pure: times are passed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Literal

from store.records.events import DeviceLeft, DeviceReturned

LeaveReason = Literal["faults", "lost", "stuck"]


class DeviceWatch:
    """The service book of a machine's devices.

    Args:
        devices: their names; all are in service at first.
        limit: so many faults within `seconds` put a device out of service.
        seconds: of a monotonic clock.
    """

    def __init__(self, devices: Iterable[str], limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._faults: dict[str, deque[tuple[float, str]]] = {name: deque() for name in devices}
        self.out: dict[str, DeviceLeft] = {}

    def fault(self, device: str, what: str, now: float) -> DeviceLeft | None:
        """Counts a fault; returns that the device leaves service, if this was one too many.

        Args:
            device: one of the watched.
            what: the fault in words.
            now: seconds of a monotonic clock.
        """
        self._faults[device].append((now, what))
        lately = self.faults(device, now)
        if lately < self._limit:
            return None
        return self.leave(device, "faults", f"{lately} faults within {self._seconds:g} s, the last: {what}")

    def faults(self, device: str, now: float) -> int:
        """Returns how many faults count now."""
        faults = self._faults[device]
        while faults and now - faults[0][0] > self._seconds:
            faults.popleft()
        return len(faults)

    def leave(self, device: str, reason: LeaveReason, message: str) -> DeviceLeft | None:
        """Takes a device out of service; returns None if it is out already."""
        if device in self.out:
            return None
        self.out[device] = DeviceLeft(device=device, reason=reason, message=message)
        return self.out[device]

    def answered(self, device: str) -> DeviceReturned | None:
        """The driver answers for a device: one that was lost is in service again, no other."""
        left = self.out.get(device)
        return self.back(device, "driver") if left is not None and left.reason == "lost" else None

    def back(self, device: str, by: str) -> DeviceReturned | None:
        """Takes a device back into service, with no faults counted; returns None if it was in service."""
        if self.out.pop(device, None) is None:
            return None
        self._faults[device].clear()
        return DeviceReturned(device=device, by=by)
