"""What a search cost, and what it was spared: requests, jobs, attempts and epochs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.views.entries import Attempt, JobView
from orchestrator.views.fold import History


@dataclass(frozen=True, slots=True)
class Costs:
    """Sums over one search. Jobs, attempts and epochs are those of jobs that the search itself queued.

    Attributes:
        requests: what its strategy asked for.
        memo_hits: requests that the store could answer at once.
        joined: requests for which a job was already under way.
        jobs: requests that it put on the queue, each counted once.
        jobs_by_state: the same jobs by where they are now.
        attempts: workers' tries at them.
        epochs_trained: epochs trained in them whose checkpoint was committed.
        epochs_resumed_over: epochs that its jobs did not train because an earlier request's checkpoint had them.
        epochs_by_memo: epochs of memo answers, each epoch of a candidate counted once at most.
        resumed_jobs: jobs that went on from an earlier request's checkpoint.
        seconds: wall time of all its runs.
    """

    requests: int
    memo_hits: int
    joined: int
    jobs: int
    jobs_by_state: Mapping[str, int]
    attempts: int
    epochs_trained: int
    epochs_resumed_over: int
    epochs_by_memo: int
    resumed_jobs: int
    seconds: float


def costs(history: History, search: str, *, alive: bool = True) -> Costs:
    """Adds up what a search cost; with no process `alive`, jobs that the journal left running count as queued."""
    entry = history.searches[search]
    answers = Counter(asked.answer for asked in entry.requests)
    own = history.own(search)
    mine = [[attempt for attempt in job.attempts if attempt.search == search] for job in own]
    resumed = [_resumed_over(attempts) for attempts in mine]
    return Costs(
        requests=len(entry.requests),
        memo_hits=answers["memo"],
        joined=answers["joined"],
        jobs=len(own),
        jobs_by_state=Counter(job.state if alive or job.state != "running" else "queued" for job in own),
        attempts=sum(len(attempts) for attempts in mine),
        epochs_trained=sum(attempt.epochs_trained for attempts in mine for attempt in attempts),
        epochs_resumed_over=sum(resumed),
        epochs_by_memo=_epochs_by_memo(history, search),
        resumed_jobs=sum(epochs > 0 for epochs in resumed),
        seconds=entry.seconds,
    )


def _resumed_over(attempts: list[Attempt]) -> int:
    """Epochs that a job did not train because an earlier request had: what its last foreign start skipped."""
    epochs = 0
    for attempt in attempts:
        if attempt.checkpoint is None:
            epochs = 0
        elif attempt.foreign:
            epochs = attempt.epoch
    return epochs


def _epochs_by_memo(history: History, search: str) -> int:
    covered: dict[str, int] = {}
    saved = 0
    for asked in history.searches[search].requests:
        job = history.jobs[asked.job]
        if job.trained:
            saved += _newly_covered(job, covered) * (asked.answer == "memo")
    return saved


def _newly_covered(job: JobView, covered: dict[str, int]) -> int:
    """Marks a trained candidate's epochs as had, and returns how many of them are new."""
    candidate = job.candidate or job.id
    new = max(0, job.epochs - covered.get(candidate, 0))
    covered[candidate] = covered.get(candidate, 0) + new
    return new
