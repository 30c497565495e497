"""The world of a strategy, simulated in memory: a store that survives kills, and jobs that end when it says so.

There is no event loop, no clock and no process here: the strategy's coroutine is driven by hand, and where it waits the
simulation ends jobs, in an order that depends on a seed and on what the jobs are. `strategies.testing` is built on it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from store.records.base import digest
from store.records.candidates import Candidate
from store.records.outcomes import AnyOutcome, EpochMetrics, Evaluated, Failure, Measured, Trained
from store.records.requests import AnyRequest, Compute, Evaluate, Measure, Train
from store.records.spec import SearchSpec
from strategies.life import Killed, Life, Moment, Pause, Stopped, World, foreign, unexpected
from strategies.run import Handle

__all__ = ("Killed", "Moment", "Score", "Simulation", "Stopped", "World", "by_digest")

Score = Callable[[Candidate, int], float]
"""Accuracy in [0, 1] of a candidate after so many epochs; a non-finite one is an accuracy that diverged."""


class _Pending:
    """A request under way; awaiting it hands it to whoever drives the coroutine, until it has an outcome."""

    def __init__(self, index: int, request: AnyRequest, world: World) -> None:
        self.index, self.request, self._world = index, request, world

    @property
    def key(self) -> str:
        return self.request.key

    def __await__(self) -> Generator[Any, None, AnyOutcome]:
        while self.key not in self._world.outcomes:
            yield self
        return self._world.outcomes[self.key]


class Simulation(Life):
    """One life of a search, in which jobs end in an order that a seed decides.

    Args:
        spec: the search.
        world: what earlier lives left behind.
        score: accuracy by candidate and epochs.
        fails: whether a candidate's training to so many epochs fails.
        order: seed of the order in which jobs end.
        until: where this life ends.
    """

    def __init__(
        self,
        spec: SearchSpec,
        world: World | None = None,
        *,
        score: Score | None = None,
        fails: Callable[[Candidate, int], bool] | None = None,
        order: int = 0,
        until: Moment | None = None,
    ) -> None:
        super().__init__(spec, world or World(), until)
        self._score, self._fails = score or by_digest, fails or (lambda candidate, epochs: False)
        self._order = order
        self._running: dict[str, _Pending] = {}

    def submit(self, index: int, request: AnyRequest) -> Handle:
        """Records a request and starts its job. Raises `ReplayDiverged` if another one was recorded there."""
        self._record(index, request)
        self._moment("requested")
        pending = _Pending(index, request, self.world)
        if request.key not in self.world.outcomes:
            self._running.setdefault(request.key, pending)
        return pending

    async def completed(self, call: int, index: int, pending: Sequence[Handle]) -> Handle:
        """Returns the completion that was recorded, else the next to end; the same one however often it is killed."""
        self._moment("delivering")
        key = self.world.delivered.get((call, index))
        chosen = [handle for handle in pending if handle.key == key] if key else sorted(pending, key=self._priority)
        if not chosen:
            raise unexpected(call, index, key, pending)
        await chosen[0]
        self.world.delivered[call, index] = chosen[0].key
        self._moment("delivered")
        return chosen[0]

    def _answer(self, waiting: object) -> None:
        """Ends jobs, in their order, until the one that is waited for has ended."""
        if isinstance(waiting, Pause):
            return
        if not isinstance(waiting, _Pending):
            raise foreign(waiting)
        for key in sorted(self._running, key=lambda key: self._priority(self._running[key])):
            self._end(self._running.pop(key).request)
            if key == waiting.key:
                return

    def _end(self, request: AnyRequest) -> None:
        self.world.trained += 1
        self.world.outcomes[request.key] = self._outcome(request)

    def _priority(self, handle: Handle) -> str:
        return digest([self._order, handle.key])

    def _outcome(self, request: AnyRequest) -> AnyOutcome:
        match request:
            case Train(candidate=candidate, epochs=epochs):
                return self._train(candidate, epochs)
            case Evaluate(candidate=candidate):
                return Evaluated(accuracy=self._score(candidate, 1), loss=1.0, images=100)
            case Measure(candidate=candidate, device=device):
                return _measured(candidate, device)
            case Compute():
                return self.world.computations.answer(request)

    def _train(self, candidate: Candidate, epochs: int) -> AnyOutcome:
        if self._fails(candidate, epochs):
            return Failure(reason="diverged", retryable=False, message="simulated")
        scores = [self._score(candidate, epoch) for epoch in range(1, epochs + 1)]
        size = 1000 + int(candidate.id[:4], 16)
        return Trained(
            candidate=candidate.id,
            epochs=epochs,
            accuracy=scores[-1],
            history=tuple(_metrics(epoch, score) for epoch, score in enumerate(scores, 1)),
            checkpoint=digest([candidate.id, epochs]),
            parameters=size,
            multiply_adds=10 * size,
        )


def _measured(candidate: Candidate, device: str | None) -> Measured:
    size = 1000 + int(candidate.id[:4], 16)
    latency = size / 1000 if device else None
    return Measured(parameters=size, multiply_adds=10 * size, latency_ms=latency, image_shape=(3, 32, 32))


def _metrics(epoch: int, accuracy: float) -> EpochMetrics:
    return EpochMetrics(
        epoch=epoch,
        train_loss=1 - accuracy,
        train_accuracy=accuracy,
        validation_loss=1 - accuracy,
        validation_accuracy=accuracy,
    )


def by_digest(candidate: Candidate, epochs: int) -> float:
    """Returns an accuracy that no one can predict, and that grows with the epochs towards a candidate's own limit."""
    limit = int(candidate.id[:8], 16) / 16**8
    return round(limit * epochs / (epochs + 1), 6)
