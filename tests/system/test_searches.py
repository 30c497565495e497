"""Searches as a person runs them: taken up again, extended, repeated, stopped."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from store.records.events import (
    AnyEvent,
    AttemptFailed,
    CheckpointSaved,
    JobStarted,
    JobStopped,
    JobSucceeded,
    SearchInterrupted,
)
from tests.system import harness


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """A store with a finished search, and the object that its run ended with."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, harness.run(harness.econas(folder), folder / "store")


def test_a_run_ends_with_the_best_network_and_the_totals(finished: tuple[Path, dict[str, object]]) -> None:
    _, ended = finished
    assert ended["status"] == "finished"
    best, totals = ended["best"], ended["totals"]
    assert isinstance(best, dict)
    assert isinstance(totals, dict)
    assert set(best) >= {
        "architecture", "genotype", "accuracy", "epochs", "parameters", "multiply_adds", "checkpoint",
    }  # fmt: skip
    assert set(totals) >= {
        "requests", "jobs", "attempts", "epochs_trained", "epochs_resumed_over", "memo_hits", "seconds",
    }  # fmt: skip
    # 8 at first, then 3 cycles of 4 children: 20 networks to E = 2; by then every promotion trains 2 epochs more.
    trains = totals["requests"]
    promotions = trains - 20
    assert totals["epochs_trained"] == 2 * 20 + 2 * promotions - 2 * totals["memo_hits"]
    assert totals["jobs"] == totals["attempts"] == trains - totals["memo_hits"]


def test_the_same_command_again_says_that_it_is_finished_and_trains_nothing(
    finished: tuple[Path, dict[str, object]],
) -> None:
    folder, ended = finished
    before = len(harness.events(folder / "store"))
    again = harness.run(harness.econas(folder), folder / "store")
    assert again["best"] == ended["best"]
    assert len(harness.events(folder / "store")) == before


def test_a_second_search_that_asks_for_the_same_trains_nothing_and_says_so(
    finished: tuple[Path, dict[str, object]],
) -> None:
    folder, ended = finished
    said = harness.coldframe("run", str(harness.econas(folder, name="second")), "--store", str(folder / "store"))
    assert "Nothing was trained: the store had every answer" in said
    again = harness.run(harness.econas(folder, name="second"), folder / "store")
    assert again["search"] != ended["search"]
    assert again["best"]["checkpoint"] == ended["best"]["checkpoint"]  # type: ignore[index]
    assert again["totals"]["epochs_trained"] == 0
    assert again["totals"]["memo_hits"] == again["totals"]["requests"]


def test_raising_a_total_extends_the_search_exactly_as_if_it_had_been_asked_for_at_once(
    finished: tuple[Path, dict[str, object]], tmp_path: Path
) -> None:
    folder, _ = finished
    harness.run(harness.econas(tmp_path, cycles=1), tmp_path / "store")
    extended = harness.run(harness.econas(tmp_path, cycles=3), tmp_path / "store")
    assert extended["status"] == "finished"
    assert harness.result(tmp_path / "store") == harness.result(folder / "store")
    assert harness.checkpoints(tmp_path / "store") == harness.checkpoints(folder / "store")
    assert max(harness.epochs_committed(tmp_path / "store").values()) == 1


def test_a_total_cannot_be_lowered(finished: tuple[Path, dict[str, object]]) -> None:
    folder, _ = finished
    lower = harness.econas(folder, cycles=2)
    said = harness.coldframe("run", str(lower), "--store", str(folder / "store"), expected=2)
    assert "strategy.cycles is 2" in said
    assert "3 or more" in said


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_to_all_processes_stops_workers_at_a_checkpoint_and_nothing_is_lost(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    """Ctrl-C, service managers and batch systems send a signal to the workers too; they leave it to the daemon."""
    spec = harness.econas(tmp_path, cycles=1, epoch_seconds=4.0, checkpoint_seconds=0.5)
    store = tmp_path / "store"
    process = harness.start(spec, store, start_new_session=True)
    harness.wait_for(process, store, lambda seen: len({e.job for e in seen if isinstance(e, CheckpointSaved)}) >= 2)
    os.killpg(process.pid, number)
    ended = harness.finish(process, expected=status)
    assert ended["status"] == "interrupted"
    seen = harness.events(store)
    assert any(isinstance(event, SearchInterrupted) for event in seen)
    assert not any(isinstance(event, AttemptFailed) for event in seen)
    stopped = {event.job for event in seen if isinstance(event, JobStopped)}
    assert len(stopped) == 2
    harness.assert_none_left(store)
    again = harness.start(spec, store)
    harness.wait_for(again, store, lambda seen: len(second_attempts(seen)) == 2)
    harness.kill(again)
    resumed = second_attempts(harness.events(store))
    assert {event.job for event in resumed} == stopped
    assert all(event.checkpoint is not None and event.step > 0 for event in resumed)


def second_attempts(seen: list[AnyEvent]) -> list[JobStarted]:
    return [event for event in seen if isinstance(event, JobStarted) and event.attempt == 2]


def test_a_second_daemon_on_the_store_is_refused_and_told_the_first_ones_pid(tmp_path: Path) -> None:
    spec = harness.econas(tmp_path, epoch_seconds=1.0)
    first = harness.start(spec, tmp_path / "store")
    harness.wait_for(first, tmp_path / "store", lambda seen: any(isinstance(event, JobStarted) for event in seen))
    said = harness.coldframe("run", str(spec), "--store", str(tmp_path / "store"), expected=2)
    assert str(first.pid) in said
    harness.kill(first)
    harness.assert_none_left(tmp_path / "store")


def test_the_number_of_workers_does_not_change_the_result(
    finished: tuple[Path, dict[str, object]], tmp_path: Path
) -> None:
    folder, _ = finished
    harness.run(harness.econas(tmp_path), tmp_path / "store", "--workers", "1")
    assert harness.result(tmp_path / "store") == harness.result(folder / "store")
    succeeded = [event for event in harness.events(tmp_path / "store") if isinstance(event, JobSucceeded)]
    assert len(succeeded) == len(harness.checkpoints(folder / "store"))
