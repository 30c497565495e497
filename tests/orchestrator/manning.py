"""A runtime with real worker processes on GPUs that a made-up driver tells of; its trainer is the scripted one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, closing
from functools import partial, wraps
from pathlib import Path
from typing import Any, ParamSpec

import anyio

from orchestrator.fleet import Fleet
from orchestrator.knowledge import Knowledge
from orchestrator.memory import Memory
from orchestrator.observer import Silent
from orchestrator.reactions import Terms
from orchestrator.runtime import Runtime
from orchestrator.serving.config import DevicesConfig
from store.opening import Store
from store.records.candidates import Candidate, Fault, Named
from store.records.events import AnyEvent, JobStarted, JobSucceeded, SearchOpened
from store.records.messages import JobSettings, Progress
from store.records.requests import Train
from store.records.spec import Resources
from tests.orchestrator.builders import candidate, spec
from tests.orchestrator.drivers import FakeDriver

LIMIT_SECONDS = 60.0
P = ParamSpec("P")
SEARCH = "s"


def looped(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Runs a test as the daemon is run: by anyio, which knows its loop in the callbacks of sockets too."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        anyio.run(partial(test, *args, **kwargs))

    return run


class Seen(Silent):
    """Keeps what was told and what happened."""

    def __init__(self) -> None:
        self.events: list[AnyEvent] = []
        self.lines: list[str] = []
        self.steps: set[str] = set()

    def event(self, sequence: int, time: float, event: AnyEvent) -> None:
        self.events.append(event)

    def told(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, worker: str, job: str, message: Progress) -> None:
        self.steps.add(job)

    def of(self, *kinds: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kinds)]


def played(gene: int, *, seconds: float = 0.0, taken: int | None = None, epochs: int = 2) -> Train:
    """A training of so many seconds an epoch, which says that it took so much of its GPU."""
    options = {"epoch_seconds": seconds} | ({} if taken is None else {"device_bytes": taken})
    fields = {name: getattr(candidate(gene), name) for name in Candidate.model_fields}
    return Train(candidate=Candidate(**fields | {"trainer": Named(name="scripted", options=options)}), epochs=epochs)


class Manned:
    """The runtime, and what can be asked of it."""

    def __init__(self, runtime: Runtime, fleet: Fleet, seen: Seen) -> None:
        self.runtime, self.fleet, self.seen = runtime, fleet, seen
        self._asked = 0

    def ask(self, *requests: Train) -> None:
        for request in requests:
            index, self._asked = self._asked, self._asked + 1
            self.runtime.post(lambda request=request, index=index: self.runtime.ask(SEARCH, index, request))

    async def until(self, condition: Callable[[], bool]) -> None:
        with anyio.move_on_after(LIMIT_SECONDS):
            while not condition():  # noqa: ASYNC110  (processes change what is looked at)
                await anyio.sleep(0.02)
            return
        raise AssertionError(f"it never happened; last: {self.seen.events[-5:]}, told: {self.seen.lines}")

    async def finished(self, *requests: Train) -> None:
        wanted = {request.key for request in requests}
        await self.until(lambda: wanted <= {event.job for event in self.seen.of(JobSucceeded)})

    def devices_of(self, request: Train) -> list[str]:
        return [event.device for event in self.seen.of(JobStarted) if event.job == request.key]

    def states(self) -> dict[str, Any]:
        return {state.device: state for state in self.fleet.states()}


@asynccontextmanager
async def manned(
    folder: Path,
    driver: FakeDriver,
    *,
    strikes: Sequence[Fault] = (),
    limits: dict[str, Any] | None = None,
    starts_per_minute: int | None = None,
    retries: int = 3,
    **config: Any,
) -> AsyncIterator[Manned]:
    """Runs a runtime on a driver's GPUs, with a search that asks for nothing by itself."""
    quick = {"poll_seconds": 0.05, "nvml_seconds": LIMIT_SECONDS, "reserve_bytes": 0}
    settings = DevicesConfig.model_validate(quick | config)
    with Store.open(folder / "store", write=True, create=True) as store, closing(Knowledge(store)) as knowledge:
        fleet = await Fleet.find(settings, store.folder, driver)
        seen, memory = Seen(), Memory()
        resources = Resources.model_validate({"hang_seconds": 20.0, **(limits or {})})
        runtime = Runtime(store, memory, resources, seen, knowledge, fleet, starts_per_minute)
        async with anyio.create_task_group() as tasks:
            await runtime.start(tasks, [], None)
            await runtime.commit(SearchOpened(search=SEARCH, spec=spec()))
            runtime.open_port(SEARCH, Terms(JobSettings(faults=tuple(strikes), checkpoint_seconds=0.05), retries))
            yield Manned(runtime, fleet, seen)
            await runtime.drain()
            await runtime.leave()
