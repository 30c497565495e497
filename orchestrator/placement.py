"""Which waiting job goes to which worker next. Pure.

Where the next job of the neediest search does not fit into a device's memory, that of another search goes first; but
only `PATIENCE` times: then the roomiest device is kept for it until it fits.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping

from orchestrator.capacity import Capacity
from orchestrator.lifecycle import Job
from orchestrator.queue import JobQueue
from orchestrator.reactions import Slot, Sort
from orchestrator.shares import Shares

PATIENCE = 16
"""So many jobs may overtake one that does not fit beside what runs."""


class Placement:
    """The workers, what each of them has, and what waits for one.

    Args:
        jobs: all that are under way, by id; the scheduler's own map, which it changes.
        capacity: what the devices have, and jobs need, of memory.

    Attributes:
        workers: by name.
        queue: jobs that wait for any worker.
        alone: jobs that wait for a device of their own, in the order in which they came.
        shares: how searches share the workers.
        on_workers: how many jobs are done for each search now.
    """

    def __init__(self, jobs: Mapping[str, Job], capacity: Capacity) -> None:
        self.workers: dict[str, Slot] = {}
        self.queue = JobQueue()
        self.alone: deque[str] = deque()
        self.shares = Shares()
        self.on_workers: Counter[str] = Counter()
        self.capacity = capacity
        self._jobs = jobs
        self._overtaken: tuple[str, int] = ("", 0)

    def line_up(self, job: Job, *, resumes: bool) -> None:
        """Lets a job wait for a worker."""
        for search in job.searches:
            self._wake(search)
        if job.alone:
            self.alone.append(job.id)
        else:
            self.queue.push(job.id, job.searches, resumes=resumes, epochs=job.epochs)

    def join(self, job: str, search: str) -> None:
        """Another search asks for a job, which may wait for a worker."""
        if job in self.queue:
            self._wake(search)
            self.queue.join(job, search)

    def leave(self, job: Job, search: str) -> None:
        """A search does not ask for a job any more; one that nobody asks for waits no longer."""
        if job.id in self.queue:
            self.queue.leave(job.id, search)
        if not job.searches and job.id in self.alone:
            self.alone.remove(job.id)

    def put(self, worker: str, job: Job) -> None:
        """Notes that a worker has been given a job."""
        job.worker = worker
        self.workers[worker].jobs.append(job.id)
        self.on_workers[job.owner] += 1
        self.shares.starts(job.owner, job.id)

    def take_off(self, worker: str, job: str, seconds: float | None = None) -> Job:
        """Takes a job off its worker, which had it for so many seconds if that is known."""
        self.workers[worker].jobs.remove(job)
        released = self._jobs[job]
        self.on_workers[released.owner] -= 1
        self.shares.ends(job, seconds)
        return released

    def fill(self) -> Iterator[tuple[str, Job]]:
        """Yields a worker and the job that it is to have, until no free worker can be given any.

        The caller `put`s each pair before it asks for the next one.
        """
        for name, slot in self.workers.items():
            if slot.jobs or slot.leaving or not self.is_open(slot.device):
                continue
            first = self.first_alone()
            if first is not None and slot.device == self._quietest():
                if not self.jobs_on(slot.device):
                    self.alone.remove(first.id)
                    first.owner = self.shares.next(first.searches) or ""
                    yield name, first
                continue
            yield from self._next_for(name)
        for name, slot in self.workers.items():
            if not slot.quick or slot.leaving or len(slot.jobs) != 1 or self.first_alone():
                continue
            if self.is_open(slot.device):
                ahead = self.queue.peek(self.shares, self._fits_on(name))
                if ahead is not None and all(sort_of(self._jobs[job]) == slot.quick for job in (slot.jobs[0], ahead)):
                    yield from self._next_for(name)

    def fits_beside(self, job: str, device: str, but: Collection[str] = ()) -> bool:
        """Whether a device has the memory for a job beside what its workers, but for some, do already."""
        limited = self.capacity.is_limited(device)
        return not limited or self.capacity.fits(self._jobs[job], device, self._work_on(device, but))

    def load(self, device: str) -> int:
        """The memory that a device's workers are expected to take."""
        return self.capacity.load(device, self._work_on(device, ()))

    def _work_on(self, device: str, but: Collection[str]) -> list[list[Job]]:
        slots = [slot for name, slot in self.workers.items() if slot.device == device and name not in but]
        return [[self._jobs[job] for job in slot.jobs] for slot in slots]

    def is_open(self, device: str) -> bool:
        """Whether a device is in service, and no job has it for itself."""
        return self.capacity.is_open(device) and not any(job.alone for job in self.jobs_on(device))

    def jobs_on(self, device: str) -> list[Job]:
        """The jobs that a device's workers have."""
        return [self._jobs[job] for slot in self.workers.values() if slot.device == device for job in slot.jobs]

    def _fits_on(self, worker: str) -> Callable[[str], bool]:
        device = self.workers[worker].device
        return lambda job: self.fits_beside(job, device, but=(worker,))

    def _next_for(self, worker: str) -> Iterator[tuple[str, Job]]:
        limited = self.capacity.is_limited(self.workers[worker].device)
        found = self._next_that_fits(worker) if limited else self.queue.pop(self.shares)
        if found is not None:
            job, search = found
            self._jobs[job].owner = search
            yield worker, self._jobs[job]

    def _next_that_fits(self, worker: str) -> tuple[str, str] | None:
        fits = self._fits_on(worker)
        first = self.queue.peek(self.shares)
        if first is None or (self._is_overdue(first) and not fits(first) and self._is_kept(worker, first)):
            return None
        found = self.queue.pop(self.shares, fits)
        if found is not None and found[0] != first:
            self._overtaken = (first, self._overtaken[1] + 1 if self._overtaken[0] == first else 1)
        return found

    def _is_overdue(self, job: str) -> bool:
        return self._overtaken[0] == job and self._overtaken[1] >= PATIENCE

    def _is_kept(self, worker: str, job: str) -> bool:
        """Whether a worker's device is the one to be kept for a job, which would fit if others of ours did nothing."""
        device = self.workers[worker].device
        return device == self._quietest() and self.capacity.fits(self._jobs[job], device, ())

    def first_alone(self) -> Job | None:
        """The first job that waits for a device of its own, and whose searches are not all paused."""
        waiting = (self._jobs[job] for job in self.alone)
        return next((job for job in waiting if self.shares.next(job.searches)), None)

    def _wake(self, search: str) -> None:
        if not self.on_workers[search] and not self.queue.has(search):
            self.shares.wakes(search)

    def _quietest(self) -> str:
        """The device that a job which must be alone waits for; the others go on meanwhile."""
        slots = [slot for slot in self.workers.values() if not slot.leaving and self.capacity.is_open(slot.device)]
        return min({slot.device for slot in slots}, key=lambda name: (len(self.jobs_on(name)), name))


def sort_of(job: Job) -> Sort:
    """Jobs alike in this take about as long."""
    candidate = job.request.candidate
    return (job.request.kind, candidate.trainer.name if candidate else "", job.epochs)
