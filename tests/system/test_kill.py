"""SIGKILL at any moment: the search ends as if nothing had happened."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import pytest

from store.journal import Journal
from store.records.events import AnyEvent, AttemptFailed, CheckpointSaved, JobStarted, JobSucceeded, WorkerStarted
from tests.system import harness

SLACK = 1.0  # for a machine that is busy with other things
# Long enough that thirty lives of a second or so do not finish it.
LONG = {"cycles": 6, "epoch_seconds": 0.2}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the search that nobody disturbed."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    harness.run(harness.econas(folder, **LONG), folder / "store", "--workers", "4")
    return folder / "store"


def survives(process: subprocess.Popen[str], seconds: float) -> bool:
    """Kills a run so long after its first line; true if it had ended by itself."""
    assert process.stderr is not None
    process.stderr.readline()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        harness.kill(process)
        return False
    return True


def newest_work(store: Path) -> dict[str, float]:
    """When each job that had not ended last had something committed."""
    journal = Journal(store, read_only=True)
    latest: dict[str, float] = {}
    for row in journal.rows():
        if isinstance(row.event, JobStarted | CheckpointSaved):
            latest[row.event.job] = row.time
        elif isinstance(row.event, JobSucceeded):
            latest.pop(row.event.job, None)
    journal.close()
    return latest


def assert_same_search(store: Path, reference: Path) -> None:
    assert harness.result(store) == harness.result(reference)
    assert harness.checkpoints(store) == harness.checkpoints(reference)
    assert set(harness.epochs_committed(store)) == set(harness.epochs_committed(reference))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kills", [6, pytest.param(30, marks=pytest.mark.faults)])
def test_a_search_killed_again_and_again_ends_as_if_it_had_not_been(
    tmp_path: Path, uninterrupted: Path, kills: int
) -> None:
    """Guards the promise of the whole design: recovery is a normal start."""
    rng = random.Random(0)
    store, spec = tmp_path / "store", harness.econas(tmp_path, **LONG)
    for done in range(kills):
        process = harness.start(spec, store)
        assert not survives(process, rng.uniform(0.0, 1.2)), f"it ended after {done} kills: make it longer"
        harness.assert_none_left(store)
    assert harness.run(spec, store, "--workers", "4")["status"] == "finished"
    assert_same_search(store, uninterrupted)
    assert_sound(store)


@pytest.mark.slow
def test_workers_killed_at_random_moments_change_nothing(tmp_path: Path, uninterrupted: Path) -> None:
    rng = random.Random(1)
    store = tmp_path / "store"
    # On a busy machine a job is long at work, and may be struck more often than the usual retries allow.
    spec = harness.econas(tmp_path, **LONG, more="retries = 20\n")
    process = harness.start(spec, store, "--workers", "4")
    for _ in range(12):
        try:
            process.wait(rng.uniform(0.2, 0.8))
        except subprocess.TimeoutExpired:
            greeted = {event.pid for event in harness.events(store) if isinstance(event, WorkerStarted)}
            workers = [found for found in harness.processes_of(store) if found.pid in greeted]
            if workers:
                rng.choice(workers).kill()
    assert harness.finish(process)["status"] == "finished"
    deaths = [event for event in harness.events(store) if isinstance(event, AttemptFailed)]
    assert len(deaths) >= 3
    assert_same_search(store, uninterrupted)
    assert_sound(store)


def test_a_kill_loses_no_more_than_checkpoint_seconds_of_work(tmp_path: Path) -> None:
    """With epochs of four seconds, and a checkpoint every half second, no worker loses more than that and a step."""
    spec, store = harness.econas(tmp_path, epoch_seconds=4.0, checkpoint_seconds=0.5), tmp_path / "store"
    process = harness.start(spec, store)
    harness.wait_for(process, store, lambda seen: sum(isinstance(event, CheckpointSaved) for event in seen) == 4)
    killed = harness.now()
    harness.kill(process)
    lost = {job: killed - time for job, time in newest_work(store).items()}
    assert len(lost) == 2
    step = 4.0 / 4
    assert max(lost.values()) < 0.5 + step + SLACK
    again = harness.start(spec, store)
    harness.wait_for(again, store, lambda seen: len(second_attempts(seen)) == 2)
    harness.kill(again)
    assert all(event.checkpoint is not None for event in second_attempts(harness.events(store)))


def second_attempts(seen: list[AnyEvent]) -> list[JobStarted]:
    return [event for event in seen if isinstance(event, JobStarted) and event.attempt == 2]


def assert_sound(store: Path) -> None:
    """No epoch was trained again after its commit, the store is clean, and no process is left."""
    assert max(harness.epochs_committed(store).values()) == 1
    assert json.loads(harness.coldframe("check", "--store", str(store), "--json"))["problems"] == []
    harness.assert_none_left(store)
