"""SIGKILL at any moment: the search ends as if nothing had happened."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from store.journal import Journal
from store.records.events import CheckpointSaved, JobStarted, JobSucceeded, WorkerEnded
from tests.system import harness

KILLS = 30


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the search that nobody disturbed."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    harness.run(harness.econas(folder), folder / "store")
    return folder / "store"


def kill_after(process: subprocess.Popen[str], seconds: float) -> bool:
    """Kills a run so long after its first line; False if it had ended by itself."""
    assert process.stderr is not None
    process.stderr.readline()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True
    return False


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


def test_a_search_killed_thirty_times_ends_as_if_it_had_not_been(tmp_path: Path, uninterrupted: Path) -> None:
    """Guards the promise of the whole design: recovery is a normal start."""
    rng = random.Random(0)
    store, spec, kills = tmp_path / "store", harness.econas(tmp_path), 0
    while kills < KILLS:
        process = harness.start(spec, store)
        if not kill_after(process, rng.uniform(0.0, 0.12)):
            break
        kills += 1
        harness.assert_none_left(store)
    ended = harness.run(spec, store)
    assert kills == KILLS, f"the search ended after {kills} kills: make it longer"
    assert ended["status"] == "finished"
    assert_same_search(store, uninterrupted)
    assert max(harness.epochs_committed(store).values()) == 1, "an epoch was trained again after its commit"
    assert '"problems": []' in harness.coldframe("check", "--store", str(store), "--json")
    harness.assert_none_left(store)


def test_a_kill_loses_no_more_than_checkpoint_seconds_of_work(tmp_path: Path) -> None:
    """With epochs of four seconds, and a checkpoint every half second, no worker loses more than that and a step."""
    spec = harness.econas(tmp_path, epoch_seconds=4.0, checkpoint_seconds=0.5)
    store = tmp_path / "store"
    process = harness.start(spec, store)
    assert kill_after(process, 3.0)
    killed = harness.now()
    lost = {job: killed - time for job, time in newest_work(store).items()}
    assert len(lost) == 2
    step = 4.0 / 4
    assert max(lost.values()) < 0.5 + step + 0.5
    resumed = harness.start(spec, store)
    assert kill_after(resumed, 1.5)
    starts = [event for event in harness.events(store) if isinstance(event, JobStarted) and event.attempt == 2]
    assert starts
    assert all(event.checkpoint is not None and (event.epoch, event.step) > (0, 0) for event in starts)


def test_workers_killed_at_random_moments_change_nothing(tmp_path: Path, uninterrupted: Path) -> None:
    rng = random.Random(1)
    store, spec = tmp_path / "store", harness.econas(tmp_path, epoch_seconds=0.05)
    reference = tmp_path / "reference"
    harness.run(spec, reference)
    process = harness.start(spec, store)
    killed = 0
    while process.poll() is None and killed < 6:
        try:
            process.wait(rng.uniform(0.2, 0.6))
        except subprocess.TimeoutExpired:
            workers = [p for p in harness.processes_of(store) if "trainers.worker" in p.cmdline()]
            if workers:
                rng.choice(workers).kill()
                killed += 1
    assert harness.finish(process)["status"] == "finished"
    ended = [event for event in harness.events(store) if isinstance(event, WorkerEnded) and "SIGKILL" in event.cause]
    assert len(ended) >= 3
    assert_same_search(store, reference)
    assert max(harness.epochs_committed(store).values()) == 1
    harness.assert_none_left(store)
