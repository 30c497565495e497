"""One search in the foreground: what `coldframe run` and `coldframe retrain` do.

Taking a search up again is the same as starting it. The journal is folded, the strategy's coroutine is run from its
last saved state, and what it asks for again is answered from the store.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import anyio
import msgpack

from orchestrator import collector, devices, preparing, transfers
from orchestrator.errors import OrchestratorError, SearchCrashed
from orchestrator.knowledge import Knowledge
from orchestrator.memory import Memory
from orchestrator.observer import Observer
from orchestrator.reactions import Terms
from orchestrator.runtime import Runtime
from orchestrator.searches import SearchPort
from orchestrator.spec import Plan, check_totals, load
from store.errors import StoreError
from store.format import is_store
from store.opening import Store
from store.records.base import digest
from store.records.events import (
    SearchExtended,
    SearchFailed,
    SearchFinished,
    SearchInterrupted,
    SearchOpened,
    SearchStarted,
)
from store.records.messages import JobSettings
from store.records.results import Result
from store.records.spec import SearchSpec
from strategies.errors import StrategyError
from strategies.run import Run

TORCH_FREE = frozenset({"scripted", "tabular"})


@dataclass(frozen=True)
class RunEnd:
    """How a run ended: `finished`, or `interrupted` by a signal. `repeated`: it had been finished before."""

    search: str
    status: str
    signal: int | None = None
    repeated: bool = False


def run(spec_path: Path, store: Path, *, workers: int | None = None, observer: Observer) -> RunEnd:
    """Runs a search to its end, or until SIGINT or SIGTERM; takes it up again if the store knows it.

    Args:
        spec_path: the TOML file.
        store: the store's folder, made if it is not there.
        workers: worker processes, instead of the spec's `resources.workers`.
        observer: who watches.

    Raises:
        SpecError: if the spec cannot be used.
        TotalLowered: if the search was set to a higher total before.
        StoreError: if the store cannot be used, or fails for good.
        SearchCrashed: if the strategy raised.
    """
    with preparing.reasons(observer) as told:
        plan = load(spec_path, told)
    return run_plan(plan, store, workers=workers, observer=observer)


def run_plan(plan: Plan, store: Path, *, workers: int | None = None, observer: Observer) -> RunEnd:
    """Runs a search that is planned already, as `run` does with what its file says.

    Raises:
        SpecError: if it refers to searches of the store that it cannot start from.
        TotalLowered, StoreError, SearchCrashed: as `run`.
    """
    slots = devices.slots(plan.spec.resources.device, workers or plan.spec.resources.workers)
    if not is_store(store):
        plan = transfers.resolve(plan, None).plan  # what refers to nothing is refused before a store is made
    with Store.open(store, write=True, create=True) as opened:
        plan, remarks = transfers.resolve(plan, opened.journal)
        for remark in remarks:
            observer.told(remark)
        foreground = Foreground(opened, plan, observer, slots)
        try:
            return anyio.run(foreground.run)
        except BaseExceptionGroup as group:
            raise _first_of(group) from group


class Foreground:
    """The run of one search in an open store."""

    def __init__(self, store: Store, plan: Plan, observer: Observer, slots: list[devices.Device]) -> None:
        self._store, self._plan, self._observer, self._slots = store, plan, observer, slots
        self._memory = Memory()
        self._signal: int | None = None
        self._result: Result | None = None

    async def run(self) -> RunEnd:
        """Takes the search up and sees it to its end."""
        self._recall()
        plan = self._plan
        known = self._memory.searches.get(plan.id)
        if known is not None:
            before = SearchSpec.model_validate(known.spec)
            check_totals(plan, before)
            if known.status == "finished" and digest(before.strategy) == digest(plan.spec.strategy):
                return RunEnd(plan.id, "finished", repeated=True)
        with closing(Knowledge(self._store, plan.spec.resources.pool_bytes)) as knowledge:
            runtime = Runtime(self._store, self._memory, plan.spec.resources, self._observer, knowledge)
            await self._run(runtime)
        await runtime.remove_superseded(least=1, grace_seconds=0.0)  # no worker is left
        return RunEnd(plan.id, "interrupted" if self._result is None else "finished", self._signal)

    async def _run(self, runtime: Runtime) -> None:
        async with anyio.create_task_group() as tasks:
            await runtime.start(tasks, self._slots, self._preload())
            with anyio.CancelScope() as scope:
                tasks.start_soon(self._await_signal, scope)
                await self._open(runtime)
                await self._search(runtime)
            await self._close(runtime)

    def _recall(self) -> None:
        """Folds the journal: after this, memory holds all that earlier runs got done."""
        with collector.paused():
            for row in self._store.journal.raw():
                payload = msgpack.unpackb(row.payload, raw=False)
                self._memory.apply(row.type, payload)
                self._observer.recalled(row.sequence, row.time, row.type, payload)
        self._memory.forget_missing(set(self._store.checkpoints.digests()))

    def _preload(self) -> str | None:
        name = self._plan.spec.trainer.name
        return None if name in TORCH_FREE else name

    async def _open(self, runtime: Runtime) -> None:
        search, spec = self._plan.id, self._plan.spec
        known = self._memory.searches.get(search)
        if known is None:
            await runtime.commit(SearchOpened(search=search, spec=spec))
        elif digest(known.spec) != digest(spec):  # not `!=`: what was a tuple is a list after the journal
            await runtime.commit(SearchExtended(search=search, spec=spec))
        await runtime.commit(SearchStarted(search=search, pid=os.getpid()))

    async def _search(self, runtime: Runtime) -> None:
        """Runs the strategy's coroutine and journals how it ended."""
        search = self._plan.id
        port = runtime.open_port(search, self._terms())
        try:
            self._result = await self._plan.make_strategy().search(self._handle(port))
        except (OrchestratorError, StoreError):
            raise
        except Exception as error:
            # Whatever a strategy raises, the journal must say that the search ended here, and why.
            await runtime.commit(SearchFailed(search=search, message=f"{type(error).__name__}: {error}"))
            if isinstance(error, StrategyError):
                raise
            raise SearchCrashed(search, f"{type(error).__name__}: {error}") from error
        await runtime.commit(SearchFinished(search=search, result=self._result.model_dump()))

    async def _close(self, runtime: Runtime) -> None:
        """Stops what still runs at a checkpoint, and ends the workers."""
        await runtime.drain()
        if self._result is None:
            name = signal.Signals(self._signal or signal.SIGTERM).name
            await runtime.commit(SearchInterrupted(search=self._plan.id, reason=name))
        await runtime.leave()

    async def _await_signal(self, scope: anyio.CancelScope) -> None:
        """The first signal stops the search in good order, the second one at once."""
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for number in signals:
                if self._signal is not None:
                    self._observer.close()
                    os.kill(os.getpid(), signal.SIGKILL)  # the workers die with us, and the store can take it
                self._signal = int(number)
                self._observer.waiting(f"{number.name}: workers stop at a checkpoint; once more to leave at once")
                scope.cancel()

    def _terms(self) -> Terms:
        spec = self._plan.spec
        settings = JobSettings(
            data_path=self._plan.data_path,
            cache=str(self._store.folder / "cache"),
            tables=self._plan.tables,
            cuda_graphs=spec.resources.cuda_graphs,
            checkpoint_seconds=spec.resources.checkpoint_seconds,
            faults=spec.faults,
        )
        return Terms(settings, spec.resources.retries)

    def _handle(self, port: SearchPort) -> Run:
        restored = self._memory.searches[self._plan.id].restored()
        return Run(port, self._plan.spec, self._plan.space, self._plan.data, restored)


def _first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error of a group that says most: the first that is one of ours, else the first."""
    leaves = list(_leaves(group))
    ours = [error for error in leaves if isinstance(error, OrchestratorError | StoreError | StrategyError)]
    return (ours or leaves)[0]


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
