"""Counts what the journal says. One fold for rows of earlier processes, which tell where things stand, and for new
ones, which are counted. It holds jobs that are under way, and numbers; no label comes from a candidate or a job."""

from __future__ import annotations

import time as clocks
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.metrics.families import EPOCHS, Families
from orchestrator.views import History
from store.records.messages import Progress

Payload = Mapping[str, Any]
MATCHES = 4096
"""Answers of the knowledge pool that are kept until their network is trained."""


@dataclass(slots=True)
class _Job:
    """A job that has not ended; times are monotonic, and None for what an earlier process did."""

    kind: str = "compute"  # what is made again was asked for in no row of its own, and is always a computation
    searches: list[str] = field(default_factory=list)
    initial: tuple[str, ...] = ()
    steps: int = 0
    covered: int = 0
    waiting: float | None = None
    started: float | None = None
    failed: str | None = None


class Fold:
    """Jobs under way, and what they add up to.

    Args:
        families: the counters.
        history: gives the outcomes that memo answers repeat.
        clock: monotonic, in seconds.

    Attributes:
        best: the best accuracy of each search.
        rates: images per second of each running job.
        epochs: trained and spared, over the whole journal.
    """

    def __init__(
        self,
        families: Families,
        history: Callable[[], History],
        clock: Callable[[], float] = clocks.monotonic,
    ) -> None:
        self.best: dict[str, float] = {}
        self.rates: dict[str, float] = {}
        self.epochs = dict.fromkeys(EPOCHS, 0.0)
        self._families, self._history, self._clock = families, history, clock
        self._jobs: dict[str, _Job] = {}
        self._covered: dict[str, dict[str, int]] = {}
        self._matches: OrderedDict[tuple[str, ...], tuple[float, int]] = OrderedDict()
        self._live = False
        self._handlers: dict[str, Callable[[Payload], None]] = {
            "requested": self._requested,
            "job_started": self._job_started,
            "checkpoint_saved": self._checkpoint_saved,
            "job_succeeded": self._job_succeeded,
            "attempt_failed": self._attempt_failed,
            "job_failed": self._job_failed,
            "job_stopped": self._job_stopped,
            "weights_matched": self._weights_matched,
            "search_finished": self._search_finished,
        }

    def apply(self, kind: str, payload: Payload, *, live: bool) -> None:
        """Takes a row.

        Args:
            kind: the event's type.
            payload: its fields; records in them may be plain maps.
            live: whether this process has just committed it; only then is it counted.
        """
        if handler := self._handlers.get(kind):
            self._live = live
            handler(payload)

    def progress(self, message: Progress) -> None:
        """Keeps a job's rate of images for as long as it runs."""
        job = self._jobs.get(message.job)
        if message.images_per_second is not None and job is not None and job.started is not None:
            self.rates[message.job] = message.images_per_second

    # Requests

    def _requested(self, event: Payload) -> None:
        request, answer, name = event["request"], event["answer"], event["job"]
        kind = _of(request, "kind") or "train"
        if self._live:
            self._families.requests.labels(kind, answer).inc()
        if answer == "memo":
            self._answered(event["search"], name)
            return
        job = self._job(name)
        job.kind = kind
        if event["search"] not in job.searches:
            job.searches.append(event["search"])
        if kind == "train":
            candidate = _of(request, "candidate")
            job.initial, job.steps = tuple(_of(candidate, "initial") or ()), _batch(_of(candidate, "recipe"))
        if answer == "queued":
            job.waiting = self._now()

    def _answered(self, search: str, name: str) -> None:
        """A memo answer: what it repeats is in the history."""
        view = self._history().jobs.get(name)
        if view is not None and view.outcome is not None and view.outcome.get("kind") == "trained":
            self._spent("memo", self._take(search, view.outcome))

    def _take(self, search: str, outcome: Any) -> int:
        """Notes a training's outcome for a search; returns how many epochs of its candidate it did not have before."""
        accuracy, candidate, epochs = (_of(outcome, name) for name in ("accuracy", "candidate", "epochs"))
        if accuracy is not None:
            self.best[search] = max(accuracy, self.best.get(search, 0.0))
        covered = self._covered.setdefault(search, {})
        new = max(0, int(epochs) - covered.get(candidate, 0))
        covered[candidate] = max(epochs, covered.get(candidate, 0))
        return new

    def _search_finished(self, event: Payload) -> None:
        self._covered.pop(event["search"], None)

    # Jobs

    def _job(self, name: str) -> _Job:
        job = self._jobs.get(name)
        if job is None:
            job = self._jobs[name] = _Job()
        return job

    def _job_started(self, event: Payload) -> None:
        job = self._job(event["job"])
        job.started = self._now()
        epoch = event.get("epoch", 0)
        self._spent("resumed", max(0, epoch - job.covered))
        job.covered = epoch
        if self._live:
            self._families.attempts.labels(job.kind).inc()
            if job.failed is not None:
                self._families.retries.labels(job.failed).inc()
            if job.waiting is not None and job.started is not None:
                self._families.queue.labels(job.kind).observe(job.started - job.waiting)
        job.waiting = job.failed = None

    def _checkpoint_saved(self, event: Payload) -> None:
        job = self._jobs.get(event["job"])
        if job is not None:
            self._spent("trained", max(0, event["epoch"] - job.covered))
            job.covered = max(job.covered, event["epoch"])
        if self._live:
            self._families.checkpoints.inc()

    def _job_succeeded(self, event: Payload) -> None:
        outcome = event["outcome"]
        job = self._jobs.pop(event["job"], None) or _Job()
        if _of(outcome, "kind") == "trained":
            for search in job.searches:
                self._take(search, outcome)
            self._spent("inherited", self._inherited(job, outcome))
        self._ended(event["job"], job, "succeeded", event["seconds"])

    def _attempt_failed(self, event: Payload) -> None:
        job = self._job(event["job"])
        self._attempt_ended(event["job"], job, "failed", None)
        job.failed, job.waiting = event["reason"], self._now()
        if self._live:
            self._families.attempts_failed.labels(event["reason"]).inc()

    def _job_failed(self, event: Payload) -> None:
        job = self._jobs.pop(event["job"], None) or _Job()
        self._ended(event["job"], job, "failed", None)
        if self._live:
            self._families.jobs_failed.labels(_of(event["outcome"], "reason")).inc()

    def _job_stopped(self, event: Payload) -> None:
        """The job stays: if it is asked for again, what it has trained was not spared by another."""
        job = self._job(event["job"])
        self._ended(event["job"], job, "stopped", None)
        job.waiting = job.failed = None

    def _ended(self, name: str, job: _Job, state: str, seconds: float | None) -> None:
        self._attempt_ended(name, job, state, seconds)
        if self._live:
            self._families.jobs_ended.labels(job.kind, state).inc()

    def _attempt_ended(self, name: str, job: _Job, end: str, seconds: float | None) -> None:
        self.rates.pop(name, None)
        if self._live and job.started is not None:
            seconds = self._clock() - job.started if seconds is None else seconds
            self._families.run.labels(job.kind, end).observe(seconds)
        job.started = None

    # Epochs

    def _weights_matched(self, event: Payload) -> None:
        inheritance = event["inheritance"]
        blocks = _of(inheritance, "blocks")
        sources = [(_of(block, "block"), _of(block, "source"), _of(block, "similarity")) for block in blocks]
        initial = tuple(f"{block}={source}" for block, source, _ in sources if source)
        if initial:
            self._matches[initial] = (len(initial) / len(sources), _of(inheritance, "iterations") or 0)
            self._matches.move_to_end(initial)
            if len(self._matches) > MATCHES:
                self._matches.popitem(last=False)
        if self._live:
            self._families.pool_networks.inc()
            self._families.pool_blocks.labels("asked").inc(len(sources))
            self._families.pool_blocks.labels("hit").inc(sum(similarity > 0 for *_, similarity in sources))
            self._families.pool_blocks.labels("match").inc(len(initial))

    def _inherited(self, job: _Job, outcome: Any) -> float:
        """Epochs that the blocks had been trained for that a network started from, times their share of its blocks."""
        share, iterations = self._matches.pop(job.initial, (0.0, 0))
        images = _of(outcome, "images")
        steps = -(-images // job.steps) if images and job.steps else 1
        return share * iterations / steps

    def _spent(self, how: str, epochs: float) -> None:
        if not epochs:
            return
        self.epochs[how] += epochs
        if self._live and epochs:
            self._families.epochs.labels(how).inc(epochs)

    def _now(self) -> float | None:
        return self._clock() if self._live else None


def _batch(recipe: Any) -> int:
    """Images of one optimiser step."""
    return int(_of(recipe, "batch_size")) * int(_of(recipe, "accumulate") or 1)


def _of(value: Any, name: str) -> Any:
    if type(value) is dict:  # most are: a start folds all of the journal's rows
        return value.get(name)
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)
