"""A daemon's searches: together, paused, stopped, extended, and those that go wrong. Real workers, no API."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from orchestrator.errors import Draining, SpecError, TotalLowered, WrongState
from orchestrator.groups import first_of
from orchestrator.reactions import Reaction
from orchestrator.serving import taken
from orchestrator.serving.daemon import Daemon
from orchestrator.serving.service import Actor, Submission
from store.errors import JournalFailed, StoreFull, StoreReadOnly
from store.records.events import (
    CheckpointSaved,
    JobStarted,
    JobStopped,
    SearchExtended,
    SearchFinished,
    SearchStarted,
)
from tests.orchestrator.serving import ANN, BOB, journal, serving, status, submission, until
from tests.system import harness

pytestmark = pytest.mark.timeout(120)


async def finished(daemon: Daemon, *searches: str) -> None:
    await until(lambda: all(status(daemon, search) == "finished" for search in searches))


def alone(folder: Path, what: Submission) -> dict[str, object]:
    """The result of a search that a daemon runs without being disturbed."""

    async def run() -> None:
        async with serving(folder) as daemon:
            await finished(daemon, (await daemon.submit(what, ANN)).search)

    anyio.run(run)
    return harness.result(folder)


def test_orders_to_running_searches_change_nothing_of_their_results(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path / "store") as daemon:
            first = await daemon.submit(submission("first", epoch_seconds=0.15), ANN)
            assert (first.new, first.status) == (True, "preparing")
            search = first.search
            await until(lambda: any(isinstance(event, CheckpointSaved) for event in journal(daemon)))
            await daemon.pause(search, BOB)
            second = await daemon.submit(submission("second", seed=2), BOB)
            await until(lambda: status(daemon, search) == "paused")
            assert daemon.why(search)[0].what == "it was paused by bob"
            await finished(daemon, second.search)
            assert any(isinstance(event, JobStopped) for event in journal(daemon))
            started = sum(isinstance(event, JobStarted) for event in journal(daemon))
            await daemon.resume(search, ANN)
            await until(lambda: sum(isinstance(event, JobStarted) for event in journal(daemon)) > started)
            resumed = [event for event in journal(daemon) if isinstance(event, JobStarted)][started]
            assert (resumed.epoch, resumed.step) > (0, 0), "it goes on from its checkpoint"
            await daemon.stop(search, ANN)
            assert status(daemon, search) == "stopped"
            with pytest.raises(WrongState):
                await daemon.pause(search, ANN)
            assert not (await daemon.submit(submission("first", epoch_seconds=0.15), ANN)).new
            await daemon.extend(search, {"candidates": 6}, ANN)
            with pytest.raises(TotalLowered):
                await daemon.extend(search, {"candidates": 5}, ANN)
            await finished(daemon, search)
            await daemon.extend(search, {"candidates": 7}, BOB)
            await finished(daemon, search)

    anyio.run(run)
    results = [event for event in harness.events(tmp_path / "store") if isinstance(event, SearchFinished)]
    assert len(results[-1].result["history"]) == 7
    undisturbed = alone(tmp_path / "other", submission("first", epoch_seconds=0.15, candidates=7))
    assert undisturbed == results[-1].result


def test_a_total_that_is_raised_just_as_a_search_ends_is_its_total(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with serving(tmp_path) as daemon, anyio.create_task_group() as tasks:
            search = (await daemon.submit(submission("late"), ANN)).search
            settle, runtime, late = daemon._runtime.settle, daemon._runtime, list[str]()

            async def after_the_order(stimulus: Callable[[], Reaction]) -> None:
                one = daemon._taken.get(search)
                if not late and one is not None and one.turn is not None and one.turn.result is not None:
                    late.append(search)
                    tasks.start_soon(daemon.extend, search, {"candidates": 6}, BOB)
                    await until(lambda: any(isinstance(event, SearchExtended) for event in journal(daemon)))
                await settle(stimulus)

            monkeypatch.setattr(runtime, "settle", after_the_order)
            await finished(daemon, search)
            assert late, "the order came between the strategy's end and its row"

    anyio.run(run)
    (end,) = [event for event in harness.events(tmp_path) if isinstance(event, SearchFinished)]
    assert len(end.result["history"]) == 6


def test_a_search_that_two_hand_in_at_once_is_new_to_one_of_them(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path) as daemon:
            submitted = list[bool]()

            async def hand_in(actor: Actor) -> None:
                submitted.append((await daemon.submit(submission("twins"), actor)).new)

            async with anyio.create_task_group() as tasks:
                for actor in (ANN, BOB):
                    tasks.start_soon(hand_in, actor)
            assert sorted(submitted) == [False, True]
            await finished(daemon, *daemon.memory.searches)

    anyio.run(run)
    kinds = [event.type for event in harness.events(tmp_path)]
    assert [kinds.count(kind) for kind in ("search_opened", "search_submitted", "search_started")] == [1, 1, 1]


def test_the_next_daemon_goes_on_with_what_was_under_way_and_leaves_what_was_paused(tmp_path: Path) -> None:
    async def first() -> tuple[str, str]:
        async with serving(tmp_path) as daemon:
            going = (await daemon.submit(submission("going", epoch_seconds=0.1), ANN)).search
            held = (await daemon.submit(submission("held", seed=2, priority=-1), ANN)).search
            await daemon.pause(held, ANN)
            await until(lambda: any(isinstance(event, CheckpointSaved) for event in journal(daemon)))
        with pytest.raises(Draining):
            await daemon.resume(held, ANN)
        return going, held

    async def second(going: str, held: str) -> None:
        async with serving(tmp_path) as daemon:
            await finished(daemon, going)
            assert status(daemon, held) == "paused"
            await daemon.resume(held, BOB)
            await finished(daemon, held)

    going, held = anyio.run(first)
    anyio.run(second, going, held)
    events = harness.events(tmp_path)
    assert [event.search for event in events if isinstance(event, SearchStarted)].count(going) == 2
    assert all(count == 1 for count in harness.epochs_committed(tmp_path).values()), "no epoch was trained twice"


def test_a_search_whose_data_are_away_when_a_daemon_starts_waits_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards a machine that boots before its network's folders are there: all searches failed, each for a person."""
    data, store = tmp_path / "images.npz", tmp_path / "store"
    data.write_bytes(b"any bytes have a digest")
    sent = submission("away", epoch_seconds=0.2)
    sent = replace(sent, raw={**sent.raw, "data": {"name": "npz", "path": str(data)}})

    async def first() -> str:
        async with serving(store) as daemon:
            return (await daemon.submit(sent, ANN)).search

    async def second(search: str) -> None:
        async with serving(store) as daemon:
            await until(lambda: "images.npz" in daemon.why(search)[0].what)
            assert status(daemon, search) == "preparing"
            assert "the next look is in" in daemon.why(search)[0].until
            data.write_bytes(b"any bytes have a digest")
            await finished(daemon, search)

    search = anyio.run(first)
    data.unlink()
    monkeypatch.setattr(taken, "FIRST_RETRY", 0.1)
    anyio.run(second, search)


