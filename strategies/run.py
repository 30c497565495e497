"""All that a strategy sees of the world: the `Run` handle.

A strategy is an ordinary coroutine. Whatever it asks for is answered from the store if the store has the answer, so a
restarted search is the same coroutine, run again. That needs one thing of a strategy: given the same answers it must
ask the same questions. Randomness comes from `run.rng` alone; clocks, files and global generators are not for it.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, cast, runtime_checkable

import numpy as np

from store.records import arrays
from store.records.base import digest
from store.records.candidates import Architecture, Candidate, Data, Named, Proxy, Recipe
from store.records.events import StateSaved
from store.records.knowledge import Contribution, Inheritance, PoolQuery
from store.records.outcomes import AnyOutcome, Trained
from store.records.requests import AnyRequest, Compute, Evaluate, Measure, Train
from store.records.results import Result
from store.records.spec import SearchSpec
from strategies.errors import TestSplitSealed
from strategies.spaces.base import BlockSpace, Space

Item = TypeVar("Item")
Schedule = Literal["cosine", "cosine_restarts"]
Split = Literal["validation", "train", "test"]

EPILOGUE = 1 << 32
"""Distance between the first numbers of two epilogues; no search asks as often."""


@dataclass(frozen=True)
class Setting:
    """How candidates are trained: all of a candidate but its space, architecture and seed.

    Attributes:
        trainer: what trains them.
        proxy: the reduced setting.
        recipe: how they are trained.
        data: on which images; the search's own if absent.
    """

    trainer: Named
    proxy: Proxy
    recipe: Recipe
    data: Data | None = None

    @cached_property
    def digest(self) -> str:
        """A name for the setting, by content."""
        return digest([self.trainer, self.proxy, self.recipe, self.data])


class Handle(Awaitable[AnyOutcome], Protocol):
    """A request under way. Await it, as often as wanted, for its outcome; a failure is an outcome too."""

    @property
    def key(self) -> str:
        """The request's digest."""
        ...

    @property
    def index(self) -> int:
        """The request's number in its search."""
        ...


class Port(Protocol):
    """What carries a `Run`'s wishes out: the orchestrator, or the simulation of `strategies.testing`."""

    def submit(self, index: int, request: AnyRequest) -> Handle:
        """Takes the search's `index`-th request. Raises `ReplayDiverged` if another one was recorded there."""
        ...

    async def completed(self, call: int, index: int, pending: Sequence[Handle]) -> Handle:
        """Waits for one of `pending`, in the order that was recorded for this call if there is one.

        What ended first comes first; of what ended at the same time, or before the search was taken up again, what
        stands first in `pending`.
        """
        ...

    async def save(self, requests: int, calls: int, state: bytes, rng: str, pending: tuple[int, ...]) -> None:
        """Makes the strategy's state durable, and the numbers of the requests that are under way."""
        ...

    async def inherit(self, call: int, query: PoolQuery) -> Inheritance:
        """Asks the knowledge pool; the answer that was recorded for this call if there is one."""
        ...

    async def contribute(self, call: int, contribution: Contribution) -> None:
        """Puts a network's blocks into the knowledge pool, once for this call."""
        ...

    def progress(self, done: int, total: int, label: str) -> None:
        """Takes note of how far the strategy is, for people to see."""
        ...


class Strategy(Protocol):
    """What decides which architectures to try."""

    async def search(self, run: Run) -> Result:
        """Runs the search to its end, from `run.restored` if that is set."""
        ...


class Wanted(NamedTuple):
    """A setting that a strategy will train or measure candidates in, and where the spec has it.

    Attributes:
        setting: the setting.
        place: the spec's key for one of the setting's, e.g. `strategy.cells` for `proxy.cells`.
    """

    setting: Setting
    place: Callable[[str], str]


@runtime_checkable
class SettingStrategy(Strategy, Protocol):
    """A strategy that has settings of its own instead of the spec's `[trainer]`, `[proxy]` and `[recipe]`."""

    def settings(self) -> Iterable[Wanted]:
        """Returns all of them, so that one that is impossible is refused before anything runs."""
        ...


