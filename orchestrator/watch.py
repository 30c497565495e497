"""What there is to see of a running search: the observer that the live table and the plain lines share."""

from __future__ import annotations

import time as clocks
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator import wording
from orchestrator.views import Attempt, Costs, History, JobView, costs
from store.records.events import AnyEvent, SearchStarted
from store.records.messages import Progress

LINES = 6
COSTS_SECONDS = 1.0


@dataclass(slots=True)
class Doing:
    """What a worker is at, and its last heartbeat."""

    worker: str
    device: str
    job: JobView
    attempt: Attempt
    message: Progress | None = None

    @property
    def epoch(self) -> float:
        """Epochs done, with the part of the one under way."""
        if self.message is None:
            return float(self.attempt.epoch)
        part = self.message.step / self.message.steps if self.message.steps else 0.0
        return self.message.epoch + min(part, 1.0)


class Watch:
    """Keeps what a view shows. Holds no terminal and prints nothing.

    Args:
        clock: a monotonic clock in seconds; tests give their own.
    """

    def __init__(self, clock: Callable[[], float] = clocks.monotonic) -> None:
        self.history = History(stories=False)
        self.search: str | None = None
        self.reason: str | None = None
        self.done, self.total, self.label = 0, 0, ""
        self.best: Mapping[str, Any] | None = None
        self.compares = True
        self.lines: deque[tuple[float, str, bool]] = deque(maxlen=LINES)
        self.clock = clock
        self._beats: dict[str, Progress] = {}
        self._baseline: tuple[float, int] | None = None
        self._costs: Costs | None = None
        self._costs_due = float("-inf")

    def recalled(self, sequence: int, time: float, kind: str, payload: Mapping[str, Any]) -> None:
        """Folds an earlier row."""
        self.history.apply(sequence, time, kind, payload)

    def event(self, sequence: int, time: float, event: AnyEvent) -> str | None:
        """Folds a new row; returns it in a line if people want to know of it."""
        payload = event.model_dump(mode="python")
        self.history.apply(sequence, time, event.type, payload)
        if isinstance(event, SearchStarted):
            self._take_up(event.search)
        job = self.history.jobs.get(payload.get("job", ""))
        if job is not None and job.trained and event.type in {"job_succeeded", "requested"}:
            self._compare(job.outcome)
        if event.type == "job_started" and self._baseline is None:
            self._baseline = (self.clock(), self.done)
        if line := wording.notable(event.type, payload, job):
            self.lines.append((time, line, event.type in wording.TROUBLE))
        return line

    def progress(self, worker: str, job: str, message: Progress) -> None:
        """Keeps a worker's last heartbeat."""
        self._beats[worker] = message

    def strategy(self, search: str, done: int, total: int, label: str) -> None:
        """Keeps how far the strategy is."""
        self.done, self.total, self.label = done, total, label

    def waiting(self, reason: str | None) -> None:
        """Keeps why nothing starts."""
        self.reason = reason

    def told(self, line: str) -> None:
        """Keeps a line that deserves attention."""
        self.lines.append((clocks.time(), line, True))

    def costs(self) -> Costs | None:
        """What the search cost, added up at most once a second; None before it has started."""
        now = self.clock()
        if self.search and now >= self._costs_due:
            self._costs, self._costs_due = costs(self.history, self.search), now + COSTS_SECONDS
        return self._costs

    def workers(self) -> list[Doing]:
        """What each busy worker is at, in the order of the workers' names.

        A quick worker has a second job waiting; the one shown is the one that it was given first.
        """
        found: dict[str, Doing] = {}
        for job, attempt in self.history.open_attempts():
            beat = self._beats.get(attempt.worker)
            ours = beat is not None and (beat.job, beat.attempt) == (job.id, attempt.number)
            found.setdefault(
                attempt.worker, Doing(attempt.worker, attempt.device, job, attempt, beat if ours else None)
            )
        return [found[worker] for worker in sorted(found)]

    def getting_ready(self) -> dict[str, str]:
        """What each worker without a job says of itself, e.g. `importing the trainer cell`."""
        busy = {attempt.worker for _, attempt in self.history.open_attempts()}
        return {
            worker: beat.note for worker, beat in sorted(self._beats.items()) if not beat.job and worker not in busy
        }

    def remaining(self) -> float | None:
        """Seconds still to go at the pace so far; None while there is no pace to go by.

        The pace counts from the first job that this process started: what was answered from the store before that
        took no time and says nothing about what is to come.
        """
        if self._baseline is None or self.total <= 0:
            return None
        start, before = self._baseline
        gained = self.done - before
        return (self.clock() - start) * (self.total - self.done) / gained if gained > 0 else None

    def _take_up(self, search: str) -> None:
        """Takes in what the search has trained already; a proxy study's candidates are not to be compared."""
        self.search = search
        self.compares = self.history.searches[search].spec.get("reference") is None
        for asked in self.history.searches[search].requests:
            job = self.history.jobs[asked.job]
            if job.trained:
                self._compare(job.outcome)

    def _compare(self, outcome: Mapping[str, Any] | None) -> None:
        accuracy = outcome.get("accuracy") if outcome else None
        if self.compares and accuracy is not None and (self.best is None or accuracy > self.best["accuracy"]):
            self.best = outcome
