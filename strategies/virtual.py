"""Searches in virtual time: devices, a queue and a clock that jumps from one job's end to the next.

There is no event loop and nothing waits: a search of a thousand trainings takes a fraction of a second, and gives what
the engine would give on machines on which every job takes exactly as long as `seconds` says. What a kill interrupts
goes on as if it had not been there: jobs under way end when they would have ended, and completions that were delivered
are delivered again in their order. So the result after a kill is the uninterrupted one, for asynchronous strategies
too. The knowledge pool answers at once. A computation with state takes a device for as long as `seconds` says, like any
other job, but it is the world that keeps its arrays, and so the world that carries it out.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from store.records.candidates import Data
from store.records.outcomes import AnyOutcome, Trained
from store.records.requests import AnyRequest, Compute, Train
from store.records.results import Result
from store.records.spec import SearchSpec
from strategies.life import Life, Moment, Pause, World, foreign, unexpected
from strategies.run import Handle, Run, Strategy
from strategies.spaces import registry as spaces
from strategies.spaces.base import Space
from strategies.timeline import Job, Timeline

Answer = Callable[[AnyRequest], AnyOutcome]
"""What a request comes to; a pure function. It is not asked about computations with state."""
Seconds = Callable[[AnyRequest, int], float]
"""How long a request's job takes if it goes on from so many epochs, 0 for a start; a pure function."""
Order = Literal["daemon", "fifo", "longest_first"]
"""Which waiting job is next.

`daemon`: as in `orchestrator.queue`, those that go on from a checkpoint first, and of these and of the others those
with the most epochs; `fifo`: what was asked for first; `longest_first`: what takes longest.
"""


class _Running(NamedTuple):
    """A job on a device; sorts by its end."""

    end: float
    ticket: int
    key: str
    device: int
    start: float
    epoch: int


@dataclass
class VirtualWorld(World):
    """What survives a kill in virtual time: beside the records, the clock, the devices and what is on them.

    Attributes:
        devices: how many there are.
        now: virtual seconds since the search began.
        answered: rank of each request's answer among all, by the request's index.
        waiting: indexes of the requests that wait for a job, by its key.
        queue: heap of waiting jobs: their priority, their ticket, their key.
        running: heap of jobs on devices.
        idle: heap of devices without a job.
        reached: epochs that a candidate is trained for, by its digest.
        jobs: those that have ended, in that order.
    """

    devices: int = 4
    now: float = 0.0
    answered: dict[int, int] = field(default_factory=dict)
    waiting: dict[str, list[int]] = field(default_factory=dict)
    queue: list[tuple[tuple[float, ...], int, str]] = field(default_factory=list)
    running: list[_Running] = field(default_factory=list)
    idle: list[int] = field(default_factory=list)
    reached: dict[str, int] = field(default_factory=dict)
    jobs: list[Job] = field(default_factory=list)
    tickets: int = 0

    def __post_init__(self) -> None:
        self.idle = list(range(self.devices))


class _Pending:
    """A request under way; awaiting it hands it to the clock, until it has an outcome."""

    __slots__ = ("_world", "index", "key")

    def __init__(self, index: int, key: str, world: VirtualWorld) -> None:
        self.index, self.key, self._world = index, key, world

    @property
    def done(self) -> bool:
        """Whether it has been answered."""
        return self.index in self._world.answered

    def __await__(self) -> Generator[Any, None, AnyOutcome]:
        while not self.done:
            yield self
        return self._world.outcomes[self.key]


class _FirstOf:
    """An `await` that ends when one of some requests has an outcome."""

    def __init__(self, pending: Iterable[_Pending], world: VirtualWorld) -> None:
        self._indexes, self._world = [one.index for one in pending], world

    @property
    def done(self) -> bool:
        """Whether one of them has been answered."""
        return any(map(self._world.answered.__contains__, self._indexes))

    def __await__(self) -> Generator[Any, None, None]:
        while not self.done:
            yield self