class Run:
    """A search's view of the world. Everything that it returns is the same on every replay."""

    def __init__(
        self, port: Port, spec: SearchSpec, space: Space, data: Data, restored: StateSaved | None = None
    ) -> None:
        self.spec = spec
        self.space = space
        self._data = data
        self._port = port
        self._requests = restored.requests if restored else 0
        self._calls = restored.calls if restored else 0
        self._again = deque(restored.pending if restored else ())
        self._in_epilogue = False
        self.restored: Any = arrays.unpack(restored.state) if restored else None
        bits = np.random.PCG64(spec.seed)
        if restored:
            bits.state = json.loads(restored.rng)
        self.rng = np.random.Generator(bits)
        self._default = Setting(spec.trainer, spec.proxy, spec.recipe, data)
        self._settings: dict[tuple[str, int | None, Schedule | None, int | None], Candidate] = {}

    def candidate(
        self,
        architecture: Architecture,
        *,
        schedule_epochs: int | None = None,
        schedule: Schedule | None = None,
        reset_momentum_epochs: int | None = None,
        setting: Setting | None = None,
    ) -> Candidate:
        """Returns the candidate that the spec makes of an architecture, in its canonical encoding.

        The arguments `schedule_epochs` to `reset_momentum_epochs` are what the strategy wishes where the recipe does
        not say. A recipe that gives `schedule_epochs` says all of its schedule, one that does not leaves all of it
        open.

        Args:
            architecture: any encoding of it.
            schedule_epochs: length of the learning-rate schedule in epochs.
            schedule: its kind; the recipe's if absent.
            reset_momentum_epochs: forget the momentum each time so many epochs are done.
            setting: how to train it, where that is not as the spec says.
        """
        setting = setting or self._default
        canonical = self.space.canonical(architecture)
        wishes = (setting.digest, schedule_epochs, schedule, reset_momentum_epochs)
        if wishes not in self._settings:
            recipe = _open_parts(setting.recipe, schedule_epochs, schedule, reset_momentum_epochs)
            self._settings[wishes] = Candidate(
                trainer=setting.trainer,
                space=self.space.spec,
                architecture=canonical,
                proxy=setting.proxy,
                recipe=recipe,
                data=setting.data or self._data,
                seed=self.spec.seed,
            )
        return self._settings[wishes].of(canonical)

    def train(self, candidate: Candidate, *, epochs: int) -> Handle:
        """Trains a candidate to a total of `epochs`, going on from its newest checkpoint (`Trained` or `Failure`)."""
        return self._submit(Train(candidate=candidate, epochs=epochs))

    def evaluate(self, candidate: Candidate, *, checkpoint: str, split: Split = "validation") -> Handle:
        """Scores a candidate with a checkpoint's weights (`Evaluated` or `Failure`).

        Raises:
            TestSplitSealed: if the test images are asked for and images are held out for validation: only what was
                trained on all training images, and so is chosen already, may see the test split.
        """
        if split == "test" and candidate.data.validation_fraction > 0:
            raise TestSplitSealed(candidate.id)
        return self._submit(Evaluate(candidate=candidate, checkpoint=checkpoint, split=split))

    def measure(self, candidate: Candidate, *, device: str | None = None) -> Handle:
        """Counts parameters and multiply-adds, and the latency on a device if one is named (`Measured`)."""
        return self._submit(Measure(candidate=candidate, device=device))

    def compute(self, function: str, *arguments: Any) -> Handle:
        """Calls `package.module:function` with plain values and arrays in a worker (`Computed` or `Failure`)."""
        return self._submit(Compute(function=function, arguments=arrays.pack(list(arguments))))

    def compute_from(self, function: str, state: str | None, *arguments: Any) -> Handle:
        """Calls `package.module:function` with arrays that stay in the store (`Computed` with a `state`, or `Failure`).

        The function is called as `function(arrays, *arguments)` and returns `(arrays, value)`; arrays are maps of maps,
        by block and name. What is large, as networks and their optimiser's moments, so passes neither through the
        daemon nor into the journal.

        Args:
            function: `package.module:function`.
            state: digest of the arrays that it starts from, an earlier `Computed.state`; it gets None for None.
            arguments: plain values and small arrays.
        """
        packed = arrays.pack(list(arguments))
        return self._submit(Compute(function=function, arguments=packed, stateful=True, state=state))

    async def inherit(
        self, candidate: Candidate, shape: Sequence[int], *, bar: float, sources: Sequence[str] = ()
    ) -> Inheritance:
        """Asks the knowledge pool which trained blocks a network could start from (FNAS section 4.3).

        Of the blocks that this search has put in and those of `sources`, each block of the network gets the one with
        the most similar key. The answer is recorded. Train `candidate.inheriting(answer.initial)`.

        Args:
            candidate: the network; its space must be a `BlockSpace`.
            shape: (channels, height, width) of the images as the network reads them: `Measured.image_shape`.
            bar: least cosine similarity in (0, 1]; a block for which the pool has nothing so similar starts at random.
            sources: ids of other searches in the store.
        """
        space = cast(BlockSpace, self.space)
        query = PoolQuery(
            space=digest(space.spec),
            choices=space.block_choices,
            shape=tuple(shape),
            blocks=space.blocks(candidate.architecture, candidate.proxy),
            bar=bar,
            sources=tuple(sources),
        )
        call, self._calls = self._calls, self._calls + 1
        return await self._port.inherit(call, query)

    async def contribute(
        self, candidate: Candidate, trained: Trained, shape: Sequence[int], *, iterations: int, generation: int = 0
    ) -> None:
        """Puts a trained network's blocks into the knowledge pool.

        Args:
            candidate: the network; its space must be a `BlockSpace`.
            trained: how its training ended.
            shape: as for `inherit`.
            iterations: optimiser steps that it was trained for. Blocks of different counts are never compared.
            generation: 0 if it started from random weights, else its `Inheritance.generation`.
        """
        space = cast(BlockSpace, self.space)
        contribution = Contribution(
            candidate=candidate.id,
            checkpoint=trained.checkpoint,
            space=digest(space.spec),
            choices=space.block_choices,
            shape=tuple(shape),
            blocks=space.blocks(candidate.architecture, candidate.proxy),
            iterations=iterations,
            generation=generation,
            accuracy=trained.accuracy,
        )
        call, self._calls = self._calls, self._calls + 1
        await self._port.contribute(call, contribution)

    async def map(self, verb: Callable[..., Handle], items: Iterable[Item], **options: Any) -> list[AnyOutcome]:
        """Asks for all items at once and returns their outcomes in the order of the items."""
        handles = [verb(item, **options) for item in items]
        return [await handle for handle in handles]

    async def as_completed(self, handles: Iterable[Handle]) -> AsyncIterator[Handle]:
        """Yields handles as they end. The order is recorded, so a replay sees the same one."""
        call, pending = self._calls, list(handles)
        self._calls += 1
        for index in range(len(pending)):
            handle = await self._port.completed(call, index, pending)
            pending.remove(handle)
            yield handle

    async def first(self, handles: Sequence[Handle]) -> Handle:
        """Returns one of the handles that has ended, the first that did. The order is recorded, as in `as_completed`.

        For strategies that ask for more whenever something ends: the handles may be others at every call. A single
        one leaves no choice, and nothing is recorded.

        Args:
            handles: at least one, in the order in which they were asked for.
        """
        if len(handles) == 1:
            await handles[0]
            return handles[0]
        call, self._calls = self._calls, self._calls + 1
        return await self._port.completed(call, 0, handles)

    async def save(self, state: Any, pending: Sequence[Handle] = ()) -> None:
        """Commits a state (numbers, text, lists, string-keyed maps, arrays) from which `search` could start again.

        Args:
            state: plain values, or a function that returns them, for a state that takes time to put together: it is
                not called where no state is kept, as in most searches in virtual time.
            pending: the requests under way whose outcomes the strategy still wants. A search that starts from this
                state must ask for these again, in this order, before it asks for anything else; they are the same
                requests then, under their old numbers.

        Raises:
            RuntimeError: in the epilogue, or if what was under way in the restored state was not asked for again.
        """
        if self._in_epilogue or self._again:
            why = "the epilogue is only this total's" if self._in_epilogue else "requests are still to be made again"
            raise RuntimeError(f"no state can be saved here: {why}")
        rng, indexes = json.dumps(self.rng.bit_generator.state, sort_keys=True), tuple(one.index for one in pending)
        await self._port.save(
            self._requests, self._calls, arrays.pack(state() if callable(state) else state), rng, indexes
        )

    def epilogue(self, total: int) -> None:
        """Says that all that follows would not be so with a higher total.

        A search whose total is raised goes on from its last saved state, and its requests are compared with those
        that are recorded. What a strategy asks for because its budget is used up, it would not ask for then: after
        this call requests and completions have numbers apart, of this total alone.

        Args:
            total: the budget that is used up.
        """
        self._in_epilogue = True
        self._requests = self._calls = (total + 1) * EPILOGUE

    def progress(self, done: int, total: int, label: str) -> None:
        """Says how far the search is, e.g. `progress(120, 560, "cycle 3 of 10")` in epochs; only people see it."""
        self._port.progress(done, total, label)

    def _submit(self, request: AnyRequest) -> Handle:
        if self._again:
            return self._port.submit(self._again.popleft(), request)
        index = self._requests
        self._requests += 1
        return self._port.submit(index, request)


def _open_parts(
    recipe: Recipe, schedule_epochs: int | None, schedule: Schedule | None, reset_momentum_epochs: int | None
) -> Recipe:
    """Fills what a recipe leaves open with what a strategy wishes."""
    wishes = dict[str, Any]()
    if recipe.schedule_epochs is None:
        wishes = {"schedule_epochs": schedule_epochs, "schedule": schedule or recipe.schedule}
    if recipe.reset_momentum_epochs is None:
        wishes["reset_momentum_epochs"] = reset_momentum_epochs
    return recipe.model_copy(update=wishes)
