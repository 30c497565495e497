"""What is asked of a driver about its devices: one interface for NVIDIA's, the CPU's, and a made-up one in tests."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from orchestrator.devices.found import Device


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at a device; what the driver does not tell is None.

    Attributes:
        memory_bytes: all that it has. memory_used_bytes: taken by anyone.
        others_bytes: taken by processes that are not ours.
        utilisation: share of the time since the last look, in [0, 1].
        temperature: degrees Celsius. power_watts: drawn now.
        throttled: why it runs slower than it could, in words; empty if it does not.
        uncorrected: memory errors that could not be corrected, since the driver was loaded.
        retired: memory pages or rows taken out of use for good. retiring: whether more will be at the next reset.
        faults: in words, what went wrong with the device itself since the last look.
    """

    memory_bytes: int | None = None
    memory_used_bytes: int | None = None
    others_bytes: int | None = None
    utilisation: float | None = None
    temperature: float | None = None
    power_watts: float | None = None
    throttled: tuple[str, ...] = ()
    uncorrected: int | None = None
    retired: int | None = None
    retiring: bool = False
    faults: tuple[str, ...] = ()


class Provider(Protocol):
    """A driver. Its calls block, may hang for ever, and are made from threads: one at a time for each device."""

    def devices(self) -> list[Device]:
        """Returns the devices that there are."""
        ...

    def read(self, device: Device, ours: Collection[int]) -> Reading:
        """Looks at a device.

        Args:
            device: one of `devices`.
            ours: pids of our own processes on it.

        Raises:
            DeviceLost: if the driver says that the device is gone or of no use before a reset.
        """
        ...