class VirtualTime(Life):
    """One life of a search in virtual time.

    Args:
        spec: the search.
        answer: what each request comes to.
        seconds: how long each job takes.
        world: what earlier lives left behind; devices and clock are there too.
        order: which waiting job is next.
        until: where this life ends.
        space: the spec's, if it is at hand: making it anew takes longer than a short search.
        data: the identity that candidates carry.
        durable: keep the states that the strategy saves. Without, a search cannot go on after a kill from where it
            saved, only from its beginning, and takes much less time.
    """

    world: VirtualWorld

    def __init__(
        self,
        spec: SearchSpec,
        answer: Answer,
        seconds: Seconds,
        *,
        world: VirtualWorld | None = None,
        order: Order = "daemon",
        until: Moment | None = None,
        space: Space | None = None,
        data: Data | None = None,
        durable: bool = True,
    ) -> None:
        super().__init__(spec, world if world is not None else VirtualWorld(), until)
        self._answer_to, self._seconds, self._order = answer, seconds, order
        self._space, self._durable = space, durable
        self._data = data or Data(name=spec.data.name, fingerprint="simulated")

    def start(self, strategy: Strategy) -> Coroutine[Any, Any, Result]:
        """Returns the search's coroutine, from the last saved state."""
        made = Run if self._durable else _Forgetful
        space = self._space or spaces.create(self.spec.space)
        return strategy.search(made(self, self.spec, space, self._data, self.world.saved))

    @property
    def timeline(self) -> Timeline:
        """The search so far; jobs under way count up to now."""
        world = self.world
        cut = [Job(self._request(one.key), None, one.device, one.start, world.now, one.epoch) for one in world.running]
        return Timeline(world.devices, world.now, (*world.jobs, *cut))

    def submit(self, index: int, request: AnyRequest) -> Handle:
        """Records a request and puts its job on the queue; raises `ReplayDiverged` if another was recorded there."""
        known = index in self.world.requests
        self._record(index, request)
        if not known:
            self._enter(index, request)
        self._moment("requested")
        return _Pending(index, request.key, self.world)

    async def completed(self, call: int, index: int, pending: Sequence[Handle]) -> Handle:
        """Returns the completion that was recorded, else the first to be answered, now or later."""
        self._moment("delivering")
        handles = [handle for handle in pending if isinstance(handle, _Pending)]
        key = self.world.delivered.get((call, index))
        if key is not None:
            handles = [handle for handle in handles if handle.key == key]
        if not handles:
            raise unexpected(call, index, key, pending)
        await _FirstOf(handles, self.world)
        answered = self.world.answered
        first = min((one for one in handles if one.done), key=lambda handle: answered[handle.index])
        self.world.delivered[call, index] = first.key
        self._moment("delivered")
        return first

    def progress(self, done: int, total: int, label: str) -> None:
        """Takes no note: nobody watches."""

    def _answer(self, waiting: object) -> None:
        """Lets time pass until what is waited for has happened."""
        if isinstance(waiting, Pause):
            return
        if not isinstance(waiting, _Pending | _FirstOf):
            raise foreign(waiting)
        self._fill()
        while not waiting.done:
            self._end_next()

    def _enter(self, index: int, request: AnyRequest) -> None:
        """Answers a new request from the memo, or joins it to its job, or queues one."""
        world, key = self.world, request.key
        if key in world.outcomes:
            world.answered[index] = len(world.answered)
        elif key in world.waiting:
            world.waiting[key].append(index)
        else:
            world.waiting[key] = [index]
            world.tickets += 1
            heapq.heappush(world.queue, (self._priority(request), world.tickets, key))

    def _priority(self, request: AnyRequest) -> tuple[float, ...]:
        """What a waiting job is sorted by, the smallest first."""
        if self._order == "fifo":
            return ()
        epoch = self._reached(request)
        if self._order == "longest_first":
            return (-self._seconds(request, epoch),)
        return (not epoch, epoch - request.epochs) if isinstance(request, Train) else (True, 0)

    def _fill(self) -> None:
        """Gives waiting jobs to idle devices, the lowest number first."""
        world = self.world
        while world.queue and world.idle:
            _, ticket, key = heapq.heappop(world.queue)
            request = self._request(key)
            epoch = self._reached(request)
            end = world.now + self._seconds(request, epoch)
            device = heapq.heappop(world.idle)
            heapq.heappush(world.running, _Running(end, ticket, key, device, world.now, epoch))

    def _end_next(self) -> None:
        """Jumps to the end of the next job, and answers all who wait for it."""
        self._moment("ending")
        world = self.world
        ended = heapq.heappop(world.running)
        request = self._request(ended.key)
        outcome = self._outcome(request)
        world.now, world.trained = ended.end, world.trained + 1
        world.outcomes[ended.key] = outcome
        if isinstance(outcome, Trained) and isinstance(request, Train):
            candidate = request.candidate.id
            world.reached[candidate] = max(request.epochs, world.reached.get(candidate, 0))
        heapq.heappush(world.idle, ended.device)
        world.jobs.append(Job(request, outcome, ended.device, ended.start, ended.end, ended.epoch))
        for index in world.waiting.pop(ended.key):
            world.answered[index] = len(world.answered)
        self._fill()
        self._moment("ended")

    def _outcome(self, request: AnyRequest) -> AnyOutcome:
        if isinstance(request, Compute) and request.stateful:
            return self.world.computations.answer(request)
        return self._answer_to(request)

    def _reached(self, request: AnyRequest) -> int:
        """Epochs that a training would go on from if it began now."""
        if not isinstance(request, Train):
            return 0
        return min(self.world.reached.get(request.candidate.id, 0), request.epochs)

    def _request(self, key: str) -> AnyRequest:
        return self.world.requests[self.world.waiting[key][0]]


class _Forgetful(Run):
    """A run that keeps no states."""

    async def save(self, state: Any, pending: Sequence[Handle] = ()) -> None:
        """Does nothing."""
