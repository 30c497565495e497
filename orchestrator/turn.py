"""A process's turn at one search: it is opened in the journal, its coroutine run, and its end journalled.

`coldframe run` takes one turn, the daemon one for each of its searches. Taking a search up again is the same as
starting it: the strategy's coroutine is run from its last saved state, and what it asks for again is answered from the
store.
"""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator import versions
from orchestrator.errors import InvalidTransition, InvariantBroken, OrchestratorError, SearchCrashed
from orchestrator.reactions import Reaction, Terms
from orchestrator.runtime import Runtime
from orchestrator.spec import Plan
from store.errors import JournalError, StoreError, StoreFailed, StoreFull, StoreReadOnly
from store.lock import process
from store.records.base import digest
from store.records.events import SearchExtended, SearchFailed, SearchFinished, SearchOpened, SearchStarted
from store.records.messages import JobSettings
from store.records.results import Result
from strategies.errors import StrategyError
from strategies.run import Run

FATAL = (JournalError, StoreFailed, StoreFull, StoreReadOnly, InvalidTransition, InvariantBroken)
"""Errors that are not the search's own: the process that meets one must end."""


class Turn:
    """One turn at a search.

    Args:
        runtime: what its strategy speaks to.
        plan: the checked spec.
        folder: the store's.
        log_bytes: how long the file of what a job prints may become.

    Attributes:
        result: what the strategy returned; None before, and if its total was raised while it came to its end.
        is_open: whether the journal says that it began, and not how it ended.
    """

    def __init__(self, runtime: Runtime, plan: Plan, folder: Path, log_bytes: int = JobSettings().log_bytes) -> None:
        self._runtime, self._plan, self._folder, self._log_bytes = runtime, plan, folder, log_bytes
        self.result: Result | None = None
        self.is_open = False

    async def open(self) -> None:
        """Journals that the search is taken up, and with which spec and versions."""
        search, spec = self._plan.id, self._plan.spec
        known = self._runtime.memory.searches.get(search)
        now = versions.present()
        if known is None:
            await self._runtime.commit(SearchOpened(search=search, spec=spec))
        elif digest(known.spec) != digest(spec):  # not `!=`: what was a tuple is a list after the journal
            await self._runtime.commit(SearchExtended(search=search, spec=spec))
        if known is not None and (line := versions.remark(spec.name, known.versions, now)):
            self._runtime.told(line)
        self.is_open = True
        await self._runtime.commit(SearchStarted(search=search, pid=os.getpid(), versions=now, process=process()))

    async def search(self) -> None:
        """Runs the strategy's coroutine and journals how it ended.

        Raises:
            StrategyError, OrchestratorError, StoreError: as the strategy, or what it uses, raised it.
            SearchCrashed: if the strategy raised anything else.
        """
        search = self._plan.id
        try:
            port = self._runtime.open_port(search, self._terms())
            restored = self._runtime.memory.searches[search].restored()
            run = Run(port, self._plan.spec, self._plan.space, self._plan.data, restored)
            self.result = await self._plan.make_strategy().search(run)
        except FATAL:
            raise
        except Exception as error:
            # Whatever a strategy raises, the journal must say that the search ended here, and why.
            self.is_open = False
            await self._runtime.commit(SearchFailed(search=search, message=f"{type(error).__name__}: {error}"))
            if isinstance(error, StrategyError | OrchestratorError | StoreError):
                raise
            raise SearchCrashed(search, f"{type(error).__name__}: {error}") from error
        self.is_open = False
        await self._runtime.settle(lambda: self._finish(search))

    def _finish(self, search: str) -> Reaction:
        """Takes note of the result, unless an order came first that makes it one of a lower total than is wanted."""
        memory = self._runtime.memory
        if self.result is None or digest(memory.searches[search].spec) != digest(self._plan.spec):
            self.result = None
            return Reaction()
        finished = SearchFinished(search=search, result=self.result.model_dump())
        memory.apply(finished.type, vars(finished))
        return Reaction(events=[finished])

    def _terms(self) -> Terms:
        spec = self._plan.spec
        settings = JobSettings(
            data_path=self._plan.data_path,
            cache=str(self._folder / "cache"),
            tables=self._plan.tables,
            cuda_graphs=spec.resources.cuda_graphs,
            checkpoint_seconds=spec.resources.checkpoint_seconds,
            faults=spec.faults,
            log_bytes=self._log_bytes,
        )
        return Terms(settings, spec.resources.retries)
