"""How many workers each device has, and which devices are in service. Pure: commands come out.

A device whose workers are sized by memory starts with one. It gets another when all of its workers are at work and a
job that waits would fit beside them, and gives one up that had nothing to do for a while, down to one.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.capacity import Offer
from orchestrator.placement import Placement
from orchestrator.reactions import AddWorker, CloseDevice, DeviceCommand, EndWorker, RetireWorker, Slot
from store.records.outcomes import Reason


class Crew:
    """The workers of all devices that were opened; of others it knows nothing and changes nothing."""

    def __init__(self, placement: Placement) -> None:
        self._offers = placement.capacity.offers
        self._placement = placement

    def open(self, device: str, offer: Offer) -> None:
        """Puts a device to use."""
        self._offers[device] = offer

    def resize(self) -> Iterator[DeviceCommand]:
        """Yields the workers that are to be started now, or to leave so that a job fits."""
        for device, offer in self._offers.items():
            if offer.workers is None and offer.in_service:
                yield from self._make_room(device)
            while offer.in_service and self._lacks_one(device, offer):
                offer.seats += 1
                yield AddWorker(device)

    def idle(self, worker: str) -> Iterator[DeviceCommand]:
        """A worker has had no job for a while."""
        slot = self._placement.workers.get(worker)
        if slot is None or slot.jobs or slot.leaving:
            return
        offer = self._offers.get(slot.device)
        if offer is not None and offer.workers is None and offer.seats > 1:
            yield self._retire(worker)

    def close(self, device: str, reason: Reason, message: str) -> Iterator[DeviceCommand]:
        """Ends all workers of a device; their jobs go on elsewhere, or here when it is opened again."""
        if offer := self._offers.get(device):
            offer.seats = 0
        for slot in self._slots(device):
            slot.leaving = "evicted"
        yield CloseDevice(device, reason, message)

    def failed(self, worker: str, reason: Reason, message: str) -> Iterator[DeviceCommand]:
        """A worker's GPU failed: what others do there is not to be trusted from here on."""
        device = self._placement.workers[worker].device
        for name, slot in self._placement.workers.items():
            if slot.device == device and name != worker and not slot.leaving:
                slot.leaving = "evicted"
                yield EndWorker(name, reason, f"{device} failed under another job: {message}")

    def lose_seat(self, device: str) -> None:
        """A worker of a device neither ends nor starts again: it is not replaced."""
        if offer := self._offers.get(device):
            offer.seats = max(0, offer.seats - 1)
            offer.workers = None if offer.workers is None else offer.workers - 1

    def _make_room(self, device: str) -> Iterator[DeviceCommand]:
        """Lets idle workers leave whose contexts keep the job that is next from a device."""
        placement = self._placement
        idle = [name for name, slot in placement.workers.items() if slot.device == device and not slot.jobs]
        staying = [name for name in idle if not placement.workers[name].leaving]
        first = placement.queue.peek(placement.shares)
        if len(staying) < 2 or first is None or placement.fits_beside(first, device, staying[:1]):
            return
        if placement.fits_beside(first, device, idle):
            for name in staying[1:]:
                yield self._retire(name)

    def _retire(self, worker: str) -> RetireWorker:
        slot = self._placement.workers[worker]
        slot.leaving = "retired"
        self._offers[slot.device].seats -= 1
        return RetireWorker(worker)

    def _slots(self, device: str) -> list[Slot]:
        return [slot for slot in self._placement.workers.values() if slot.device == device]

    def _lacks_one(self, device: str, offer: Offer) -> bool:
        if offer.workers is not None:
            return offer.seats < offer.workers
        if offer.seats == 0:
            return True
        slots = self._slots(device)
        if offer.seats >= offer.most_workers or len(slots) < offer.seats or not all(slot.jobs for slot in slots):
            return False
        if not self._placement.is_open(device) or self._placement.first_alone() is not None:
            return False
        placement = self._placement
        return placement.queue.peek(placement.shares, lambda job: placement.fits_beside(job, device)) is not None
