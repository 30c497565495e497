"""Made-up drivers: one behind the interface that the daemon uses, one behind the functions of `pynvml`."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from orchestrator.devices import Device
from orchestrator.devices.provider import Reading
from orchestrator.errors import DeviceLost

GB = 1 << 30


def gpu(number: int, memory: int = 80 * GB) -> Device:
    return Device(f"cuda:{number}", str(number), "NVIDIA H100", memory, 0, 0.0)


class FakeDriver:
    """A provider of some GPUs, each of which can be told what to answer, to be lost, or to hang.

    Attributes:
        readings: what each answers.
        lost: those that answer that they are gone.
        calls: how often each was asked.
    """

    def __init__(self, *devices: Device) -> None:
        self._devices = list(devices)
        self.readings = {device.name: Reading(device.memory_bytes, 0, 0) for device in devices}
        self.faults: dict[str, deque[str]] = {device.name: deque() for device in devices}
        self.lost: dict[str, str] = {}
        self.calls = {device.name: 0 for device in devices}
        self.ours: dict[str, frozenset[int]] = {}
        self._hangs: dict[str, threading.Event] = {}

    def devices(self) -> list[Device]:
        return self._devices

    def read(self, device: Device, ours: Collection[int]) -> Reading:
        self.calls[device.name] += 1
        self.ours[device.name] = frozenset(ours)
        if (over := self._hangs.get(device.name)) is not None:
            over.wait()
        if device.name in self.lost:
            raise DeviceLost(device.name, self.lost[device.name])
        reading = self.readings[device.name]
        faults = self.faults[device.name]
        found = tuple(faults.popleft() for _ in range(len(faults)))
        return Reading(reading.memory_bytes, reading.memory_used_bytes, reading.others_bytes, 0.5, faults=found)

    def hang(self, device: str) -> threading.Event:
        """Lets every further call about a device hang until the event that is returned is set."""
        self._hangs[device] = threading.Event()
        return self._hangs[device]


def refuse(code: int) -> Any:
    """Returns a function of pynvml that always fails."""

    def raises(*_: object) -> Any:
        raise pynvml.NVMLError(code)

    return raises


class FakeNvml:
    """NVML with one GPU of 80 GB, by way of `pynvml`'s functions, with the values and types that they return."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.uncorrected = 0
        self.xids: deque[int] = deque()
        self.processes: list[SimpleNamespace] = []
        self.opened = 0
        self._patch = monkeypatch
        self.answer(
            nvmlInit=self._init,
            nvmlShutdown=lambda: None,
            nvmlDeviceGetCount=lambda: 1,
            nvmlDeviceGetHandleByIndex=lambda index: f"handle-{index}",
            nvmlDeviceGetHandleByUUID=lambda uuid: f"handle-{uuid}",
            nvmlDeviceGetName=lambda handle: "NVIDIA H100",
            nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(total=80 * GB, used=20 * GB, free=60 * GB),
            nvmlDeviceGetUtilizationRates=lambda handle: SimpleNamespace(gpu=25, memory=10),
            nvmlDeviceGetTemperature=lambda handle, sensor: {pynvml.NVML_TEMPERATURE_GPU: 61}[sensor],
            nvmlDeviceGetPowerUsage=lambda handle: 312_500,
            nvmlDeviceGetTotalEccErrors=self._errors,
            nvmlDeviceGetRemappedRows=lambda handle: (1, 2, 0, 0),
            nvmlDeviceGetCurrentClocksThrottleReasons=lambda handle: 0,
            nvmlDeviceGetComputeRunningProcesses=lambda handle: self.processes,
            nvmlDeviceGetGraphicsRunningProcesses=lambda handle: [],
            nvmlEventSetCreate=lambda: "events",
            nvmlDeviceRegisterEvents=lambda handle, types, events: None,
            nvmlEventSetWait_v2=self._wait,
            nvmlEventSetFree=lambda events: None,
        )

    def answer(self, **functions: Any) -> None:
        for name, function in functions.items():
            assert hasattr(pynvml, name), f"pynvml has no {name}"
            self._patch.setattr(pynvml, name, function)

    def _init(self) -> None:
        self.opened += 1

    def _errors(self, handle: object, kind: int, since: int) -> int:
        assert (kind, since) == (pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC)
        return self.uncorrected

    def _wait(self, events: object, milliseconds: int) -> SimpleNamespace:
        assert milliseconds == 0, "a look must not wait for events"
        if not self.xids:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_TIMEOUT)
        return SimpleNamespace(eventData=self.xids.popleft(), eventType=pynvml.nvmlEventTypeXidCriticalError)
