"""Makes journals by hand: a story of events with their times, for the views, the report and the commands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from orchestrator.views import History
from store.records.base import digest
from store.records.candidates import Candidate, Data, DataSpec, Named, Proxy, Recipe
from store.records.events import (
    AnyEvent,
    AttemptFailed,
    CheckpointSaved,
    JobFailed,
    JobStarted,
    JobStopped,
    JobSucceeded,
    Requested,
    SearchFinished,
    SearchInterrupted,
    SearchOpened,
    SearchStarted,
)
from store.records.outcomes import EpochMetrics, Evaluated, Failure, Trained
from store.records.requests import AnyRequest, Evaluate, Train
from store.records.results import Individual, Result
from store.records.spec import SearchSpec
from store.records.studies import Study
from strategies.spaces.registry import create

SPACE = Named(name="cell")


def spec(name: str = "told") -> SearchSpec:
    strategy = Named(name="random", options={"epochs": 2})
    return SearchSpec(name=name, strategy=strategy, space=SPACE, data=DataSpec(name="digits"))


def candidate(seed: int, held_out: float = 0.1) -> Candidate:
    space = create(SPACE)
    return Candidate(
        trainer=Named(name="scripted"),
        space=space.spec,
        architecture=space.random(np.random.default_rng(seed)),
        proxy=Proxy(),
        recipe=Recipe(),
        data=Data(name="digits", fingerprint="d", validation_fraction=held_out),
        seed=0,
    )


def accuracy(seed: int, epoch: int) -> float:
    """A made-up learning curve; candidates with higher seeds are better."""
    return round((0.5 + 0.04 * seed) * (1 - 0.6**epoch), 4)


class Teller:
    """Tells a journal, second by second; `events` are the rows, `history` is their fold.

    Args:
        held_out: share of the images that candidates are validated on; 0 for a retraining, which has no such accuracy.
    """

    def __init__(self, held_out: float = 0.1) -> None:
        self.held_out = held_out
        self.now = 1_700_000_000.0
        self.events: list[tuple[float, AnyEvent]] = []
        self.search = "5" * 64
        self._asked: dict[str, int] = {}
        self._attempts: dict[str, int] = {}

    @property
    def history(self) -> History:
        folded = History()
        for sequence, (time, event) in enumerate(self.events, start=1):
            folded.event(sequence, time, event)
        return folded

    def tell(self, *events: AnyEvent, seconds: float = 0.0) -> None:
        self.now += seconds
        self.events += [(self.now, event) for event in events]

    def open(self, name: str = "told", search: str | None = None, pid: int = 100) -> None:
        self.search = search or self.search
        self.tell(SearchOpened(search=self.search, spec=spec(name)), SearchStarted(search=self.search, pid=pid))

    def restart(self, pid: int, *, after: float) -> None:
        self.tell(SearchStarted(search=self.search, pid=pid), seconds=after)

    def ask(self, seed: int, epochs: int, answer: Any = "queued") -> str:
        request = Train(candidate=self.candidate(seed), epochs=epochs)
        return self.request(request, answer)

    def candidate(self, seed: int) -> Candidate:
        return candidate(seed, self.held_out)

    def request(self, request: AnyRequest, answer: Any = "queued") -> str:
        number = self._asked.get(self.search, 0)
        self._asked[self.search] = number + 1
        event = Requested(search=self.search, index=number, job=request.key, request=request, answer=answer)
        self.tell(event)
        return request.key

    def start(self, job: str, worker: str = "worker-1", epoch: int = 0, seed: int | None = None, step: int = 0) -> int:
        """Starts the next attempt; from the candidate's checkpoint of that epoch if a seed is given."""
        attempt = self._attempts[job] = self._attempts.get(job, 0) + 1
        checkpoint = None if seed is None else self.checkpoint(seed, epoch, step)
        fields = {"worker": worker, "device": "cpu", "checkpoint": checkpoint, "epoch": epoch, "step": step}
        self.tell(JobStarted.model_validate({"job": job, "attempt": attempt, **fields}))
        return attempt

    def checkpoint(self, seed: int, epoch: int, step: int = 0) -> str:
        return digest(["checkpoint", seed, epoch, step])

    def save(self, job: str, seed: int, epoch: int, *, step: int = 0, seconds: float = 1.0) -> None:
        saved = CheckpointSaved(
            job=job,
            attempt=self._attempts[job],
            candidate=self.candidate(seed).id,
            checkpoint=self.checkpoint(seed, epoch, step),
            epoch=epoch,
            step=step,
            metrics=None if step else self.metrics(seed, epoch),
        )
        self.tell(saved, seconds=seconds)

    def succeed(self, job: str, seed: int, epochs: int) -> None:
        outcome = self.outcome(seed, epochs)
        self.tell(JobSucceeded(job=job, attempt=self._attempts[job], outcome=outcome, seconds=float(epochs)))

    def test(self, seed: int, epochs: int) -> str:
        """A whole job that scores a retrained network on the test images."""
        asked = Evaluate(candidate=self.candidate(seed), checkpoint=self.checkpoint(seed, epochs), split="test")
        job = self.request(asked)
        attempt = self.start(job)
        outcome = Evaluated(accuracy=accuracy(seed, epochs) - 0.01, loss=1.0, images=360)
        self.tell(JobSucceeded(job=job, attempt=attempt, outcome=outcome, seconds=1.0), seconds=1.0)
        return job

    def train(self, seed: int, epochs: int, *, start: int = 0, worker: str = "worker-1") -> str:
        """A whole job: asked for, started from `start` epochs, saved after each epoch, succeeded."""
        job = self.ask(seed, epochs)
        self.start(job, worker, start, seed if start else None)
        for epoch in range(start + 1, epochs + 1):
            self.save(job, seed, epoch)
        self.succeed(job, seed, epochs)
        return job

    def fail(
        self, job: str, reason: Any = "crashed", message: str = "killed by signal 9", counted: bool = True
    ) -> None:
        attempt = self._attempts[job]
        self.tell(AttemptFailed(job=job, attempt=attempt, reason=reason, message=message, counted=counted), seconds=0.5)

    def give_up(self, job: str, reason: Any = "crashed", message: str = "no tries are left") -> None:
        self.tell(JobFailed(job=job, outcome=Failure(reason=reason, retryable=False, message=message)))

    def stop(self, job: str) -> None:
        self.tell(JobStopped(job=job, attempt=self._attempts[job], reason="SIGTERM"))

    def interrupt(self) -> None:
        self.tell(SearchInterrupted(search=self.search, reason="SIGTERM"), seconds=0.1)

    def finish(
        self, individuals: Iterable[Individual], curves: dict[str, Any] | None = None, study: Study | None = None
    ) -> None:
        history = tuple(individuals)
        scores = {one.index: one.accuracy or one.test_accuracy or 0.0 for one in history}
        best = tuple(sorted((one for one in history if scores[one.index]), key=lambda one: -scores[one.index]))[:3]
        result = Result(best=best, history=history, curves=curves or {}, study=study)
        self.tell(SearchFinished(search=self.search, result=result.model_dump()), seconds=0.1)

    def metrics(self, seed: int, epoch: int) -> EpochMetrics:
        value = accuracy(seed, epoch)
        if not self.held_out:
            return EpochMetrics(epoch=epoch, train_loss=1.0, train_accuracy=value)
        losses = {"train_loss": 1.0, "train_accuracy": value, "validation_loss": 1.0}
        return EpochMetrics(epoch=epoch, validation_accuracy=value, **losses)

    def outcome(self, seed: int, epochs: int) -> Trained:
        return Trained(
            candidate=self.candidate(seed).id,
            epochs=epochs,
            accuracy=accuracy(seed, epochs) if self.held_out else None,
            history=tuple(self.metrics(seed, epoch) for epoch in range(1, epochs + 1)),
            checkpoint=self.checkpoint(seed, epochs),
            parameters=182_866 + seed,
            multiply_adds=1_914_048 + seed,
        )

    def individual(self, index: int, seed: int, epochs: int, **more: Any) -> Individual:
        trained = self.outcome(seed, epochs)
        copied = {name: getattr(trained, name) for name in ("accuracy", "checkpoint", "parameters", "multiply_adds")}
        known = {"index": index, "architecture": candidate(seed).architecture, "candidate": trained.candidate}
        return Individual.model_validate({**known, "epochs": epochs, **copied, **more})


