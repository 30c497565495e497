"""One life of a search outside any event loop: what drives its coroutine by hand, and what survives when it is killed.

`strategies.simulation` ends jobs in an order that a seed decides, `strategies.virtual` when a virtual clock says so.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from store.records.candidates import Data
from store.records.events import StateSaved
from store.records.knowledge import Contribution, Inheritance, PoolQuery
from store.records.outcomes import AnyOutcome
from store.records.requests import AnyRequest, describe
from store.records.results import Result
from store.records.spec import SearchSpec
from strategies.computations import Computations
from strategies.errors import ReplayDiverged
from strategies.knowledge import SimulatedPool
from strategies.run import Handle, Run, Strategy
from strategies.spaces import registry as spaces

Value = TypeVar("Value")


class Killed(BaseException):
    """The daemon died here, as far as the strategy is concerned."""


class Stopped(BaseException):
    """The daemon asked the strategy to end, at an `await`."""


class Moment(NamedTuple):
    """The `nth` time, from 0, that something happens.

    `request` and `requested` are before and after a request is recorded, `saving` and `saved` before and after a state
    is, `delivering` and `delivered` before and after a completion is, `inheriting` and `inherited` before and after an
    answer of the knowledge pool is, `contributing` and `contributed` before and after a network's blocks are; `await`
    is a point where the strategy waits. In virtual time `ending` and `ended` are before and after a job's end.
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
        computations: the states that computations left behind.
        pool: the search's blocks in the knowledge pool, and what it was told.
    """

    outcomes: dict[str, AnyOutcome] = field(default_factory=dict)
    requests: dict[int, AnyRequest] = field(default_factory=dict)
    delivered: dict[tuple[int, int], str] = field(default_factory=dict)
    saved: StateSaved | None = None
    trained: int = 0
    computations: Computations = field(default_factory=Computations)
    pool: SimulatedPool = field(default_factory=SimulatedPool)

    def forget_search(self) -> None:
        """Leaves the memo alone, as for another search in the same store."""
        self.requests, self.delivered, self.saved = {}, {}, None
        self.pool = SimulatedPool()


class Pause:
    """An `await` that waits for nothing in particular."""

    def __await__(self) -> Generator[Any, None, None]:
        yield self


class Life:
    """One life of a search: the `Port` of its `Run`, and what drives its coroutine.

    Args:
        spec: the search.
        world: what earlier lives left behind.
        until: where this life ends.
    """

    def __init__(self, spec: SearchSpec, world: World, until: Moment | None = None) -> None:
        self.spec, self.world = spec, world
        self.moments: dict[str, int] = {}
        self.progressed: list[tuple[int, int, str]] = []
        self._until, self._dead = until, False

    def start(self, strategy: Strategy) -> Coroutine[Any, Any, Result]:
        """Returns the search's coroutine, from the last saved state."""
        named = self.spec.data
        data = Data(name=named.name, fingerprint="simulated", validation_fraction=named.validation_fraction)
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
        """Takes the search's `index`-th request. Raises `ReplayDiverged` if another one was recorded there."""
        raise NotImplementedError

    async def completed(self, call: int, index: int, pending: Sequence[Handle]) -> Handle:
        """Waits for one of `pending`, in the order that was recorded for this call if there is one."""
        raise NotImplementedError

    async def save(self, requests: int, calls: int, state: bytes, rng: str, pending: tuple[int, ...]) -> None:
        """Keeps the state for the next life."""
        await Pause()
        self._moment("saving")
        self.world.saved = StateSaved(
            search=self.spec.name, requests=requests, calls=calls, state=state, rng=rng, pending=pending
        )
        self._moment("saved")
        await Pause()

    async def inherit(self, call: int, query: PoolQuery) -> Inheritance:
        """Returns the answer that was recorded for this call, else the pool's present one, which is recorded."""
        await Pause()
        self._moment("inheriting")
        pool = self.world.pool
        if call not in pool.matched:
            pool.matched[call] = pool.look_up(query)
        self._moment("inherited")
        return pool.matched[call]

    async def contribute(self, call: int, contribution: Contribution) -> None:
        """Puts a network's blocks into the pool, once for this call."""
        await Pause()
        self._moment("contributing")
        self.world.pool.pooled.setdefault(call, contribution)
        self._moment("contributed")

    def progress(self, done: int, total: int, label: str) -> None:
        """Keeps what was said."""
        self.progressed.append((done, total, label))

    def _answer(self, waiting: object) -> None:
        """Lets happen what a coroutine waits for; a `Pause` needs nothing. Raises `TypeError` for what is not ours."""
        raise NotImplementedError

    def _record(self, index: int, request: AnyRequest) -> None:
        """Records a request; raises `ReplayDiverged` as `submit` does."""
        self._moment("request")
        recorded = self.world.requests.get(index)
        if recorded is not None and recorded.key != request.key:
            raise ReplayDiverged(f"request {index}", _named(recorded), _named(request))
        self.world.requests[index] = request

    def _moment(self, what: str) -> None:
        count = self.moments.get(what, 0)
        self.moments[what] = count + 1
        if self._dead or self._until == (what, count):
            self._dead = True
            raise Killed


def foreign(waiting: object) -> TypeError:
    """Returns the error for a strategy that awaits what its `Run` did not give."""
    return TypeError(f"a strategy may await only what its Run gives, this one awaited {waiting!r:.100}")


def unexpected(call: int, index: int, key: str | None, pending: Sequence[Handle]) -> ReplayDiverged:
    """Returns the error for a completion that was recorded and is not among those that are waited for."""
    asked = ", ".join(handle.key[:12] for handle in pending)
    return ReplayDiverged(f"completion {index} of call {call}", str(key)[:12], f"one of {asked}")


def _named(request: AnyRequest) -> str:
    return f"{describe(request)} ({request.key[:12]})"
