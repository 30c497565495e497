"""NVIDIA's GPUs, through NVML. Every call here may block for as long as the driver likes: see `threads`."""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import Any

from orchestrator.devices.found import Device, told, visible_gpus
from orchestrator.devices.provider import Reading
from orchestrator.errors import DeviceLost

FALLEN_OFF_THE_BUS = 79
BROKEN_XIDS = {
    48: "a memory error that could not be corrected",
    61: "an internal micro-controller halted",
    62: "an internal micro-controller halted",
    64: "a memory row could not be replaced",
    74: "an NVLink error",
    FALLEN_OFF_THE_BUS: "it has fallen off the bus",
    92: "too many corrected memory errors",
    94: "a contained memory error",
    95: "an uncontained memory error",
    119: "its system processor does not answer",
    120: "its system processor failed",
}
"""Errors of the driver's log that say something about the GPU. The others (13, 31, 43, ...) are mostly of the program
that ran on it, which reports them itself."""
MOST_EVENTS = 100
"""Events that are read at one look; what floods the queue waits for the next."""


class Nvml:
    """The GPUs that the driver knows and the user has not hidden."""

    def __init__(self) -> None:
        self._opened = threading.Lock()
        self._open = False
        self._handles: dict[str, Any] = {}
        self._events: dict[str, Any] = {}
        self._uncorrected: dict[str, int] = {}

    def devices(self) -> list[Device]:
        """Returns the GPUs; none where there is no driver, or none that works."""
        import pynvml

        try:
            self._init()
            return list(visible_gpus(pynvml.nvmlDeviceGetCount()))
        except pynvml.NVMLError:
            return []

    def read(self, device: Device, ours: Collection[int]) -> Reading:
        """Looks at a GPU.

        Raises:
            DeviceLost: if the driver says so, or cannot say how much memory the GPU has.
        """
        import pynvml

        try:
            handle = self._handle(device)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        except pynvml.NVMLError as error:
            self._forget(device)
            raise DeviceLost(device.name, str(error)) from error
        uncorrected = _uncorrected(handle)
        faults = [*self._xids(device, handle), *self._new_errors(device, uncorrected)]
        rates = told(pynvml.nvmlDeviceGetUtilizationRates, handle)
        watts = told(pynvml.nvmlDeviceGetPowerUsage, handle)
        retired, retiring = _retired(handle)
        return Reading(
            memory_bytes=int(memory.total),
            memory_used_bytes=int(memory.used),
            others_bytes=_others(handle, ours),
            utilisation=None if rates is None else rates.gpu / 100,
            temperature=told(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU),
            power_watts=None if watts is None else watts / 1000,
            throttled=_throttled(handle),
            uncorrected=uncorrected,
            retired=retired,
            retiring=retiring,
            faults=tuple(faults),
        )

    def _init(self) -> None:
        import pynvml

        with self._opened:
            if not self._open:
                pynvml.nvmlInit()
                self._open = True

    def _handle(self, device: Device) -> Any:
        import pynvml

        self._init()
        if device.name not in self._handles:
            name = device.visible or ""
            if name.isdecimal():
                self._handles[device.name] = pynvml.nvmlDeviceGetHandleByIndex(int(name))
            else:
                self._handles[device.name] = pynvml.nvmlDeviceGetHandleByUUID(name)
            self._events[device.name] = _listen(self._handles[device.name])
        return self._handles[device.name]

    def _forget(self, device: Device) -> None:
        """Lets go of a lost GPU's handle: if it comes back, it has another."""
        import pynvml

        self._handles.pop(device.name, None)
        if (events := self._events.pop(device.name, None)) is not None:
            told(pynvml.nvmlEventSetFree, events)

    def _xids(self, device: Device, handle: Any) -> list[str]:
        """The critical errors since the last look.

        Raises:
            DeviceLost: if one of them says that the GPU is off the bus.
        """
        import pynvml

        found: list[str] = []
        events = self._events.get(device.name)
        while events is not None and len(found) < MOST_EVENTS:
            data = told(pynvml.nvmlEventSetWait_v2, events, 0)
            if data is None:
                break
            number = int(data.eventData)
            if number == FALLEN_OFF_THE_BUS:
                self._forget(device)
                raise DeviceLost(device.name, f"Xid {number}: {BROKEN_XIDS[number]}")
            found.append(f"Xid {number}: {BROKEN_XIDS[number]}" if number in BROKEN_XIDS else "")
        return [text for text in found if text]

    def _new_errors(self, device: Device, uncorrected: int | None) -> list[str]:
        if uncorrected is None:
            return []
        before = self._uncorrected.get(device.name, uncorrected)
        self._uncorrected[device.name] = uncorrected
        more = uncorrected - before
        return [f"{more} uncorrected memory error{'s' * (more > 1)}"] if more > 0 else []