def small_search() -> Teller:
    """A search with two rungs, a worker that crashed, a candidate given up, a kill, and a second run."""
    teller = Teller()
    teller.open("digits <&> cells")
    teller.train(1, 2)
    teller.train(2, 2, worker="worker-2")
    crashed = teller.ask(3, 2)
    teller.start(crashed)
    teller.save(crashed, 3, 1)
    teller.fail(crashed, message="worker-1 ended: killed by signal 9 <SIGKILL>")
    teller.start(crashed, "worker-2", 1, 3)
    teller.save(crashed, 3, 2)
    teller.succeed(crashed, 3, 2)
    diverged = teller.ask(4, 2)
    teller.start(diverged)
    teller.fail(diverged, "diverged", "loss is not finite at epoch 1, step 3")
    teller.give_up(diverged, "diverged", "loss is not finite at epoch 1, step 3")
    promoted = teller.ask(3, 4)
    teller.start(promoted, "worker-1", 2, 3)
    teller.save(promoted, 3, 3)
    teller.restart(pid=101, after=3600.0)
    teller.start(promoted, "worker-2", 3, 3)
    teller.save(promoted, 3, 4)
    teller.succeed(promoted, 3, 4)
    people = [teller.individual(0, 1, 2), teller.individual(1, 2, 2), teller.individual(2, 3, 4, origin="node 3: skip")]
    failed = {"accuracy": None, "checkpoint": None, "failure": "diverged"}
    people.append(teller.individual(3, 4, 0, **failed))
    teller.finish(people, {"mean_accuracy_E": [0.3, 0.35], "mean_accuracy_2E": [None, 0.5], "epochs": [8, 2]})
    return teller
