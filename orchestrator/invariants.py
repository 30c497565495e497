"""What must hold of the scheduler between any two stimuli; its tests ask after each. Pure."""

from __future__ import annotations

from orchestrator.errors import InvariantBroken
from orchestrator.lifecycle import ON_WORKER, JobState
from orchestrator.scheduler import Scheduler


def validate(scheduler: Scheduler) -> None:
    """Checks that jobs, workers and lines agree.

    Raises:
        InvariantBroken: if they do not.
    """
    placement = scheduler.placement
    placed = {job: name for name, slot in scheduler.workers.items() for job in slot.jobs}
    if len(placed) != sum(len(slot.jobs) for slot in scheduler.workers.values()):
        raise InvariantBroken("two workers have the same job")
    for job in scheduler.jobs.values():
        waits = (job.id in placement.queue) + (job.id in placement.alone) + job.held
        if (job.state in ON_WORKER) != (job.id in placed) or job.worker != placed.get(job.id):
            raise InvariantBroken(f"job {job.id[:12]} is {job.state} with worker {job.worker}")
        if waits != (job.state is JobState.QUEUED):
            raise InvariantBroken(f"job {job.id[:12]} is {job.state} and waits in {waits} places")
    if missing := set(placed) - set(scheduler.jobs):
        raise InvariantBroken(f"a worker has the unknown job {missing.pop()}")
