"""Garbage collection by the store's holder, against writers that are stopped or come at any moment."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from orchestrator.collecting import Clock, Collecting
from orchestrator.knowledge import Knowledge
from orchestrator.lifecycle import Job
from orchestrator.memory import Memory
from orchestrator.observer import Silent
from orchestrator.runtime import Runtime
from store.check import check
from store.checkpoints import CheckpointStore
from store.gc import HeldCollection
from store.opening import Store
from store.records.requests import Evaluate, Train
from store.records.spec import Resources
from tests.store.builders import candidate, child, equal, new_store, save, saved, state, succeeded

GRACE = 1000.0
FEW, MANY = 8, 1000
Actor = Callable[[], None]


def age(folder: Path, seconds: float = 10_000) -> None:
    then = time.time() - seconds
    for path in (*(folder / "blobs" / "packs").rglob("*"), *(folder / "manifests").rglob("*")):
        os.utime(path, (then, then))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A candidate at three epochs, of which the first is garbage, and checkpoints that no row names; all old."""
    with new_store(tmp_path / "store") as store:
        digests = [save(store.checkpoints, epoch=epoch, shared=1) for epoch in (1, 2, 3)]
        store.journal.append([saved(digest, epoch=epoch) for epoch, digest in enumerate(digests, start=1)])
        store.journal.append([succeeded(digests[1], epochs=2)])
        for seed in (8, 9):
            save(store.checkpoints, seed=seed, shared=2)
    age(tmp_path / "store")
    return tmp_path / "store"


@pytest.mark.parametrize("epoch", [1, 7])
def test_a_stopped_writer_loses_nothing_to_a_collection_by_the_holder(folder: Path, epoch: int) -> None:
    """SIGSTOP between its blocks and its manifest; the blocks are new, or lie in a pack that was garbage."""
    with Store.open(folder, write=True) as store:
        writer = child("save_with_a_pause", folder, epoch)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "blocks are stored\n"
        writer.send_signal(signal.SIGSTOP)
        report = HeldCollection(store, grace_seconds=GRACE).sweep()
        assert report.manifests_removed == 3
        writer.send_signal(signal.SIGCONT)
        out, err = writer.communicate("go on\n", timeout=60)
        assert writer.returncode == 0, err
        store.journal.append([saved(out.strip(), seed=5, epoch=epoch)])
        assert equal(store.checkpoints.load(out.strip()).tensors, state(epoch))
    assert check(folder).clean


class Turns:
    """Lets one of several threads go on at a time, from one step to the next, in an order that a seed gives."""

    def __init__(self, seed: int, actors: int) -> None:
        self._draw, self._alive = random.Random(seed), actors
        self._waiting: list[int] = []
        self._next: int | None = None
        self._change = threading.Condition()
        self._mine = threading.local()
        self.steps = 0

    def run(self, number: int, actor: Actor) -> None:
        """Is a thread's body."""
        self._mine.number = number
        self.step()
        try:
            actor()
        finally:
            with self._change:
                self._alive -= 1
                self._choose()

    def step(self) -> None:
        """Waits for its turn; in other threads it does nothing."""
        if (number := getattr(self._mine, "number", None)) is None:
            return
        with self._change:
            self._waiting.append(number)
            self._choose()
            assert self._change.wait_for(lambda: self._next == number, timeout=60)
            self._next = None
            self._waiting.remove(number)
            self.steps += 1

    def _choose(self) -> None:
        if self._waiting and len(self._waiting) == self._alive:
            self._next = self._draw.choice(sorted(self._waiting))
            self._change.notify_all()


@contextmanager
def in_turns(monkeypatch: pytest.MonkeyPatch, turns: Turns) -> Iterator[None]:
    """Makes every rename and every touch of a file a step, before and after it."""
    with monkeypatch.context() as patch:
        for name in ("rename", "utime"):
            patch.setattr(os, name, _stepping(getattr(os, name), turns))
        yield


def _stepping(call: Callable[..., None], turns: Turns) -> Callable[..., None]:
    def stepped(*arguments: object, **more: object) -> None:
        turns.step()
        call(*arguments, **more)
        turns.step()

    return stepped