def _listen(handle: Any) -> Any:
    """Returns a set of events that collects a GPU's critical errors, or None where the driver has no such events."""
    import pynvml

    events = told(pynvml.nvmlEventSetCreate)
    if events is None:
        return None
    try:
        pynvml.nvmlDeviceRegisterEvents(handle, pynvml.nvmlEventTypeXidCriticalError, events)
    except pynvml.NVMLError:
        told(pynvml.nvmlEventSetFree, events)
        return None
    return events


def _uncorrected(handle: Any) -> int | None:
    import pynvml

    kind, since = pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC
    count = told(pynvml.nvmlDeviceGetTotalEccErrors, handle, kind, since)
    return None if count is None else int(count)


def _retired(handle: Any) -> tuple[int | None, bool]:
    """Memory out of use for good, and whether more will be: rows from Ampere on, pages before."""
    import pynvml

    rows = told(pynvml.nvmlDeviceGetRemappedRows, handle)
    if rows is not None:
        corrected, uncorrected, pending, failed = rows
        return int(corrected + uncorrected), bool(pending or failed)
    causes = (
        pynvml.NVML_PAGE_RETIREMENT_CAUSE_MULTIPLE_SINGLE_BIT_ECC_ERRORS,
        pynvml.NVML_PAGE_RETIREMENT_CAUSE_DOUBLE_BIT_ECC_ERROR,
    )
    pages = [told(pynvml.nvmlDeviceGetRetiredPages, handle, cause) for cause in causes]
    if any(page is None for page in pages):
        return None, False
    return sum(map(len, pages)), bool(told(pynvml.nvmlDeviceGetRetiredPagesPendingStatus, handle))


def _throttled(handle: Any) -> tuple[str, ...]:
    import pynvml

    # The older name: drivers before 535 lack the newer one, and today's still have this.
    reasons = told(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle) or 0
    words = {
        pynvml.nvmlClocksThrottleReasonSwPowerCap: "power limit",
        pynvml.nvmlClocksThrottleReasonHwSlowdown: "hardware slowdown",
        pynvml.nvmlClocksThrottleReasonSwThermalSlowdown: "too hot",
        pynvml.nvmlClocksThrottleReasonHwThermalSlowdown: "much too hot",
        pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown: "power brake",
    }
    return tuple(word for bit, word in words.items() if reasons & bit)


def _others(handle: Any, ours: Collection[int]) -> int | None:
    """Memory of processes that are not ours; None where the driver does not say whose memory is whose.

    In a container the driver names no processes, or not by the pids that we know: then one of ours, which is there, is
    missing from its list, and the list is of no use.
    """
    import pynvml

    processes = told(pynvml.nvmlDeviceGetComputeRunningProcesses, handle)
    graphics = told(pynvml.nvmlDeviceGetGraphicsRunningProcesses, handle) or []
    if processes is None or not all(pid in {process.pid for process in processes} for pid in ours):
        return None
    taken = {process.pid: process.usedGpuMemory for process in [*graphics, *processes] if process.pid not in ours}
    return None if None in taken.values() else sum(taken.values())
