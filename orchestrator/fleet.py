"""The devices of a daemon: found, opened, looked after, and what follows for its jobs when one leaves service."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import anyio

from orchestrator import survivors
from orchestrator.capacity import Offer
from orchestrator.crewed import SEEN_BYTES, CrewedScheduler
from orchestrator.devices import Device
from orchestrator.devices.found import DRIVER_SECONDS
from orchestrator.devices.keeper import DeviceKeeper
from orchestrator.devices.mps import Mps
from orchestrator.devices.nvml import Nvml
from orchestrator.devices.processor import Processor
from orchestrator.devices.provider import Provider, Reading
from orchestrator.devices.threads import Call
from orchestrator.errors import DeviceLost, DeviceUnavailable
from orchestrator.reactions import Reaction
from orchestrator.serving.config import DevicesConfig
from orchestrator.serving.service import DeviceState
from orchestrator.supervision import Surroundings
from store.records.events import DeviceLeft, DeviceReturned
from store.records.outcomes import Reason


class Workers(Protocol):
    """What is asked about the workers of a device."""

    def pids(self, device: str) -> Collection[int]:
        """Their processes."""
        ...

    def load(self, device: str) -> tuple[int, int]:
        """How many there are, and how many have a job."""
        ...

    def idle_share(self, device: str) -> float | None:
        """The share of the time in which none had a job."""
        ...


@dataclass(frozen=True, slots=True)
class Links:
    """What a fleet is tied to: who places jobs, who has the workers, how to tell them and people."""

    scheduler: CrewedScheduler
    workers: Workers
    post: Callable[[Callable[[], Reaction]], None]
    told: Callable[[str], None]


class Fleet:
    """All devices of one daemon. `find` makes one; `run` needs `tie` first.

    Args:
        devices: what there is.
        provider: their driver.
        config: how they are used.
        store: the store's folder.
    """

    def __init__(self, devices: Sequence[Device], provider: Provider, config: DevicesConfig, store: Path) -> None:
        self.devices = {device.name: device for device in devices}
        self._config, self._store, self._provider = config, store, provider
        has_gpus = any(device.kind != "cpu" for device in devices)
        self._mps = Mps(store / "run", store / "logs", self._mps_failed) if config.mps and has_gpus else None
        self._offers = {device.name: self._first_offer(device) for device in devices}
        self._told_used = {name: offer.others_bytes for name, offer in self._offers.items()}
        self._keeper: DeviceKeeper
        self._links: Links

    @classmethod
    async def find(cls, config: DevicesConfig, store: Path, provider: Provider | None = None) -> Fleet:
        """Finds the devices that the configuration asks for.

        Args:
            config: the daemon's.
            store: the store's folder.
            provider: asked instead of NVML and /proc.

        Raises:
            DeviceUnavailable: if there are no GPUs and there must be.
            DeviceLost: if their driver does not answer; it may later.
        """
        if provider is None and config.use != "cpu":
            gpus: Provider = Nvml()
            if found := await _found(gpus, config):
                return cls(found, gpus, config, store)
            if config.use == "cuda":
                raise DeviceUnavailable("cuda", "no GPU that NVML knows")
        driver = provider or Processor()
        return cls(await _found(driver, config), driver, config, store)

    @property
    def surroundings(self) -> Surroundings:
        """What workers need to be there."""
        return self._mps or Surroundings()

    def tie(self, links: Links) -> None:
        """Says who places jobs and has the workers."""
        self._links = links
        self._keeper = DeviceKeeper(list(self.devices.values()), self._provider, self._config, self, links.workers.pids)
        left = links.scheduler.memory.devices_left.values()
        self._keeper.recall(DeviceLeft.model_validate(dict(event)) for event in left)

    async def run(self) -> None:
        """Opens the devices, once earlier daemons' workers are gone, and looks after them until cancelled."""
        await self._open()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keeper.run)
            if self._mps is not None:
                tasks.start_soon(self._mps.run)

    def states(self) -> list[DeviceState]:
        """Returns every device as it is now."""
        return [self._state(device) for device in self.devices.values()]

    def back(self, device: str, by: str) -> None:
        """Takes a device back into service.

        Raises:
            UnknownDevice, WrongState: if there is none of that name, or it is in service.
        """
        self._keeper.back(device, by)

    def slot_lost(self, device: str, reason: Reason, message: str) -> None:
        """A worker's process does not end, or a device cannot be opened."""
        self._links.told(f"{device}: {message}")
        if device not in self.devices:
            return
        if reason == "hung" and self.devices[device].kind != "cpu":
            self._keeper.leave(device, "stuck", message)
        elif reason == "hung":
            self._links.post(partial(self._links.scheduler.seat_lost, device))
        else:
            self._keeper.fault(device, message)

    def failed(self, device: str, message: str) -> None:
        """A worker's job met an error of its device; one of MPS is not the GPU's."""
        if self._mps is not None and self._mps.on and "MPS" in message:
            self._mps.refuses()
        elif device in self.devices:
            self._keeper.fault(device, message)

    # What the keeper tells.

    def device_left(self, event: DeviceLeft) -> None:
        """A device is out of service."""
        self._links.told(f"{event.device} leaves service ({event.reason}): {event.message}")
        self._links.post(partial(self._links.scheduler.device_left, event))

    def device_returned(self, event: DeviceReturned) -> None:
        """A device is in service again."""
        self._links.told(f"{event.device} is in service again (by {event.by})")
        self._links.post(partial(self._links.scheduler.device_returned, event))

    def device_seen(self, device: str, reading: Reading) -> None:
        """The driver has answered; who places jobs hears of it if the memory that is taken has changed."""
        used = reading.memory_used_bytes
        taken = used if reading.others_bytes is None else reading.others_bytes
        if used is None or taken is None or device not in self._links.scheduler.placement.capacity.offers:
            return
        if abs(taken - self._told_used[device]) >= SEEN_BYTES:
            self._told_used[device] = taken
            self._links.post(partial(self._links.scheduler.device_seen, device, used, reading.others_bytes))

    async def _mps_failed(self, why: str, again: bool) -> None:
        """MPS is dead: what ran under it is ended and goes on from its checkpoints."""
        self._links.told(why if again else f"{why}: one worker on each GPU, without MPS")
        workers = None if again else 1
        for name, device in self.devices.items():
            if device.kind != "cpu":
                self._links.post(partial(self._links.scheduler.renew, name, why, workers))

    async def _open(self) -> None:
        stuck = await survivors.see_out(self._store)
        for name, device in self.devices.items():
            offer = self._offers[name]
            offer.in_service = name not in self._keeper.watch.out
            self._links.post(partial(self._links.scheduler.open_device, name, offer))
            for survivor in stuck:
                if device.visible is not None and survivor.visible == device.visible:
                    self._keeper.leave(name, "stuck", f"process {survivor.pid} of an earlier daemon does not end")

    def _first_offer(self, device: Device) -> Offer:
        config = self._config
        if device.kind == "cpu":
            return Offer(workers=config.cpu_workers)
        if config.workers_per_gpu is not None:
            return Offer(workers=config.workers_per_gpu)
        if device.memory_bytes is None:
            return Offer(workers=1)
        return Offer(
            memory_bytes=device.memory_bytes,
            reserve_bytes=config.reserve_bytes,
            others_bytes=device.memory_used_bytes or 0,
            most_workers=config.most_workers_per_gpu,
        )

    def _state(self, device: Device) -> DeviceState:
        reading = self._keeper.readings.get(device.name, Reading())
        left = self._keeper.watch.out.get(device.name)
        slots, busy = self._links.workers.load(device.name)
        return DeviceState(
            device=device.name,
            kind=device.kind,
            model=device.model,
            state="in service" if left is None else "out of service",
            why="" if left is None else f"{left.reason}: {left.message}",
            slots=slots,
            busy=busy,
            memory_bytes=device.memory_bytes if reading.memory_bytes is None else reading.memory_bytes,
            memory_used_bytes=reading.memory_used_bytes,
            utilisation=reading.utilisation,
            temperature=reading.temperature,
            power_watts=reading.power_watts,
            faults=self._keeper.watch.faults(device.name, anyio.current_time()),
            idle_share=self._links.workers.idle_share(device.name),
        )


async def _found(provider: Provider, config: DevicesConfig) -> list[Device]:
    call, seconds = Call(provider.devices), max(DRIVER_SECONDS, config.nvml_seconds)
    with anyio.move_on_after(seconds):
        await call.done.wait()
    if not call.done.is_set():
        raise DeviceLost("the GPU driver", f"it did not answer within {seconds:g} s")
    return call.result()
