"""What jobs can run on: the GPUs that NVML knows, or the CPU."""

from __future__ import annotations

import os
from typing import NamedTuple

from orchestrator.errors import DeviceUnavailable


class Device(NamedTuple):
    """A processor that workers share; `number` is the GPU's number, None for the CPU."""

    name: str
    number: int | None = None
    model: str = ""
    memory_bytes: int | None = None
    memory_used_bytes: int | None = None
    utilisation: float | None = None

    @property
    def kind(self) -> str:
        """`cuda` or `cpu`, as torch has it."""
        return "cpu" if self.number is None else "cuda"

    def environment(self) -> dict[str, str]:
        """The variables that pin a process to this device."""
        return {"CUDA_VISIBLE_DEVICES": "" if self.number is None else str(self.number)}


def cpu() -> Device:
    """Returns the CPU as a device."""
    return Device("cpu", model=f"{len(os.sched_getaffinity(0))} cores")


def gpus() -> list[Device]:
    """Returns the GPUs of this machine as the driver reports them; none where there is no driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        return [_gpu(index) for index in range(pynvml.nvmlDeviceGetCount())]
    finally:
        pynvml.nvmlShutdown()


def _gpu(index: int) -> Device:
    import pynvml

    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    busy = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
    model = str(pynvml.nvmlDeviceGetName(handle))
    return Device(f"cuda:{index}", index, model, int(memory.total), int(memory.used), busy)


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
        raise DeviceUnavailable(wanted, "no GPU that NVML knows (is the driver loaded?)")
    devices = found or [cpu()]
    return [devices[slot % len(devices)] for slot in range(workers)]
