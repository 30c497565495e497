"""A real daemon inside a test's event loop, with real workers and no API."""

from __future__ import annotations

import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

from orchestrator.fleet import Fleet
from orchestrator.knowledge import Knowledge
from orchestrator.recall import taken
from orchestrator.runtime import Runtime
from orchestrator.serving.config import DevicesConfig, LimitsConfig, ServeConfig
from orchestrator.serving.daemon import Daemon
from orchestrator.serving.service import Actor, Submission
from store.records.events import AnyEvent
from store.records.spec import Resources

ANN, BOB = Actor("ann", local=True), Actor("bob", local=True)
LIMIT_SECONDS = 60.0

SPEC = """
name = "{name}"
seed = {seed}
[strategy]
name = "random"
candidates = {candidates}
epochs = 3
[space]
name = "cell"
[trainer]
name = "scripted"
epoch_seconds = {epoch_seconds}
steps = 5
[data]
name = "digits"
[resources]
retries = 1
checkpoint_seconds = 0.05
"""


def submission(
    name: str, *, candidates: int = 4, epoch_seconds: float = 0.02, seed: int = 1, more: str = "", **order: Any
) -> Submission:
    """A small random search on the scripted trainer."""
    text = SPEC.format(name=name, candidates=candidates, epoch_seconds=epoch_seconds, seed=seed) + more
    return Submission(tomllib.loads(text), f"{name}.toml", **order)


@asynccontextmanager
async def serving(folder: Path, workers: int = 1, **limits: Any) -> AsyncIterator[Daemon]:
    """Starts a daemon on a store, and drains it at the end."""
    devices = DevicesConfig(use="cpu", cpu_workers=workers)
    config = ServeConfig(store=folder, devices=devices, limits=LimitsConfig(**limits))
    made = Daemon(config)
    with taken(folder, made.memory, made.seen.recalled, create=True) as store:
        knowledge, fleet = Knowledge(store), await Fleet.find(devices, folder)
        async with anyio.create_task_group() as tasks:
            runtime = Runtime(store, made.memory, Resources(), made.seen, knowledge, fleet)
            await runtime.start(tasks, [], None)
            await made.begin(tasks, store, runtime, fleet)
            with anyio.fail_after(LIMIT_SECONDS):
                yield made
                await made.drain("the test is over")


async def until(happened: Callable[[], object]) -> None:
    """Looks again and again until something is so; the caller's deadline ends that."""
    while not happened():  # noqa: ASYNC110 - what is waited for is not always an event
        await anyio.sleep(0.01)


def status(daemon: Daemon, search: str) -> str:
    """A search's status."""
    (found,) = [one for one in daemon.searches() if one.search == search]
    return found.status


def journal(daemon: Daemon) -> list[AnyEvent]:
    """All events so far."""
    return [row.event for row in daemon.store.journal.rows()]