def interleave(folder: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Runs two writers and two collections in one of their orders; returns how many steps that took."""
    turns, kept, draw = Turns(seed, 3), dict[str, int](), random.Random(seed)
    with Store.open(folder, write=True) as store:
        places = [CheckpointStore(folder) for _ in range(2)]
        for place in places:
            place.blobs.refresh()  # opens the index, under a lock of its own, before anybody waits

        def collect() -> None:
            for _ in range(2):
                held = HeldCollection(store, grace_seconds=GRACE)
                turns.step()
                held.sweep()

        def write(place: CheckpointStore, first: int) -> Actor:
            wanted = [(draw.choice((0, 8, 9)), draw.choice((1, 7, first))) for _ in range(2)]

            def saving() -> None:
                for seed_of, epoch in wanted:
                    digest = save(place, seed=seed_of, epoch=epoch, shared=draw.choice((0, 1, 2)))
                    turns.step()
                    store.journal.append([saved(digest, seed=20 + len(kept), epoch=epoch)])
                    kept[digest] = epoch

            return saving

        actors = [collect, write(places[0], 4), write(places[1], 5)]
        with in_turns(monkeypatch, turns):
            threads = [threading.Thread(target=turns.run, args=(n, actor)) for n, actor in enumerate(actors)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
                assert not thread.is_alive()
        assert kept
        for digest in kept:
            store.checkpoints.load(digest)
        for place in places:
            place.close()
    assert check(folder).clean, seed
    return turns.steps


@pytest.mark.parametrize("times", [FEW, pytest.param(MANY, marks=[pytest.mark.faults, pytest.mark.timeout(900)])])
def test_in_whatever_order_writers_and_a_collection_come_no_live_block_is_lost(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    orders = set()
    for seed in range(times):
        copy = tmp_path / str(seed)
        shutil.copytree(folder, copy)
        age(copy)
        orders.add(interleave(copy, seed, monkeypatch))
        shutil.rmtree(copy)
    assert len(orders) > 1


def idle(store: Store) -> Runtime:
    """A runtime that knows a store's journal, and has neither workers nor jobs."""
    memory = Memory()
    for row in store.journal.rows():
        memory.apply(row.event.type, vars(row.event))
    return Runtime(store, memory, Resources(), Silent(), Knowledge(store))


def first_of(store: Store) -> str:
    return next(row.event.checkpoint for row in store.journal.rows())  # type: ignore[union-attr]


@pytest.mark.parametrize("why", ["evaluated", "gone on from"])
def test_a_collection_in_the_daemon_keeps_what_jobs_under_way_need_and_is_remembered(folder: Path, why: str) -> None:
    """A job on the first epoch is under way; nobody asks for anything else of it.

    Or one that was given to a worker when there was no later epoch, and has not read it yet.
    """

    async def collect(store: Store) -> set[str]:
        runtime, first = idle(store), first_of(store)
        memory, jobs = runtime.memory, runtime.scheduler.jobs
        if why == "evaluated":
            asked = Evaluate(candidate=candidate(), checkpoint=first)
            jobs[asked.key] = Job(asked.key, asked, 1)
        else:
            trained = Train(candidate=candidate(), epochs=3)
            jobs[trained.key] = Job(trained.key, trained, 1, worker="cpu-1", start=first)
        collecting = Collecting(store, runtime, 1.0)
        dry = await collecting.collect(delete=False, grace_seconds=GRACE)
        assert (dry.dry_run, dry.manifests_removed) == (True, 3)
        assert (await collecting.collect(delete=True, grace_seconds=GRACE)).manifests_removed == 2
        assert (await collecting.check()).clean
        assert memory.has(f"{0:064x}", first)
        jobs.clear()
        assert (await collecting.collect(delete=True, grace_seconds=0.0)).manifests_removed == 1
        assert not memory.has(f"{0:064x}", first)
        return set(store.checkpoints.digests())

    with Store.open(folder, write=True) as store:
        left = anyio.run(collect, store)
    assert len(left) == 2
    assert check(folder).clean


def test_a_collection_keeps_what_a_row_on_its_way_into_the_journal_names(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training to fewer epochs than before found all of them done; its outcome waits for the disk."""

    async def collect(store: Store) -> str:
        runtime, first, durable = idle(store), first_of(store), Future[int]()
        outcome, submit = succeeded(first, epochs=1), store.journal.submit
        with monkeypatch.context() as patch, anyio.fail_after(30):
            patch.setattr(store.journal, "submit", lambda events, now: durable)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(runtime._act)
                tasks.start_soon(runtime.commit, outcome)
                while not runtime.pending:
                    await anyio.lowlevel.checkpoint()
                await Collecting(store, runtime, 1.0).collect(delete=True, grace_seconds=GRACE)
                durable.set_result(submit([outcome]).result())
                while runtime.pending:
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
        return first

    with Store.open(folder, write=True) as store:
        first = anyio.run(collect, store)
        assert first in store.checkpoints.digests()
    assert check(folder).clean


@pytest.mark.parametrize("jump", [3600.0, -3600.0, 10 * 365 * 24 * 3600.0])
def test_what_was_written_a_moment_ago_is_young_however_the_clock_was_set_since(jump: float) -> None:
    wall, steady = [1_000_000.0], [50.0]
    clock = Clock(lambda: wall[0], lambda: steady[0])
    for _ in range(30):
        wall[0], steady[0] = wall[0] + 60, steady[0] + 60
        clock.read()
    written = wall[0]
    wall[0], steady[0] = wall[0] + jump, steady[0] + 1
    assert clock.before(600.0) <= written - 600.0 - max(0.0, -jump) + 1.0
    for _ in range(11):
        wall[0], steady[0] = wall[0] + 60, steady[0] + 60
        clock.read()
    if jump > 0:
        assert written < clock.before(600.0), "and old in the end"
