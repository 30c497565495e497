"""Clocks that jump, and a machine that sleeps: nothing is taken for hung, and the order is that of the sequence."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from store.journal import Journal
from store.records.events import AttemptFailed, CheckpointSaved
from tests.faults import serving
from tests.faults.serving import Daemon
from tests.system import harness

pytestmark = pytest.mark.timeout(240)

LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
)
HANG_SECONDS = 10.0


def faked(clock: Path, *, monotonic: bool) -> dict[str, str]:
    """The environment in which a process reads its clocks as a file says."""
    library = next((name for name in LIBRARIES if os.path.exists(name)), None)
    if library is None or shutil.which("faketime") is None:
        pytest.skip("faketime is not installed")
    clock.write_text("+0\n")
    given = {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"}
    return given | {
        "FAKETIME_DONT_FAKE_MONOTONIC": "0" if monotonic else "1",
        "DONT_FAKE_MONOTONIC": "0" if monotonic else "1",
    }


@pytest.mark.system
@pytest.mark.parametrize(
    ("jumps", "monotonic"),
    [
        (("+3600", "+0", "-3600", "+0", "+10y", "+0", "-10y", "+0"), False),
        # A monotonic clock never goes back; that it leaps is what a machine that slept may look like.
        (("+3600", "+7200", "+10y"), True),
    ],
    ids=["wall", "monotonic"],
)
def test_clocks_that_jump_by_hours_and_years_disturb_nothing(
    tmp_path: Path, jumps: tuple[str, ...], monotonic: bool
) -> None:
    """Scenario 30."""
    reference = tmp_path / "reference"
    spec = serving.spec(tmp_path, "cells", candidates=10, epoch_seconds=0.6)
    harness.run(spec, reference)
    clock = tmp_path / "clock"
    limits = {"hang_seconds": HANG_SECONDS, "stop_seconds": HANG_SECONDS}
    with Daemon(tmp_path, limits=limits, env=faked(clock, monotonic=monotonic)) as daemon:
        search = daemon.submit(spec)
        for jump in jumps:
            before = saves(daemon.store)
            daemon.until(lambda before=before: saves(daemon.store) > before or daemon.status(search) == "finished")
            clock.write_text(f"{jump}\n")
        daemon.until_ended(search)
        assert daemon.get("/v1/health")["status"] == "ok"
        assert daemon.stop() == 0
    failed = [event for event in harness.events(daemon.store) if isinstance(event, AttemptFailed)]
    assert failed == []
    assert harness.result(daemon.store) == harness.result(reference)
    journal = Journal(daemon.store, read_only=True)
    rows = [(row.sequence, row.time) for row in journal.rows()]
    journal.close()
    assert [sequence for sequence, _ in rows] == list(range(1, len(rows) + 1))
    times = [time for _, time in rows]
    assert max(times) - min(times) > 3000, "the daemon saw the jumps"
    assert times != sorted(times) or monotonic, "time went back, the order did not"
    serving.assert_clean(daemon.store)


def saves(store: Path) -> int:
    return sum(isinstance(event, CheckpointSaved) for event in harness.events(store))


def test_a_machine_that_slept_kills_no_worker_when_it_wakes(tmp_path: Path) -> None:
    """Scenario 31: daemon and workers stand still for longer than a worker may be silent, and go on together."""
    hang = 6.0
    with Daemon(tmp_path, limits={"hang_seconds": hang}) as daemon:
        search = daemon.submit(serving.spec(tmp_path, "cells", candidates=4, epoch_seconds=2.0))
        daemon.until(lambda: [one["busy"] for one in daemon.get("/v1/devices")] == [2])
        asleep = [*daemon.workers(), *harness.processes_of(daemon.store)]
        pids = {daemon.pid, *(process.pid for process in asleep)}
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(hang + 1.0)  # the very thing that is tested: time goes by, and nobody can notice
        for pid in sorted(pids):  # the daemon, which has the lowest pid, first: it finds its workers silent
            os.kill(pid, signal.SIGCONT)
        daemon.until_ended(search)
        assert not [event for event in harness.events(daemon.store) if isinstance(event, AttemptFailed)]
        assert daemon.stop() == 0
    serving.assert_clean(daemon.store)
