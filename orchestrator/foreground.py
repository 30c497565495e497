"""One search in the foreground: what `coldframe run` and `coldframe retrain` do."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import anyio

from orchestrator import devices, preparing, transfers
from orchestrator.groups import first_of
from orchestrator.knowledge import Knowledge
from orchestrator.memory import Memory
from orchestrator.observer import Observer
from orchestrator.recall import taken
from orchestrator.runtime import Runtime
from orchestrator.spec import Plan, check_totals, load
from orchestrator.turn import Turn
from store.format import is_store
from store.opening import Store
from store.records.base import digest
from store.records.events import SearchInterrupted
from store.records.spec import SearchSpec

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
    memory = Memory()
    with taken(store, memory, observer.recalled, create=True) as opened:
        plan, remarks = transfers.resolve(plan, opened.journal)
        for remark in remarks:
            observer.told(remark)
        foreground = Foreground(opened, memory, plan, observer, slots)
        try:
            return anyio.run(foreground.run)
        except BaseExceptionGroup as group:
            raise first_of(group) from group


class Foreground:
    """The run of one search in an open store."""

    def __init__(
        self, store: Store, memory: Memory, plan: Plan, observer: Observer, slots: list[devices.Device]
    ) -> None:
        self._store, self._memory, self._plan, self._observer, self._slots = store, memory, plan, observer, slots
        self._signal: int | None = None
        self._turn: Turn | None = None

    async def run(self) -> RunEnd:
        """Takes the search up and sees it to its end."""
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
        return RunEnd(plan.id, "finished" if self._is_finished else "interrupted", self._signal)

    async def _run(self, runtime: Runtime) -> None:
        async with anyio.create_task_group() as tasks:
            await runtime.start(tasks, self._slots, self._preload())
            with anyio.CancelScope() as scope:
                tasks.start_soon(self._await_signal, scope)
                self._turn = Turn(runtime, self._plan, self._store.folder)
                await self._turn.open()
                await self._turn.search()
            await self._close(runtime)

    @property
    def _is_finished(self) -> bool:
        return self._turn is not None and self._turn.result is not None

    def _preload(self) -> str | None:
        name = self._plan.spec.trainer.name
        return None if name in TORCH_FREE else name

    async def _close(self, runtime: Runtime) -> None:
        """Stops what still runs at a checkpoint, and ends the workers."""
        await runtime.drain()
        if not self._is_finished:
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
