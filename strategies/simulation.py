"""The world of a strategy, simulated in memory: a store that survives kills, and jobs that end when it says so.

There is no event loop, no clock and no process here: the strategy's coroutine is driven by hand, and where it waits the
simulation ends jobs, in an order that depends on a seed and on what the jobs are. `strategies.testing` is built on it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from store.records import arrays
from store.records.base import digest
from store.records.candidates import Candidate, Data
from store.records.events import StateSaved
from store.records.outcomes import AnyOutcome, Computed, EpochMetrics, Evaluated, Failure, Measured, Trained
from store.records.requests import AnyRequest, Evaluate, Measure, Train, describe
from store.records.results import Result
from store.records.spec import SearchSpec
from strategies.errors import ReplayDiverged
from strategies.run import Handle, Run, Strategy
from strategies.spaces import registry as spaces

Score = Callable[[Candidate, int], float]
"""Accuracy in [0, 1] of a candidate after so many epochs; a non-finite one is an accuracy that diverged."""
Value = TypeVar("Value")


class Killed(BaseException):
    """The daemon died here, as far as the strategy is concerned."""


class Stopped(BaseException):
    """The daemon asked the strategy to end, at an `await`."""


class Moment(NamedTuple):
    """The `nth` time, from 0, that something happens.

    `request` and `requested` are before and after a request is recorded, `saving` and `saved` before and after a state
    is, `delivering` and `delivered` before and after a completion is; `await` is a point where the strategy waits.
    """

    what: str
    nth: int


@dataclass
class World:
    """What survives a kill: outcomes by key, and what is recorded of one search.

    Attributes:
        outcomes: the memo.
        requests: the search's requests by index.
        delivered: completions by call and index, as request keys.
        saved: the last saved state.
        trained: how many jobs were run, so that the memo can be seen to spare them.
    """

    outcomes: dict[str, AnyOutcome] = field(default_factory=dict)
    requests: dict[int, AnyRequest] = field(default_factory=dict)
    delivered: dict[tuple[int, int], str] = field(default_factory=dict)
    saved: StateSaved | None = None
    trained: int = 0

    def forget_search(self) -> None:
        """Leaves the memo alone, as for another search in the same store."""
        self.requests, self.delivered, self.saved = {}, {}, None


class _Pending:
    """A request under way; awaiting it hands it to whoever drives the coroutine, until it has an outcome."""

    def __init__(self, request: AnyRequest, world: World) -> None:
        self.request, self._world = request, world

    @property
    def key(self) -> str:
        return self.request.key

    def __await__(self) -> Generator[Any, None, AnyOutcome]:
        while self.key not in self._world.outcomes:
            yield self
        return self._world.outcomes[self.key]


class _Pause:
    """An `await` that waits for nothing in particular."""

    def __await__(self) -> Generator[Any, None, None]:
        yield self


class Simulation:
    """One life of a search: the `Port` of its `Run`, and what drives its coroutine.

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
        self.spec, self.world = spec, world or World()
        self.moments: dict[str, int] = {}
        self.progressed: list[tuple[int, int, str]] = []
        self._score, self._fails = score or by_digest, fails or (lambda candidate, epochs: False)
        self._order, self._until, self._dead = order, until, False
        self._running: dict[str, _Pending] = {}

    def start(self, strategy: Strategy) -> Coroutine[Any, Any, Result]:
        """Returns the search's coroutine, from the last saved state."""
        data = Data(name=self.spec.data.name, fingerprint="simulated")
        return strategy.search(Run(self, self.spec, spaces.create(self.spec.space), data, self.world.saved))

    def search(self, strategy: Strategy) -> Result:
        """Runs a search to its end.

        Raises:
            Killed: where `until` says so.
            ReplayDiverged: if the strategy asks for something else than an earlier life did.
        """
        return self.drive(self.start(strategy))

    def drive(self, coroutine: Coroutine[Any, Any, Value]) -> Value:
        """Runs a coroutine that awaits nothing but what a `Run` gives."""
        try:
            while True:
                waiting = coroutine.send(None)
                self._moment("await")
                self._answer(waiting)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        finally:
            self._dead = True
            coroutine.close()

    def stop(self, coroutine: Coroutine[Any, Any, Any], at: int) -> bool:
        """Runs a coroutine to its `at`-th wait and raises `Stopped` there; returns whether that ended it as it should.

        A coroutine that waits again, returns or asks for more instead has swallowed the order to stop.
        """
        try:
            for _ in range(at):
                self._answer(coroutine.send(None))
            coroutine.send(None)
            self._dead = True
            coroutine.throw(Stopped())
        except Stopped:
            return True
        except (StopIteration, Killed):
            return False
        finally:
            self._dead = True
            coroutine.close()
        return False

    def submit(self, index: int, request: AnyRequest) -> Handle:
        """Records a request and starts its job. Raises `ReplayDiverged` if another one was recorded there."""
        self._moment("request")
        recorded = self.world.requests.get(index)
        if recorded is not None and recorded.key != request.key:
            raise ReplayDiverged(f"request {index}", _named(recorded), _named(request))
        self.world.requests[index] = request
        self._moment("requested")
        pending = _Pending(request, self.world)
        if request.key not in self.world.outcomes:
            self._running.setdefault(request.key, pending)
        return pending

    async def completed(self, call: int, index: int, pending: Sequence[Handle]) -> Handle:
        """Returns the completion that was recorded, else the next to end; the same one however often it is killed."""
        self._moment("delivering")
        key = self.world.delivered.get((call, index))
        chosen = [handle for handle in pending if handle.key == key] if key else sorted(pending, key=self._priority)
        if not chosen:
            asked = ", ".join(handle.key[:12] for handle in pending)
            raise ReplayDiverged(f"completion {index} of call {call}", str(key)[:12], f"one of {asked}")
        await chosen[0]
        self.world.delivered[call, index] = chosen[0].key
        self._moment("delivered")
        return chosen[0]

    async def save(self, requests: int, calls: int, state: bytes, rng: str) -> None:
        """Keeps the state for the next life."""
        await _Pause()
        self._moment("saving")
        self.world.saved = StateSaved(search=self.spec.name, requests=requests, calls=calls, state=state, rng=rng)
        self._moment("saved")
        await _Pause()

    def progress(self, done: int, total: int, label: str) -> None:
        """Keeps what was said."""
        self.progressed.append((done, total, label))

    def _moment(self, what: str) -> None:
        count = self.moments.get(what, 0)
        self.moments[what] = count + 1
        if self._dead or self._until == (what, count):
            self._dead = True
            raise Killed

    def _answer(self, waiting: object) -> None:
        """Ends jobs, in their order, until the one that is waited for has ended."""
        if isinstance(waiting, _Pause):
            return
        if not isinstance(waiting, _Pending):
            raise TypeError(f"a strategy may await only what its Run gives, this one awaited {waiting!r:.100}")
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
                size = 1000 + int(candidate.id[:4], 16)
                return Measured(parameters=size, multiply_adds=10 * size, latency_ms=size / 1000 if device else None)
        module, _, name = request.function.partition(":")
        function = getattr(importlib.import_module(module), name)
        return Computed(value=arrays.pack(function(*arrays.unpack(request.arguments))))

    def _train(self, candidate: Candidate, epochs: int) -> AnyOutcome:
        if self._fails(candidate, epochs):
            return Failure(reason="diverged", retryable=False, message="simulated")
        accuracy, size = self._score(candidate, epochs), 1000 + int(candidate.id[:4], 16)
        metrics = EpochMetrics(
            epoch=epochs,
            train_loss=1 - accuracy,
            train_accuracy=accuracy,
            validation_loss=1 - accuracy,
            validation_accuracy=accuracy,
        )
        return Trained(
            candidate=candidate.id,
            epochs=epochs,
            accuracy=accuracy,
            history=(metrics,),
            checkpoint=digest([candidate.id, epochs]),
            parameters=size,
            multiply_adds=10 * size,
        )


def by_digest(candidate: Candidate, epochs: int) -> float:
    """Returns an accuracy that no one can predict, and that grows with the epochs towards a candidate's own limit."""
    limit = int(candidate.id[:8], 16) / 16**8
    return round(limit * epochs / (epochs + 1), 6)


def _named(request: AnyRequest) -> str:
    return f"{describe(request)} ({request.key[:12]})"
