"""Which waiting job goes to which worker next. Pure."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping

from orchestrator.lifecycle import Job
from orchestrator.queue import JobQueue
from orchestrator.reactions import Slot, Sort


class Placement:
    """The workers, what each of them has, and what waits for one.

    Args:
        jobs: all that are under way, by id; the scheduler's own map, which it changes.

    Attributes:
        workers: by name.
        queue: jobs that wait for any worker.
        alone: jobs that wait for a device of their own, in the order in which they came.
    """

    def __init__(self, jobs: Mapping[str, Job]) -> None:
        self.workers: dict[str, Slot] = {}
        self.queue = JobQueue()
        self.alone: deque[str] = deque()
        self._jobs = jobs
        self.on_workers: Counter[str] = Counter()

    def line_up(self, job: Job, *, resumes: bool) -> None:
        """Lets a job wait for a worker."""
        if job.alone:
            self.alone.append(job.id)
        else:
            self.queue.push(job.id, job.searches[0], resumes=resumes, epochs=job.epochs)

    def put(self, worker: str, job: Job) -> None:
        """Notes that a worker has been given a job."""
        job.worker = worker
        self.workers[worker].jobs.append(job.id)
        self.on_workers[job.searches[0]] += 1

    def take_off(self, worker: str, job: str) -> Job:
        """Takes a job off its worker."""
        self.workers[worker].jobs.remove(job)
        released = self._jobs[job]
        self.on_workers[released.searches[0]] -= 1
        return released

    def fill(self) -> Iterator[tuple[str, Job]]:
        """Yields a worker and the job that it is to have, until no free worker can be given any.

        The caller `put`s each pair before it asks for the next one.
        """
        for name, slot in self.workers.items():
            if slot.jobs or slot.leaving or self._is_taken_alone(slot.device):
                continue
            if self.alone and slot.device == self._quietest():
                if not self._jobs_on(slot.device):
                    yield name, self._jobs[self.alone.popleft()]
                continue
            yield from self._next_for(name)
        for name, slot in self.workers.items():
            if slot.quick and len(slot.jobs) == 1 and not self.alone and not self._is_taken_alone(slot.device):
                ahead = self.queue.peek(self.on_workers)
                if ahead is not None and all(sort_of(self._jobs[job]) == slot.quick for job in (slot.jobs[0], ahead)):
                    yield from self._next_for(name)

    def _next_for(self, worker: str) -> Iterator[tuple[str, Job]]:
        job = self.queue.pop(self.on_workers)
        if job is not None:
            yield worker, self._jobs[job]

    def _jobs_on(self, device: str) -> list[Job]:
        return [self._jobs[job] for slot in self.workers.values() if slot.device == device for job in slot.jobs]

    def _is_taken_alone(self, device: str) -> bool:
        return any(job.alone for job in self._jobs_on(device))

    def _quietest(self) -> str:
        """The device that a job which must be alone waits for; the others go on meanwhile."""
        return min({slot.device for slot in self.workers.values()}, key=lambda name: (len(self._jobs_on(name)), name))


def sort_of(job: Job) -> Sort:
    """Jobs alike in this take about as long."""
    candidate = job.request.candidate
    return (job.request.kind, candidate.trainer.name if candidate else "", job.epochs)
