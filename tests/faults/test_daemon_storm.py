"""What eats the machine: trainers that die at once, no more descriptors, no more processes."""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from store.journal import Journal
from store.records.events import AttemptFailed, CheckpointSaved, SearchFailed, WorkerStarted
from tests.faults import serving
from tests.faults.serving import Daemon
from tests.system import harness

pytestmark = pytest.mark.timeout(240)

DIES = """
[[faults]]
kind = "exit"
epoch = 0
attempts = 999
"""
STARTS = 12


@pytest.mark.faults
def test_a_trainer_that_dies_at_once_ends_its_search_and_no_other(tmp_path: Path) -> None:
    """Scenario 33."""
    limits = {"starts_per_minute": STARTS, "search_failures": 6}
    with Daemon(tmp_path, limits=limits) as daemon:
        calm = daemon.submit(serving.spec(tmp_path, "calm", candidates=6, epoch_seconds=0.1))
        storm = daemon.submit(serving.spec(tmp_path, "storm", seed=9, candidates=50, retries=50, more=DIES))
        daemon.until_ended(storm, status="failed", seconds=150.0)
        daemon.until_ended(calm)
        (failed,) = [event for event in harness.events(daemon.store) if isinstance(event, SearchFailed)]
        assert failed.search == storm
        assert "7 attempts failed within 60 minutes, 6 are borne" in failed.message
        assert "crashed" in failed.message
        assert daemon.get("/v1/health")["status"] == "ok"
        assert daemon.stop() == 0
    times = starts(daemon.store)
    most = max(sum(1 for other in times if time <= other < time + 60.0) for time in times)
    assert most <= STARTS, f"{most} workers were started within a minute"
    attempts = [event for event in harness.events(daemon.store) if isinstance(event, AttemptFailed)]
    assert len({event.job for event in attempts}) > 1, "its jobs take turns, each waits longer after each failure"


def starts(store: Path) -> list[float]:
    """When workers were started, on a clock that the machine does not set meanwhile."""
    journal = Journal(store, read_only=True)
    times = [row.time for row in journal.rows(types=["worker_started"])]
    journal.close()
    return times


@contextmanager
def no_more_files(pid: int) -> Iterator[None]:
    """Leaves a process the descriptors that it has, and not one more."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(highest, len(os.listdir(f"/proc/{pid}/fd"))), before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@pytest.mark.faults
def test_without_descriptors_nothing_new_starts_the_journal_goes_on_and_it_recovers(tmp_path: Path) -> None:
    """Scenario 34: the descriptors run out while a worker has to be replaced."""
    reference = tmp_path / "reference"
    spec = serving.spec(tmp_path, "cells", candidates=10, epoch_seconds=0.8, retries=5)
    harness.run(spec, reference)
    with Daemon(tmp_path) as daemon:
        search = daemon.submit(spec)
        daemon.until(lambda: [one["busy"] for one in daemon.get("/v1/devices")] == [2])
        with no_more_files(daemon.pid):
            killed = daemon.workers()[0]
            os.kill(killed.pid, signal.SIGKILL)
            daemon.until(lambda: "cannot be started" in log(daemon))
            saved, begun = count(daemon.store, CheckpointSaved), count(daemon.store, WorkerStarted)
            daemon.until(lambda: count(daemon.store, CheckpointSaved) >= saved + 2)
            assert count(daemon.store, WorkerStarted) == begun
            # Those who knock meanwhile are not let in, and do no harm.
            for _ in range(20):
                knock(daemon)
        daemon.until(lambda: count(daemon.store, WorkerStarted) > begun)
        daemon.until_ended(search)
        assert daemon.stop() == 0
    assert harness.result(daemon.store) == harness.result(reference)
    serving.assert_clean(daemon.store)


@pytest.mark.system
@pytest.mark.faults
def test_without_processes_nothing_new_starts_and_it_recovers(tmp_path: Path) -> None:
    """Scenario 34: the kernel refuses to make processes for a while (EAGAIN), as at a limit of processes."""
    # Where `vfork` fails, Python tries `fork`, which is `clone` to the kernel; threads are `clone3`.
    refused = ["-e", "inject=vfork:error=EAGAIN:when=3..6", "-e", "inject=clone:error=EAGAIN:when=1..4"]
    before = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=vfork,clone", *refused]
    daemon = Daemon(tmp_path, before=before).start()
    search = daemon.submit(serving.spec(tmp_path, "cells", candidates=6, epoch_seconds=0.5, retries=5))
    daemon.until(lambda: [one["busy"] for one in daemon.get("/v1/devices")] == [2])
    begun = count(daemon.store, WorkerStarted)
    os.kill(daemon.workers()[0].pid, signal.SIGKILL)
    daemon.until(lambda: "cannot be started" in log(daemon))
    daemon.until(lambda: count(daemon.store, WorkerStarted) > begun)
    daemon.until_ended(search)
    os.kill(daemon.pid, signal.SIGTERM)
    assert daemon.ended() == 0
    serving.assert_clean(daemon.store)


def knock(daemon: Daemon) -> None:
    """Connects, if it is let."""
    with socket.socket(socket.AF_UNIX) as knocking:
        knocking.settimeout(0.05)
        try:
            knocking.connect(str(daemon.told()["socket"]))
        except OSError:
            return


def log(daemon: Daemon) -> str:
    """What the daemon wrote, to its log and to whoever started it."""
    path = daemon.store / "logs" / "daemon.jsonl"
    return daemon.said() + (path.read_text() if path.exists() else "")


def count(store: Path, kind: type) -> int:
    return sum(isinstance(event, kind) for event in harness.events(store))
