"""Whether a job fits on a device beside what runs there. Pure.

A job needs what the largest of its kind has taken, and `MARGIN` more. One whose kind was never measured counts as half
of the device's memory, so that it has at most one other such job beside it. On a device where nothing of ours runs, a
job may need more than it has, by our account: it is tried, and if it runs out of memory there, it fails for good.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.lifecycle import Job
from orchestrator.peaks import Peaks, kind_of
from store.records.messages import CONTEXT_BYTES

MARGIN = 1.1
"""Networks of one kind differ: another one may take a little more than the largest so far."""
UNKNOWN_SHARE = 0.5


@dataclass(slots=True)
class Offer:
    """What a device has for our jobs.

    Attributes:
        memory_bytes: all that it has; None: jobs are placed there without regard to memory.
        reserve_bytes: stays free.
        others_bytes: taken by processes that are not ours; None if the driver does not say whose memory is whose.
        used_bytes: taken by anyone.
        workers: worker processes that it always has; None: from one to `most_workers`, as many as fit.
        in_service: whether anything is placed on it.
        seats: worker processes that it has, or that are being started.
    """

    memory_bytes: int | None = None
    reserve_bytes: int = 0
    others_bytes: int | None = None
    used_bytes: int = 0
    workers: int | None = None
    most_workers: int = 1
    in_service: bool = True
    seats: int = 0


class Capacity:
    """The memory of all devices, and what jobs need of it.

    Args:
        peaks: what has been measured.
    """

    def __init__(self, peaks: Peaks) -> None:
        self.offers: dict[str, Offer] = {}
        self._peaks = peaks
        self._kinds: dict[str, str] = {}

    def is_open(self, device: str) -> bool:
        """Whether a device is in service."""
        return device not in self.offers or self.offers[device].in_service

    def need(self, job: Job, device: str) -> int:
        """Returns the bytes that a job is expected to take of a device."""
        measured = self._peaks.need(self._kind(job))
        if measured is not None:
            return round(measured * MARGIN)
        offer = self.offers[device]
        return round(UNKNOWN_SHARE * ((offer.memory_bytes or 0) - offer.reserve_bytes))

    def forget(self, job: str) -> None:
        """Forgets a job that is over."""
        self._kinds.pop(job, None)

    def fits(self, job: Job, device: str, beside: Iterable[list[Job]]) -> bool:
        """Whether a device has the memory for a job.

        Args:
            job: the job.
            device: its name.
            beside: the jobs of each of the device's other workers, which do one at a time.
        """
        offer = self.offers.get(device)
        if offer is None or offer.memory_bytes is None:
            return True
        jobs = list(beside)
        needs = [max((self.need(other, device) for other in has), default=CONTEXT_BYTES) for has in jobs]
        total, need = offer.memory_bytes - offer.reserve_bytes, self.need(job, device)
        others = offer.others_bytes
        if others is None:
            others = max(0, offer.used_bytes - sum(needs))
        room = total - others - sum(needs)
        if need <= room:
            return True
        hopeless = need > total or self._peaks.need(self._kind(job)) is None
        return hopeless and not any(jobs) and room > CONTEXT_BYTES

    def _kind(self, job: Job) -> str:
        if job.id not in self._kinds:
            self._kinds[job.id] = kind_of(job.request)
        return self._kinds[job.id]
