"""One search as people see it: its state, what it cost and saved, its candidates, and the best of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.views.entries import Attempt, JobView, Payload, SearchStatus
from orchestrator.views.fold import History


@dataclass(frozen=True, slots=True)
class CandidateView:
    """One network of a search; accuracies are in [0, 1], the curve is (epoch, validation accuracy)."""

    index: int
    candidate: str
    architecture: Payload
    epochs: int
    accuracy: float | None
    checkpoint: str | None
    parameters: int | None
    multiply_adds: int | None
    origin: str = ""
    parent: int | None = None
    cycle: int = 0
    failure: str | None = None
    curve: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class SearchView:
    """All that is shown of one search. Epochs and attempts are those of jobs that this search itself queued."""

    id: str
    name: str
    status: SearchStatus
    message: str
    spec: Payload
    opened: float
    runs: int
    seconds: float
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
    best: tuple[CandidateView, ...]
    candidates: tuple[CandidateView, ...]
    curves: Mapping[str, Any]
    failures: tuple[JobView, ...]

    @property
    def finished(self) -> bool:
        """Whether its strategy returned."""
        return self.status == "finished"


def totals(view: SearchView) -> dict[str, int | float]:
    """Returns what a search cost, under the names that `coldframe run --json` documents."""
    return {
        "requests": view.requests,
        "jobs": view.jobs,
        "attempts": view.attempts,
        "epochs_trained": view.epochs_trained,
        "epochs_resumed_over": view.epochs_resumed_over,
        "memo_hits": view.memo_hits,
        "seconds": round(view.seconds, 3),
    }


def search_view(history: History, search: str, *, alive: bool = True) -> SearchView:
    """Builds the view of one search.

    Args:
        history: the folded journal.
        search: the search's id.
        alive: whether a process holds the store; without one, nothing that the journal left open is running.
    """
    entry = history.searches[search]
    answers = Counter(asked.answer for asked in entry.requests)
    own = [job for job in history.jobs.values() if _queued(job, search)]
    mine = [(job, [a for a in job.attempts if a.search == search]) for job in own]
    resumed = [_resumed_over(attempts) for _, attempts in mine]
    candidates = tuple(_candidates(history, search))
    status: SearchStatus = "interrupted" if entry.status == "running" and not alive else entry.status
    return SearchView(
        id=search,
        name=entry.name,
        status=status,
        message=entry.message,
        spec=entry.spec,
        opened=entry.opened,
        runs=len(entry.runs),
        seconds=entry.seconds,
        requests=len(entry.requests),
        memo_hits=answers["memo"],
        joined=answers["joined"],
        jobs=len(own),
        jobs_by_state=Counter(job.state if alive or job.state != "running" else "queued" for job in own),
        attempts=sum(len(attempts) for _, attempts in mine),
        epochs_trained=sum(a.epochs_trained for _, attempts in mine for a in attempts),
        epochs_resumed_over=sum(resumed),
        epochs_by_memo=_epochs_by_memo(history, search),
        resumed_jobs=sum(epochs > 0 for epochs in resumed),
        best=tuple(_best(history, search, candidates)),
        candidates=candidates,
        curves=(entry.result or {}).get("curves", {}),
        failures=tuple(job for job in own if job.state == "failed" or any(a.outcome == "failed" for a in job.attempts)),
    )


def _queued(job: JobView, search: str) -> bool:
    """Whether the search put this job on the queue, rather than finding it there or done."""
    asked = (note.payload for note in job.notes if note.kind == "requested")
    return any(request["search"] == search and request["answer"] == "queued" for request in asked)


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
    """Epochs that the search had for nothing from the memo: each epoch of each candidate counts once at most."""
    covered: dict[str, int] = {}
    saved = 0
    for asked in history.searches[search].requests:
        job = history.jobs[asked.job]
        if job.kind != "train" or not job.trained:
            continue
        before = covered.get(job.candidate or "", 0)
        if asked.answer == "memo":
            saved += max(0, job.epochs - before)
        covered[job.candidate or ""] = max(before, job.epochs)
    return saved


def _candidates(history: History, search: str) -> Iterator[CandidateView]:
    """The strategy's own history if it has returned; else what its requests tell, in order of birth."""
    entry = history.searches[search]
    if entry.result is not None:
        for individual in entry.result.get("history", ()):
            yield _from_individual(history, individual)
        return
    births: dict[str, list[JobView]] = {}
    for asked in entry.requests:
        job = history.jobs[asked.job]
        if job.kind == "train":
            births.setdefault(job.candidate or job.id, []).append(job)
    for index, (candidate, jobs) in enumerate(births.items()):
        yield _from_jobs(index, candidate, jobs)


def _from_jobs(index: int, candidate: str, jobs: list[JobView]) -> CandidateView:
    outcomes = [job.outcome for job in jobs if job.trained and job.outcome]
    latest = max(outcomes, key=lambda outcome: outcome["epochs"], default={})
    failed = [job.outcome["message"] for job in jobs if job.state == "failed" and job.outcome]
    return CandidateView(
        index=index,
        candidate=candidate,
        architecture=jobs[0].request["candidate"]["architecture"],
        epochs=latest.get("epochs", 0),
        accuracy=latest.get("accuracy"),
        checkpoint=latest.get("checkpoint"),
        parameters=latest.get("parameters"),
        multiply_adds=latest.get("multiply_adds"),
        failure=failed[-1] if failed and not outcomes else None,
        curve=curve(jobs),
    )


def _from_individual(history: History, individual: Payload) -> CandidateView:
    """Builds a candidate's view from a strategy's `Individual`, with the curve that the journal holds."""
    names = ("checkpoint", "parameters", "multiply_adds", "parent", "accuracy", "failure")
    jobs = history.trainings.get(individual["candidate"], {}).values()
    return CandidateView(
        index=individual["index"],
        candidate=individual["candidate"],
        architecture=individual["architecture"],
        epochs=individual.get("epochs", 0),
        origin=individual.get("origin", ""),
        cycle=individual.get("cycle", 0),
        curve=curve(list(jobs)),
        **{name: individual.get(name) for name in names},
    )


def curve(jobs: list[JobView]) -> tuple[tuple[int, float], ...]:
    """Validation accuracy after each epoch, from the newest committed metrics of each epoch."""
    points: dict[int, float] = {}
    for saved in sorted((saved for job in jobs for saved in job.checkpoints), key=lambda saved: saved.time):
        if saved.metrics is not None:
            points[saved.epoch] = saved.metrics["validation_accuracy"]
    return tuple(sorted(points.items()))


def _best(history: History, search: str, candidates: tuple[CandidateView, ...]) -> list[CandidateView]:
    """The strategy's choice if it has returned, else the highest validation accuracies so far."""
    entry = history.searches[search]
    if entry.result is not None:
        return [_from_individual(history, individual) for individual in entry.result.get("best", ())]
    scored = [candidate for candidate in candidates if candidate.accuracy is not None]
    return sorted(scored, key=lambda candidate: (-(candidate.accuracy or 0.0), candidate.index))[:5]
