"""Whether a worker is silent for too long, and how one that is comes to its end."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio

from orchestrator.workers import STUCK_SECONDS, WorkerProcess
from store.records.outcomes import Reason
from store.records.spec import Resources

DUMP_SECONDS = 1.0
"""What a worker gets to write where it stands, before it is killed."""


@dataclass(slots=True)
class Watched:
    """What is known of a worker; times are of the monotonic clock.

    Attributes:
        heard: when it said something last, or got a job while it had none.
        jobs: when each of its jobs was given to it.
        freed: when its last job ended, or when it became ready.
        stop_by: when it is to have stopped.
        verdict: why it is made to end, if it is.
        ready: whether it can be given jobs.
        kills: of the kernel for want of memory, before it was started.
    """

    process: WorkerProcess
    heard: float
    jobs: dict[str, float] = field(default_factory=dict)
    freed: float = 0.0
    stop_by: float | None = None
    verdict: tuple[Reason, str] | None = None
    ready: bool = False
    kills: int = 0

    def slept(self, seconds: float) -> None:
        """It was the daemon that slept for so long: the workers' messages wait unread."""
        self.heard += seconds
        self.stop_by = self.stop_by + seconds if self.stop_by is not None else None

    def judge(self, now: float, limits: Resources) -> tuple[Reason, str] | None:
        """Returns why the worker has to end now, or None. One that is ready and has no job may be silent."""
        if self.verdict is not None or (self.ready and not self.jobs):
            return None
        if now - self.heard > limits.hang_seconds:
            return "hung", f"the worker was silent for more than {limits.hang_seconds:g} s and was killed"
        if self.stop_by is not None and now > self.stop_by:
            return "hung", f"the worker did not stop within {limits.stop_seconds:g} s and was killed"
        return None


async def put_down(process: WorkerProcess, *, dump: bool) -> None:
    """Ends a worker that would not end by itself.

    If not even SIGKILL ends it, our end of its socket is closed, so that whoever listens to it listens no more.

    Args:
        process: the worker's.
        dump: whether it writes where it stands into its log before.
    """
    if dump:
        process.dump()
        with anyio.move_on_after(DUMP_SECONDS):
            await process.closed()
    process.kill()
    with anyio.move_on_after(STUCK_SECONDS):
        await process.closed()
    process.hang_up()