def test_what_goes_wrong_with_a_search_is_that_searchs_own(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path, workers=2, search_failures=3) as daemon:
            sound = (await daemon.submit(submission("sound", epoch_seconds=0.1), ANN)).search
            with pytest.raises(SpecError, match="candidates"):
                await daemon.submit(submission("wrong", candidates=0), ANN)
            faults = '[[faults]]\nkind = "error"\nattempts = 9\n'
            stormy = await daemon.submit(submission("stormy", seed=5, candidates=20, more=faults), BOB)
            await until(lambda: status(daemon, stormy.search) == "failed")
            await until(lambda: daemon.history.searches[stormy.search].message)
            message = daemon.history.searches[stormy.search].message
            assert "4 attempts failed within 60 minutes, 3 are borne" in message
            await finished(daemon, sound)
            assert daemon.health().status == "ok"

    anyio.run(run)


@pytest.mark.parametrize(
    ("error", "word"), [(StoreFull, "full"), pytest.param(StoreReadOnly, "read only", marks=pytest.mark.faults)]
)
def test_while_the_disk_takes_nothing_orders_are_refused_and_all_goes_on_by_itself_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[StoreFull | StoreReadOnly], word: str
) -> None:
    async def run() -> None:
        async with serving(tmp_path) as daemon:
            search = (await daemon.submit(submission("dry", epoch_seconds=0.1), ANN)).search
            await until(lambda: any(isinstance(event, CheckpointSaved) for event in journal(daemon)))
            write, count = daemon.store.journal.submit, daemon.store.journal.count

            def refuse(*given: object) -> Future[int]:
                raise error(tmp_path, "no space left on device")

            monkeypatch.setattr(daemon.store.journal, "submit", refuse)
            with pytest.raises(error):
                await daemon.prioritise(search, 2.0, None, ANN)
            await until(lambda: daemon.health().status == word)
            with pytest.raises(error):
                await daemon.pause(search, ANN)
            assert daemon.memory.searches[search].paused is None, "what was refused has changed nothing"
            assert "then it goes on by itself" in daemon.why(search)[0].until
            assert daemon.store.journal.count == count
            monkeypatch.setattr(daemon.store.journal, "submit", write)
            await finished(daemon, search)
            assert daemon.health().status == "ok"

    anyio.run(run)
    assert len(harness.result(tmp_path)["history"]) == 4


def test_a_journal_that_failed_for_good_ends_the_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with serving(tmp_path) as daemon:
            search = (await daemon.submit(submission("dry", epoch_seconds=0.1), ANN)).search

            def fail(*given: object) -> Future[int]:
                raise JournalFailed(tmp_path, "fsync: input/output error")

            monkeypatch.setattr(daemon.store.journal, "submit", fail)
            await daemon.pause(search, ANN)

    with pytest.raises(BaseExceptionGroup) as caught:
        anyio.run(run)
    error = first_of(caught.value)
    assert isinstance(error, JournalFailed)
    assert error.exit_code == 74
    harness.assert_none_left(tmp_path)
