"""What each worker did when, for the Gantt chart. Idle time between a search's runs is left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from orchestrator.views.entries import Attempt, AttemptEnd, JobView
from orchestrator.views.fold import History

SegmentKind = Literal["train", "resume", "evaluate", "measure", "compute"]


@dataclass(frozen=True, slots=True)
class Segment:
    """One attempt on a worker; times in seconds of running time since the search began."""

    start: float
    end: float
    job: str
    words: str
    kind: SegmentKind
    outcome: AttemptEnd
    reason: str
    epochs: int


@dataclass(slots=True)
class WorkerTimeline:
    """A worker slot's segments in order of time."""

    worker: str
    device: str
    segments: list[Segment] = field(default_factory=list)

    @property
    def busy(self) -> float:
        """Seconds that it was at work."""
        return sum(segment.end - segment.start for segment in self.segments)


def timelines(history: History, search: str) -> tuple[list[WorkerTimeline], list[float]]:
    """Returns the workers' segments for one search, and when each of its later runs began.

    A search that was killed and taken up a day later has no day-long gap: time runs only while a run of it does.
    """
    runs = [(run.start, run.last) for run in history.searches[search].runs]
    workers: dict[str, WorkerTimeline] = {}
    for job in list(history.jobs.values()):
        for attempt in job.attempts:
            if attempt.search == search:
                worker = workers.setdefault(attempt.worker, WorkerTimeline(attempt.worker, attempt.device))
                worker.segments.append(_segment(job, attempt, runs))
    for worker in workers.values():
        worker.segments[:] = _one_after_another(worker.segments)
    return sorted(workers.values(), key=lambda worker: _natural(worker.worker)), [
        running_time(s, runs) for s, _ in runs[1:]
    ]


def _one_after_another(segments: list[Segment]) -> Iterator[Segment]:
    """Orders a worker's segments; one that was handed over early begins when the worker was free for it."""
    free = 0.0
    for segment in sorted(segments, key=lambda segment: (segment.start, segment.end)):
        start = min(max(segment.start, free), segment.end)
        yield replace(segment, start=start)
        free = max(free, segment.end)


def _segment(job: JobView, attempt: Attempt, runs: list[tuple[float, float]]) -> Segment:
    return Segment(
        start=running_time(attempt.started, runs),
        end=running_time(attempt.started + attempt.seconds, runs),
        job=job.id,
        words=job.words,
        kind=_kind(job, attempt),
        outcome=attempt.outcome,
        reason=attempt.reason,
        epochs=attempt.epochs_trained,
    )


def _kind(job: JobView, attempt: Attempt) -> SegmentKind:
    match job.kind:
        case "evaluate" | "measure" | "compute" as kind:
            return kind
    return "resume" if attempt.checkpoint is not None else "train"


def running_time(time: float, runs: list[tuple[float, float]]) -> float:
    """Turns a clock reading into seconds of running time."""
    return sum(min(max(time - start, 0.0), end - start) for start, end in runs)


def _natural(name: str) -> tuple[str, int]:
    """Sorts `worker-10` after `worker-9`."""
    stem = name.rstrip("0123456789")
    return stem, int(name[len(stem) :] or 0)
