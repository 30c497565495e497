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
        others_bytes: taken by processes that are not ours.
        workers: worker processes that it always has; None: from one to `most_workers`, as many as fit.
        in_service: whether anything is placed on it.
        seats: worker processes that it has, or that are being started.
    """

    memory_bytes: int | None = None
    reserve_bytes: int = 0
    others_bytes: int = 0
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

    def is_limited(self, device: str) -> bool:
        """Whether memory says what may be placed on a device."""
        return device in self.offers and self.offers[device].memory_bytes is not None

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
            device: its name; its memory is known.
            beside: the jobs of each of the device's other workers, which do one at a time.
        """
        offer = self.offers[device]
        jobs = list(beside)
        need = self.need(job, device)
        room = (offer.memory_bytes or 0) - offer.reserve_bytes - offer.others_bytes - self.load(device, jobs)
        if need <= room:
            return True
        return not any(jobs) and room > CONTEXT_BYTES and self._is_hopeless(job)

    def load(self, device: str, workers: Iterable[list[Job]]) -> int:
        """Returns the bytes that some workers of a device are expected to take; one without a job has a context."""
        return sum(max((self.need(job, device) for job in jobs), default=CONTEXT_BYTES) for jobs in workers)

    def _is_hopeless(self, job: Job) -> bool:
        """Whether waiting for room leads nowhere: what it needs is not known, or more than any device has."""
        open_ones = {name: offer for name, offer in self.offers.items() if offer.in_service and offer.memory_bytes}
        fitting = [n for n, o in open_ones.items() if self.need(job, n) <= (o.memory_bytes or 0) - o.reserve_bytes]
        return self._peaks.need(self._kind(job)) is None or not fitting

    def _kind(self, job: Job) -> str:
        if job.id not in self._kinds:
            self._kinds[job.id] = kind_of(job.request)
        return self._kinds[job.id]
