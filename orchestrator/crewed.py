"""The scheduler of machines whose devices come and go, and whose workers are as many as fit. Pure."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.capacity import Offer
from orchestrator.crew import Crew
from orchestrator.memory import Memory
from orchestrator.reactions import Reaction
from orchestrator.scheduler import Scheduler
from store.records import messages
from store.records.events import DeviceLeft, DeviceReturned
from store.records.messages import AnyReport
from store.records.outcomes import Reason

CPU = "cpu"
SEEN_BYTES = 256 << 20
"""Others' memory that changes by less is not worth another look at what fits."""


class CrewedScheduler(Scheduler):
    """A scheduler that also says when workers are to be started and ended.

    Args:
        memory: what the journal says.
        process: as for `Scheduler`.
    """

    def __init__(self, memory: Memory, process: str = "") -> None:
        super().__init__(memory, process)
        self.crew = Crew(self.placement)

    def open_device(self, device: str, offer: Offer) -> Reaction:
        """Puts a device to use, or says anew what it offers."""
        self.crew.open(device, offer)
        return self._react()

    def device_seen(self, device: str, used_bytes: int, others_bytes: int | None) -> Reaction:
        """The driver says how much of a device's memory is taken, and how much of that by others.

        Where it does not say whose memory it is, what our jobs are not expected to take is others'.
        """
        offer = self.placement.capacity.offers[device]
        if others_bytes is None:
            others_bytes = max(0, used_bytes - self.placement.load(device))
        self.placement.capacity.offers[device] = replace(offer, others_bytes=others_bytes)
        return self._react()

    def device_left(self, event: DeviceLeft) -> Reaction:
        """A device is out of service: its jobs go on elsewhere."""
        self._emit(event)
        if offer := self.placement.capacity.offers.get(event.device):
            offer.in_service = False
        self._reaction.commands += self.crew.close(event.device, "device", f"{event.device}: {event.message}")
        return self._react()

    def device_returned(self, event: DeviceReturned) -> Reaction:
        """A device is in service again."""
        self._emit(event)
        if offer := self.placement.capacity.offers.get(event.device):
            offer.in_service = True
        return self._react()

    def renew(self, device: str, message: str, workers: int | None = None) -> Reaction:
        """Ends all workers of a device through no fault of theirs, and starts others.

        Args:
            device: its name.
            message: why.
            workers: so many from now on; as it was before, if absent.
        """
        self._reaction.commands += self.crew.close(device, "device", message)
        if workers is not None:
            self.placement.capacity.offers[device].workers = workers
        return self._react()

    def seat_lost(self, device: str) -> Reaction:
        """A worker of a device neither ends nor starts again."""
        self.crew.lose_seat(device)
        return self._react()

    def worker_idle(self, worker: str) -> Reaction:
        """A worker has had no job for a while."""
        self._reaction.commands += self.crew.idle(worker)
        return self._react()

    def report(self, worker: str, message: AnyReport, seconds: float) -> Reaction:
        """A worker's message about a job; if a GPU failed it, those who share the GPU with it are ended too."""
        if isinstance(message, messages.Failed) and message.reason == "device" and not self._is_stale(worker, message):
            if self.workers[worker].device != CPU:
                self._reaction.commands += self.crew.failed(worker, _DEVICE, message.message)
        return super().report(worker, message, seconds)

    def _fill(self) -> None:
        super()._fill()
        if not self.draining:
            self._reaction.commands += self.crew.resize()


_DEVICE: Reason = "device"
