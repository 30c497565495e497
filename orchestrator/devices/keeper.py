"""Looks at every device now and then, off the event loop, and says which leave service and which come back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Protocol

import anyio

from orchestrator.devices.found import Device
from orchestrator.devices.provider import Provider, Reading
from orchestrator.devices.threads import Call
from orchestrator.devices.watch import DeviceWatch, LeaveReason
from orchestrator.errors import DeviceLost, UnknownDevice, WrongState
from orchestrator.serving.config import DevicesConfig
from store.records.events import DeviceLeft, DeviceReturned


class DeviceListener(Protocol):
    """Who hears of the devices; called on the event loop."""

    def device_left(self, event: DeviceLeft) -> None:
        """A device is out of service."""
        ...

    def device_returned(self, event: DeviceReturned) -> None:
        """A device is in service again."""
        ...

    def device_seen(self, device: str, reading: Reading) -> None:
        """The driver answered for a device."""
        ...


class DeviceKeeper:
    """All devices of one daemon.

    Args:
        devices: those that there are.
        provider: their driver.
        config: how often they are looked at, and what is too much.
        listener: who hears of them.
        ours: gives the pids of our processes on a device.
    """

    def __init__(
        self,
        devices: Sequence[Device],
        provider: Provider,
        config: DevicesConfig,
        listener: DeviceListener,
        ours: Callable[[str], Collection[int]],
    ) -> None:
        self.devices = {device.name: device for device in devices}
        self.readings: dict[str, Reading] = {}
        self._provider, self._config, self._listener, self._ours = provider, config, listener, ours
        self.watch = DeviceWatch(self.devices, config.faults, config.fault_seconds)

    def recall(self, left: Iterable[DeviceLeft]) -> None:
        """Takes note of devices that had left service before the daemon started for their faults.

        What was lost or stuck then is found out anew.
        """
        for event in left:
            if event.device in self.devices and event.reason == "faults":
                self.watch.out[event.device] = event

    async def run(self) -> None:
        """Looks after every device until it is cancelled."""
        async with anyio.create_task_group() as tasks:
            for device in self.devices.values():
                tasks.start_soon(self._look_after, device)

    def fault(self, device: str, what: str) -> None:
        """Counts a fault that a worker met; the CPU has none."""
        if device in self.devices and self.devices[device].kind != "cpu":
            self._tell_left(self.watch.fault(device, what, anyio.current_time()))

    def leave(self, device: str, reason: LeaveReason, message: str) -> None:
        """Takes a device out of service, if it is in it."""
        if device in self.devices and self.devices[device].kind != "cpu":
            self._tell_left(self.watch.leave(device, reason, message))

    def back(self, device: str, by: str) -> None:
        """Takes a device back into service, on somebody's order.

        Raises:
            UnknownDevice: if there is no such device.
            WrongState: if it is in service.
        """
        if device not in self.devices:
            raise UnknownDevice(device, list(self.devices))
        returned = self.watch.back(device, by)
        if returned is None:
            raise WrongState(device, "in service", "returned", "a device that is out of service", thing="device")
        self._listener.device_returned(returned)

    async def _look_after(self, device: Device) -> None:
        while True:
            if (call := self._ask(device)) is not None:
                await self._look(device, call)
            await anyio.sleep(self._config.poll_seconds)

    def _ask(self, device: Device) -> Call[Reading] | None:
        try:
            return Call(partial(self._provider.read, device, frozenset(self._ours(device.name))))
        except RuntimeError:  # no thread can be started now: it is asked the next time
            return None

    async def _look(self, device: Device, call: Call[Reading]) -> None:
        if not await self._answered(call):
            seconds = self._config.nvml_seconds
            self.leave(device.name, "lost", f"the driver did not answer within {seconds:g} s")
            await call.done.wait()  # it is asked nothing more before this has come back, if ever
        self._take(device, call)

    async def _answered(self, call: Call[Reading]) -> bool:
        """Waits for an answer; once more if it was this process that slept meanwhile, with its threads."""
        seconds = self._config.nvml_seconds
        begun = anyio.current_time()
        while not call.done.is_set():
            with anyio.move_on_after(seconds):
                await call.done.wait()
            now = anyio.current_time()
            if now - begun < 2 * seconds:
                break
            begun = now
        return call.done.is_set()

    def _take(self, device: Device, call: Call[Reading]) -> None:
        try:
            reading = call.result()
        except DeviceLost as error:
            self.leave(device.name, "lost", str(error))
            return
        self.readings[device.name] = reading
        self._listener.device_seen(device.name, reading)
        if returned := self.watch.answered(device.name):
            self._listener.device_returned(returned)
        for fault in reading.faults:
            self.fault(device.name, fault)

    def _tell_left(self, event: DeviceLeft | None) -> None:
        if event is not None:
            self._listener.device_left(event)
