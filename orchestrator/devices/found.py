"""What jobs can run on: the GPUs that NVML knows and the user has not hidden, or the CPU."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from orchestrator.devices.threads import within
from orchestrator.errors import DeviceUnavailable

VISIBLE = "CUDA_VISIBLE_DEVICES"
DRIVER_SECONDS = 30.0
"""A driver that is loaded for this call alone can take seconds; one that hangs never answers."""


class Device(NamedTuple):
    """A processor that workers share.

    `visible` is what CUDA calls a GPU: its number on the bus, or its UUID if that is how the user named it. It is None
    for the CPU. What the driver does not tell is None too.
    """

    name: str
    visible: str | None = None
    model: str = ""
    memory_bytes: int | None = None
    memory_used_bytes: int | None = None
    utilisation: float | None = None

    @property
    def kind(self) -> str:
        """`cuda` or `cpu`, as torch has it."""
        return "cpu" if self.visible is None else "cuda"

    def environment(self) -> dict[str, str]:
        """The variables that pin a process to this device."""
        # CUDA numbers the fastest GPU first unless it is told otherwise; NVML, which found them, goes by the bus.
        return {VISIBLE: self.visible or "", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def cpu() -> Device:
    """Returns the CPU as a device."""
    return Device("cpu", model=f"{len(os.sched_getaffinity(0))} cores")


def gpus() -> list[Device]:
    """Returns the GPUs of this machine as the driver reports them; none where there is no driver.

    Where the environment has `CUDA_VISIBLE_DEVICES`, only those that it lists, in its order, which schedulers of
    clusters rely on. As in CUDA, the list ends at the first number that no GPU has; numbers go by the bus.

    Raises:
        DeviceUnavailable: if the driver does not answer.
    """
    try:
        return within(DRIVER_SECONDS, _gpus)
    except TimeoutError as error:
        raise DeviceUnavailable("auto", f"a GPU driver that does not answer: {error}") from error


def _gpus() -> list[Device]:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        return list(visible_gpus(pynvml.nvmlDeviceGetCount()))
    except pynvml.NVMLError:
        return []  # there is a driver, and no GPU that works
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def slots(wanted: str, workers: int) -> list[Device]:
    """Returns the device of each of so many workers: GPUs in turn where there are any, else the CPU.

    Args:
        wanted: `auto`, `cpu` or `cuda`.
        workers: how many workers there will be.

    Raises:
        DeviceUnavailable: if `cuda` is wanted and there is no GPU.
    """
    found = gpus() if wanted != "cpu" else []
    if wanted == "cuda" and not found:
        hidden = os.environ.get(VISIBLE)
        why = "is the driver loaded?" if hidden is None else f"{VISIBLE} is {hidden!r}"
        raise DeviceUnavailable(wanted, f"no GPU that NVML knows ({why})")
    devices = found or [cpu()]
    return [devices[slot % len(devices)] for slot in range(workers)]


def visible_gpus(count: int) -> Iterator[Device]:
    """Yields the GPUs that `CUDA_VISIBLE_DEVICES` lists, or all if it is not there; NVML must be open.

    Args:
        count: how many there are.
    """
    import pynvml

    listed = os.environ.get(VISIBLE)
    entries = [str(index) for index in range(count)] if listed is None else listed.split(",")
    for entry in map(str.strip, entries):
        if entry.isdecimal() and int(entry) < count:
            yield _gpu(entry, told(pynvml.nvmlDeviceGetHandleByIndex, int(entry)))
        elif entry.startswith(("GPU-", "MIG-")):
            yield _gpu(entry, told(pynvml.nvmlDeviceGetHandleByUUID, entry))
        else:
            return


def _gpu(entry: str, handle: Any) -> Device:
    import pynvml

    memory = told(pynvml.nvmlDeviceGetMemoryInfo, handle)
    rates = told(pynvml.nvmlDeviceGetUtilizationRates, handle)
    return Device(
        name=f"cuda:{entry}",
        visible=entry,
        model=str(told(pynvml.nvmlDeviceGetName, handle) or ""),
        memory_bytes=None if memory is None else int(memory.total),
        memory_used_bytes=None if memory is None else int(memory.used),
        utilisation=None if rates is None else rates.gpu / 100,
    )


def told(ask: Callable[..., Any], *about: Any) -> Any:
    """What NVML answers, or None where it refuses: a part of a GPU (MIG) has no utilisation, a short UUID no handle.

    An older driver lacks functions that this `pynvml` knows of; that is a refusal too.
    """
    import pynvml

    if None in about:
        return None
    try:
        return ask(*about)
    except pynvml.NVMLError:
        return None
