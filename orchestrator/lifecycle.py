"""The life of a job: its states, the edges between them, and the one function that moves it. Pure.

docs/states.md describes each state in a sentence and draws the edges.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.errors import InvalidTransition
from store.records.requests import AnyRequest

STORY_LENGTH = 200
FIRST_DELAY, LONGEST_DELAY = 0.2, 60.0


class JobState(StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"


S = JobState
ON_WORKER = frozenset({S.STARTING, S.RUNNING, S.STOPPING})
TERMINAL = frozenset({S.SUCCEEDED, S.FAILED, S.STOPPED})

TRANSITIONS: dict[tuple[JobState, JobState], str] = {
    (S.QUEUED, S.STARTING): "given to a worker",
    (S.QUEUED, S.STOPPED): "dropped: no search asks for it any more",
    (S.QUEUED, S.FAILED): "refused: it does not fit into a message to a worker",
    (S.STARTING, S.RUNNING): "the worker reports its first step",
    (S.STARTING, S.SUCCEEDED): "finished before it reported a step",
    (S.STARTING, S.QUEUED): "the attempt died before its first step; tried again",
    (S.STARTING, S.FAILED): "the attempt died before its first step; no tries are left",
    (S.STARTING, S.STOPPING): "asked to stop before its first step",
    (S.RUNNING, S.SUCCEEDED): "finished",
    (S.RUNNING, S.QUEUED): "the attempt died; tried again",
    (S.RUNNING, S.FAILED): "the attempt died; no tries are left",
    (S.RUNNING, S.STOPPING): "asked to stop",
    (S.STOPPING, S.STOPPED): "stopped at a checkpoint, or died while stopping",
    (S.STOPPING, S.SUCCEEDED): "finished before the request to stop reached it",
    (S.STOPPING, S.FAILED): "failed for good before the request to stop reached it",
}


@dataclass(slots=True)
class Job:
    """A request in execution. Only `move` changes its state.

    Attributes:
        searches: those that asked for it.
        owner: the one of them for which it was given to a worker.
        start: the checkpoint from which its latest attempt went on, if there was one.
    """

    id: str
    request: AnyRequest
    retries: int
    state: JobState = JobState.QUEUED
    attempt: int = 0
    failures: int = 0
    epochs: int = 0
    worker: str | None = None
    start: str | None = None
    alone: bool = False
    held: bool = False
    searches: list[str] = field(default_factory=list)
    owner: str = ""
    story: list[str] = field(default_factory=list)

    def tell(self, what: str) -> None:
        """Adds a line to the job's story; an over-long story loses its oldest lines."""
        self.story.append(what)
        del self.story[:-STORY_LENGTH]


def move(job: Job, to: JobState, cause: str) -> None:
    """Moves a job along one edge of the table.

    Raises:
        InvalidTransition: if the table has no such edge.
    """
    if (job.state, to) not in TRANSITIONS:
        raise InvalidTransition(job.id, job.state, to, job.story)
    job.tell(f"attempt {job.attempt}: {job.state} -> {to}: {cause}")
    job.state = to
    if to not in ON_WORKER:
        job.worker = None


def pause(job: Job) -> float:
    """Returns the seconds before a job that has failed is tried again; jobs that died together come back apart."""
    spread = 1 + int(job.id[:2], 16) / 512
    return float(min(LONGEST_DELAY, FIRST_DELAY * 2 ** (job.failures - 1)) * spread)
