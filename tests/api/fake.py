"""A daemon that runs nothing, behind the real API on real sockets: its store and its journal are real, too."""

from __future__ import annotations

import asyncio
import atexit
import json
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from anyio import to_thread
from prometheus_client import CollectorRegistry, generate_latest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from orchestrator.api.feed import Feed
from orchestrator.api.meter import Uncounted
from orchestrator.api.server import serve
from orchestrator.errors import UnknownDevice, WrongState
from orchestrator.serving.config import ApiConfig, ServeConfig, TcpConfig
from orchestrator.serving.endpoint import Endpoint
from orchestrator.serving.service import Actor, DeviceState, Health, ServedSearch, Submission, Submitted, Wait
from orchestrator.spec import plan
from orchestrator.views import History
from store.opening import Store
from store.records.events import AnyEvent, SearchOpened, SearchPaused, SearchSubmitted
from tests.orchestrator.telling import small_search


class FakeDaemon:
    """Answers as a daemon does, and keeps what it was told to do in `orders`."""

    def __init__(self, config: ServeConfig, store: Store) -> None:
        self.config, self.store = config, store
        self.history = History()
        self.feed = Feed(store.journal, self.history)
        self.orders: list[tuple[Any, ...]] = []
        self.status: Any = "ok"
        self.statuses: dict[str, str] = {}
        for row in store.journal.raw():
            self._take(row.decode().event, row.sequence, row.time)

    # What the tests do to it

    def happens(self, *events: AnyEvent) -> int:
        """Commits events and tells the feed, on the loop's thread."""
        last = self.store.journal.append(events)
        for sequence, event in enumerate(events, start=last - len(events) + 1):
            self._take(event, sequence, time.time())
            self.feed.event(sequence, time.time(), event)
        return last

    def _take(self, event: AnyEvent, sequence: int, moment: float) -> None:
        self.history.event(sequence, moment, event)

    # What the API asks

    def searches(self) -> Sequence[ServedSearch]:
        return [
            ServedSearch(entry.id, self.statuses.get(entry.id, entry.status), entry.owner, entry.weight, entry.priority)
            for entry in self.history.searches.values()
        ]

    def why(self, search: str) -> Sequence[Wait]:
        return [Wait("a worker: all have jobs", "one of them is free")]

    def devices(self) -> Sequence[DeviceState]:
        return [DeviceState("cpu", "cpu", "a processor", slots=2, busy=1)]

    def health(self) -> Health:
        return Health(self.status, "", 1.5, self.store.journal.count)

    async def submit(self, submission: Submission, actor: Actor) -> Submitted:
        made = await to_thread.run_sync(plan, dict(submission.raw), submission.file)
        self.orders.append(("submit", made.id, actor, submission))
        new = made.id not in self.history.searches
        if new:
            submitted = SearchSubmitted(search=made.id, raw=dict(submission.raw), owner=actor.name)
            self.happens(SearchOpened(search=made.id, spec=made.spec), submitted)
        return Submitted(made.id, made.spec.name, "running", new)

    async def pause(self, search: str, actor: Actor) -> None:
        if self.statuses.get(search) == "finished":
            raise WrongState(search, "finished", "paused", "a search that goes on")
        self.orders.append(("pause", search, actor))
        self.happens(SearchPaused(search=search, by=actor.name))

    async def resume(self, search: str, actor: Actor) -> None:
        self.orders.append(("resume", search, actor))

    async def stop(self, search: str, actor: Actor) -> None:
        self.orders.append(("stop", search, actor))

    async def prioritise(self, search: str, weight: float | None, priority: int | None, actor: Actor) -> None:
        self.orders.append(("prioritise", search, weight, priority))

    async def extend(self, search: str, totals: Mapping[str, int], actor: Actor) -> None:
        self.orders.append(("extend", search, dict(totals)))

    async def return_device(self, device: str, actor: Actor) -> None:
        if device != "cpu":
            raise UnknownDevice(device, ["cpu"])
        self.orders.append(("return", device))

    async def collect(self, delete: bool, grace_seconds: float) -> dict[str, Any]:
        self.orders.append(("gc", delete, grace_seconds))
        return {"dry_run": not delete}

    async def check(self) -> dict[str, Any]:
        return {"clean": True}


class Counted(Uncounted):
    """A meter that remembers."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.answers: list[tuple[str | None, int]] = []

    def refused(self, reason: str) -> None:
        self.reasons.append(reason)

    def request(self, route: str | None, code: int, seconds: float | None = None) -> None:
        self.answers.append((route, code))


class _Started:
    """A task status for who has no task group: a fixture's two halves may run in different tasks."""

    def __init__(self) -> None:
        self.found: asyncio.Future[Endpoint] = asyncio.get_running_loop().create_future()

    def started(self, value: Any = None) -> None:
        self.found.set_result(value)


class Served:
    """A fake daemon and where it listens."""

    def __init__(self, daemon: FakeDaemon, found: Endpoint, token: str, meter: Counted) -> None:
        self.daemon, self.endpoint, self.token, self.meter = daemon, found, token, meter


def metrics() -> ASGIApp:
    """Answers with a registry that has nothing in it."""
    return PlainTextResponse(generate_latest(CollectorRegistry()))


def store_of(folder: Path) -> Path:
    """Puts a store with a small search there; it is written once, and copied after that."""
    return Path(shutil.copytree(_store(), folder))


@cache
def _store() -> Path:
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    with Store.open(folder / "store", write=True, create=True) as store:
        store.journal.append([event for _, event in small_search().events])
    return folder / "store"


def configured(folder: Path, *, tcp: bool = True, **api: Any) -> ServeConfig:
    """A configuration with both sockets."""
    port = TcpConfig(port=0, token_file=folder / "token", **api.pop("port", {})) if tcp else None
    return ServeConfig(store=folder / "store", api=ApiConfig(tcp=port, **api))


@asynccontextmanager
async def serving(config: ServeConfig) -> AsyncIterator[Served]:
    """Serves a store in this process's loop; makes one with a small search if there is none."""
    if not config.store.exists():
        store_of(config.store)
    meter = Counted()
    with Store.open(config.store, write=True) as store:
        daemon = FakeDaemon(config, store)
        started = _Started()
        task = asyncio.create_task(serve(daemon, daemon.feed, metrics(), meter, task_status=started))
        await asyncio.wait({task, started.found}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        token = config.api.tcp.token_file.read_text().strip() if config.api.tcp else ""
        yield Served(daemon, started.found.result(), token, meter)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def spec(name: str = "handed in", **more: Any) -> dict[str, Any]:
    """A spec that can be planned."""
    return {
        "name": name,
        "strategy": {"name": "random", "candidates": 4, "epochs": 1},
        "space": {"name": "cell"},
        "trainer": {"name": "scripted"},
        "data": {"name": "digits"},
    } | more


def as_json(value: Any) -> bytes:
    """A body."""
    return json.dumps(value).encode()
