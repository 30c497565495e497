"""Clocks that jump, and a machine that sleeps: nothing is taken for hung, and the order is that of the sequence."""

from __future__ import annotations

import os
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

LIBRARIES = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
HANG_SECONDS = 10.0
HOUR, YEARS = 3600.0, 10 * 365.25 * 86400.0


class Disturbed:
    """A search during which the clocks jump: one jump after each checkpoint that is committed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spec = serving.spec(folder, "cells", candidates=10, epoch_seconds=0.4)
        self.clock = folder / "clock"

    def run(
        self, jumps: tuple[str, ...], env: dict[str, str], module: str = "orchestrator.cli"
    ) -> list[tuple[int, float]]:
        """Runs it, checks that nothing came of the jumps; returns the journal's sequence numbers and times."""
        harness.run(self.spec, self.folder / "reference")
        self.set(jumps[0])
        limits = {"hang_seconds": HANG_SECONDS, "stop_seconds": HANG_SECONDS}
        with Daemon(self.folder, limits=limits, env=env, module=module) as daemon:
            search = daemon.submit(self.spec)
            for jump in jumps:
                self.set(jump)
                before = saves(daemon.store)
                daemon.until(lambda before=before: saves(daemon.store) > before)
            daemon.until_ended(search)
            assert daemon.get("/v1/health")["status"] == "ok"
            assert daemon.stop() == 0
        assert [event for event in harness.events(daemon.store) if isinstance(event, AttemptFailed)] == []
        assert harness.result(daemon.store) == harness.result(self.folder / "reference")
        serving.assert_clean(daemon.store)
        journal = Journal(daemon.store, read_only=True)
        rows = [(row.sequence, row.time) for row in journal.rows()]
        journal.close()
        return rows

    def set(self, text: str) -> None:
        """Moves the clocks. A reader finds the old text or the new one."""
        fresh = self.clock.with_suffix(".new")
        fresh.write_text(f"{text}\n")
        fresh.replace(self.clock)


def assert_in_order(rows: list[tuple[int, float]], *, back: bool) -> None:
    assert [sequence for sequence, _ in rows] == list(range(1, len(rows) + 1))
    times = [time for _, time in rows]
    assert max(times) - min(times) > HOUR, "the daemon saw the jumps"
    assert not back or times != sorted(times), "time went back, and the order is that of the sequence"


@pytest.mark.parametrize(
    ("jumps", "back"),
    [
        pytest.param((f"{HOUR} 0", "0 0", f"-{HOUR} 0", f"{YEARS} 0", f"-{YEARS} 0", "0 0"), True, id="wall"),
        # A monotonic clock never goes back; that it leaps is what a machine that slept may look like.
        pytest.param((f"0 {HOUR}", f"{HOUR} {2 * HOUR}", f"{YEARS} {YEARS}"), False, id="both"),
    ],
)
@pytest.mark.faults
def test_clocks_of_all_processes_that_jump_by_hours_and_years_disturb_nothing(
    tmp_path: Path, jumps: tuple[str, ...], back: bool
) -> None:
    """Scenario 30."""
    disturbed = Disturbed(tmp_path)
    disturbed.set("0 0")
    here = Path(__file__).parent / "clocks"
    path = os.pathsep.join([str(here), *filter(None, [os.environ.get("PYTHONPATH")])])
    rows = disturbed.run(jumps, {"COLDFRAME_TEST_CLOCKS": str(disturbed.clock), "PYTHONPATH": path})
    assert_in_order(rows, back=back)


@pytest.mark.system
def test_a_wall_clock_that_jumps_under_the_whole_daemon_disturbs_nothing(tmp_path: Path) -> None:
    """Scenario 30, by libfaketime, so in SQLite and in every library too.

    Of the daemon alone, and of the wall clock alone: with libfaketime 0.9.10 `time.sleep` of Python 3.11 raises EINVAL
    where the monotonic clock is left as it is, and a wait with a time limit does not end where it is not (both tried).
    """
    library = next(iter(LIBRARIES), None)
    if library is None:
        pytest.skip("faketime is not installed")
    disturbed = Disturbed(tmp_path)
    env = {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(disturbed.clock), "FAKETIME_NO_CACHE": "1"}
    env |= {"DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    jumps = ("+3600", "+0", "-3600", "+10y", "-10y", "+0")
    assert_in_order(disturbed.run(jumps, env, "tests.faults.unpreloaded"), back=True)


def saves(store: Path) -> int:
    return sum(isinstance(event, CheckpointSaved) for event in harness.events(store))


@pytest.mark.faults
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
