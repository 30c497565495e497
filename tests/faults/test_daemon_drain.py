"""SIGTERM under load: workers save and stop, the daemon leaves with 0 within its limit, and nothing is lost."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from store.records.events import AttemptFailed, CheckpointSaved, JobStarted, JobStopped
from tests.faults import serving
from tests.faults.serving import Daemon
from tests.system import harness

pytestmark = pytest.mark.timeout(200)
DRAIN_SECONDS = 20.0


@pytest.mark.faults
def test_sigterm_under_load_leaves_in_time_and_the_next_daemon_goes_on(tmp_path: Path) -> None:
    """Scenario 32: three searches, more jobs than workers, epochs of minutes."""
    daemon = Daemon(tmp_path, workers=3, limits={"drain_seconds": DRAIN_SECONDS}).start()
    specs = [serving.spec(tmp_path, f"cells-{n}", seed=n, epoch_seconds=60.0) for n in range(3)]
    searches = [daemon.submit(spec) for spec in specs]
    daemon.until(lambda: [one["busy"] for one in daemon.get("/v1/devices")] == [3])
    daemon.until_events(lambda seen: sum(isinstance(event, CheckpointSaved) for event in seen) >= 3)
    before = time.monotonic()
    assert daemon.stop(DRAIN_SECONDS + 5.0) == 0
    assert time.monotonic() - before < DRAIN_SECONDS
    harness.assert_none_left(daemon.store, 0.5)
    seen = harness.events(daemon.store)
    stopped = [event.job for event in seen if isinstance(event, JobStopped)]
    assert len(stopped) == 3
    assert not [event for event in seen if isinstance(event, AttemptFailed)]
    with daemon:
        assert {daemon.status(search) for search in searches} <= {"running", "preparing"}
        daemon.until_events(lambda now: len(again(now, stopped)) == 3)
        assert all(event.checkpoint is not None for event in again(harness.events(daemon.store), stopped))
        daemon.stop(DRAIN_SECONDS + 5.0)
    serving.assert_clean(daemon.store)


def again(seen: list[object], jobs: list[str]) -> list[JobStarted]:
    return [event for event in seen if isinstance(event, JobStarted) and event.attempt == 2 and event.job in jobs]


def test_a_second_sigterm_is_as_kill_9_and_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    """Scenario 32: the workers stand still, so the drain would take its time."""
    daemon = Daemon(tmp_path, limits={"drain_seconds": 60.0, "stop_seconds": 50.0}).start()
    search = daemon.submit(serving.spec(tmp_path, "cells", candidates=4, epoch_seconds=3.0))
    daemon.until_events(lambda seen: sum(isinstance(event, CheckpointSaved) for event in seen) >= 2)
    for worker in daemon.workers():
        os.kill(worker.pid, signal.SIGSTOP)
    daemon.signal(signal.SIGTERM)
    daemon.until(lambda: daemon.get("/v1/health")["status"] == "draining")
    before = time.monotonic()
    assert daemon.stop(10.0) == -signal.SIGKILL
    assert time.monotonic() - before < 5.0
    harness.assert_none_left(daemon.store)
    with daemon:
        daemon.until_ended(search)
        daemon.stop()
    assert max(harness.epochs_committed(daemon.store).values()) == 1, "nothing was trained twice after its commit"
    serving.assert_clean(daemon.store)


@pytest.mark.faults
def test_a_drain_that_takes_too_long_is_cut_short(tmp_path: Path) -> None:
    """Scenario 32: workers that do not answer to the request to stop do not keep the daemon past its limit."""
    limit = 4.0
    daemon = Daemon(tmp_path, limits={"drain_seconds": limit, "stop_seconds": 60.0}).start()
    daemon.submit(serving.spec(tmp_path, "cells", candidates=4, epoch_seconds=30.0))
    daemon.until(lambda: [one["busy"] for one in daemon.get("/v1/devices")] == [2])
    for worker in daemon.workers():
        os.kill(worker.pid, signal.SIGSTOP)
    before = time.monotonic()
    status = daemon.stop(limit + 20.0)
    assert time.monotonic() - before < limit + 10.0
    assert status in {0, -signal.SIGKILL}
    harness.assert_none_left(daemon.store)
