"""How a search got on: what each training reached, against the epochs that were spent until then, and its rungs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from orchestrator.views.entries import Asked, JobView, Payload
from orchestrator.views.fold import History
from orchestrator.views.timeline import running_time

_FREE = {"architecture", "seed", "initial"}


@dataclass(frozen=True, slots=True)
class Step:
    """A training that ended, in the order in which the strategy learnt of it.

    Attributes:
        spent: epochs of all trainings that had ended by then, each epoch of a candidate once; those that the store
            answered count like trained ones, so that strategies can be compared.
        epochs: epochs that this one has reached.
        accuracy: its best validation accuracy, in [0, 1].
        best: the best so far.
        candidate: its digest.
        seconds: of the search's running time when its strategy knew of it.
    """

    spent: int
    epochs: int
    accuracy: float
    best: float
    candidate: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Rung:
    """The candidates that were trained for so many epochs; accuracies in [0, 1]."""

    epochs: int
    candidates: int
    mean: float
    best: float


def progress(history: History, search: str) -> list[Step]:
    """Returns a search's trainings as they ended; none if it trains candidates in several settings."""
    ended = sorted(_ended(history, search), key=lambda one: one[0])
    if len({_setting(job.request["candidate"]) for _, job in ended}) > 1:
        return []
    runs = [(run.start, run.last) for run in history.searches[search].runs]
    reached, spent, best, steps = dict[str, int](), 0, 0.0, list[Step]()
    for time, job in ended:
        candidate = job.candidate or job.id
        spent += max(0, job.epochs - reached.get(candidate, 0))
        reached[candidate] = max(job.epochs, reached.get(candidate, 0))
        accuracy = (job.outcome or {}).get("accuracy")
        if accuracy is not None:
            best = max(best, accuracy)
            steps.append(Step(spent, job.epochs, accuracy, best, candidate, running_time(time, runs)))
    return steps


def rungs(steps: Sequence[Step]) -> list[Rung]:
    """Returns the numbers of epochs that trainings ended with, ascending; none if all ended alike."""
    levels: dict[int, dict[str, float]] = {}
    for step in steps:
        levels.setdefault(step.epochs, {})[step.candidate] = step.accuracy
    if len(levels) < 2:
        return []
    return [
        Rung(epochs, len(found), fmean(found.values()), max(found.values())) for epochs, found in sorted(levels.items())
    ]


def _ended(history: History, search: str) -> Iterator[tuple[float, JobView]]:
    """Yields each of the search's trainings that ended, once, with the time at which it could know of it."""
    seen = set[str]()
    for asked in history.searches[search].requests:
        job = history.jobs[asked.job]
        if job.trained and job.kind == "train" and job.id not in seen:
            seen.add(job.id)
            yield _known(asked, job), job


def _known(asked: Asked, job: JobView) -> float:
    ends = [attempt.ended for attempt in job.attempts if attempt.ended is not None and attempt.outcome == "succeeded"]
    return max([asked.time, *ends]) if asked.answer != "memo" else asked.time


def _setting(candidate: Payload) -> str:
    """What candidates of one search share if all are trained alike."""
    return repr(sorted((name, value) for name, value in candidate.items() if name not in _FREE))
