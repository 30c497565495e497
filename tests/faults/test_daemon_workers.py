"""What happens to workers under a running daemon: orphans, zombies, crashes, numbers that are not finite."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from store.records.events import AnyEvent, AttemptFailed, JobFailed, JobStarted, JobSucceeded
from tests.faults import serving
from tests.faults.serving import Daemon
from tests.system import harness

pytestmark = pytest.mark.timeout(200)

FAULT = """
[[faults]]
kind = "{kind}"
epoch = 1
attempts = {attempts}
every = 3
"""
EPOCH_SECONDS = 0.5  # part of the candidates, so of the result
LONG = {"candidates": 4, "epochs": 2, "epoch_seconds": 20.0}


def at_work(daemon: Daemon, count: int = 2) -> list[psutil.Process]:
    """Waits until so many workers have a job that made a step; returns them."""
    daemon.until(lambda: [one["busy"] for one in daemon.get("/v1/devices")] == [count])
    return daemon.workers()


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The result of the search that nobody disturbed, and its final checkpoints."""
    folder = tmp_path_factory.mktemp("reference")
    harness.run(serving.spec(folder, "cells", epoch_seconds=EPOCH_SECONDS), folder / "store")
    return {"result": harness.result(folder / "store"), "checkpoints": harness.checkpoints(folder / "store")}


def assert_as_undisturbed(daemon: Daemon, reference: dict[str, object]) -> None:
    assert daemon.stop() == 0
    assert harness.result(daemon.store) == reference["result"]
    assert harness.checkpoints(daemon.store) == reference["checkpoints"]
    serving.assert_clean(daemon.store)


def test_workers_are_gone_within_ten_seconds_of_the_daemons_death_and_the_search_goes_on(tmp_path: Path) -> None:
    """Scenario 8: what the kernel does for it (`PR_SET_PDEATHSIG`), also for a worker that stands still."""
    daemon = Daemon(tmp_path).start()
    search = daemon.submit(serving.spec(tmp_path, "cells", **LONG))
    workers = at_work(daemon)
    os.kill(workers[0].pid, signal.SIGSTOP)
    before = time.monotonic()
    daemon.kill()
    gone, alive = psutil.wait_procs(workers, timeout=10.0)
    assert not alive, f"after {time.monotonic() - before:.1f} s: {alive}"
    assert len(gone) == 2
    with daemon:
        assert daemon.status(search) == "running"
        daemon.until_events(lambda seen: [e for e in seen if isinstance(e, JobStarted) and e.attempt == 2])


@pytest.mark.system
def test_a_worker_that_the_kernel_does_not_end_leaves_when_its_socket_closes(tmp_path: Path) -> None:
    """Scenario 8 without the kernel's help: strace has `prctl` do nothing, and say that it did."""
    before = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=prctl", "-e", "inject=prctl:retval=0"]
    daemon = Daemon(tmp_path, before=before).start()
    daemon.submit(serving.spec(tmp_path, "cells", **LONG))
    workers = at_work(daemon)
    os.kill(daemon.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(workers, timeout=10.0)
    assert not alive
    daemon.ended()


@pytest.mark.system
@pytest.mark.faults
def test_a_worker_that_outlives_its_daemon_is_gone_before_the_next_one_starts_another(tmp_path: Path) -> None:
    """Scenario 8: it neither hears of its parent's death nor of its socket's end, for it stands still."""
    before = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=prctl", "-e", "inject=prctl:retval=0"]
    daemon = Daemon(tmp_path, before=before).start()
    daemon.submit(serving.spec(tmp_path, "cells", **LONG))
    (still, *_) = at_work(daemon)
    os.kill(still.pid, signal.SIGSTOP)
    os.kill(daemon.pid, signal.SIGKILL)
    assert still.is_running()
    again = Daemon(tmp_path)
    again.spawn()
    seen_together = False
    limit = time.monotonic() + 60.0
    while time.monotonic() < limit:
        theirs = [one for one in harness.processes_of(daemon.store) if one.pid != still.pid and is_worker(one)]
        if not (still.is_running() and still.status() != psutil.STATUS_ZOMBIE):
            break
        seen_together = seen_together or bool([one for one in theirs if one.ppid() == again.process.pid])  # type: ignore[union-attr]
        time.sleep(0.02)
    assert not seen_together, "a new worker was started while the old one was there"
    assert not still.is_running() or still.status() == psutil.STATUS_ZOMBIE
    again.until(again.answers)
    at_work(again)
    again.kill()
    daemon.ended()


def is_worker(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return "trainers.worker" in process.cmdline()
    return False


@pytest.mark.faults
def test_a_worker_that_hangs_is_ended_before_its_job_is_given_to_another(
    tmp_path: Path, reference: dict[str, object]
) -> None:
    """Scenarios 9 and 10: it is stopped, its time lapses, its job goes on; let go on, it has nothing to report to."""
    with Daemon(tmp_path, limits={"hang_seconds": 1.5}) as daemon:
        search = daemon.submit(serving.spec(tmp_path, "cells", epoch_seconds=EPOCH_SECONDS))
        (hung, *_) = at_work(daemon)
        os.kill(hung.pid, signal.SIGSTOP)
        daemon.until_events(lambda seen: [e for e in seen if isinstance(e, AttemptFailed) and e.reason == "hung"])
        assert not hung.is_running() or hung.status() == psutil.STATUS_ZOMBIE
        with suppress(ProcessLookupError):
            os.kill(hung.pid, signal.SIGCONT)
        daemon.until_ended(search)
        seen = harness.events(daemon.store)
        jobs = {event.job for event in seen if isinstance(event, AttemptFailed)}
        assert all(sum(isinstance(e, JobSucceeded) and e.job == job for e in seen) == 1 for job in jobs)
        assert_as_undisturbed(daemon, reference)


@pytest.mark.faults
def test_a_worker_that_was_given_up_and_wakes_later_changes_nothing(
    tmp_path: Path, reference: dict[str, object]
) -> None:
    """Scenario 9: SIGKILL does not end it at once, as where a driver holds it; meanwhile another does its job.

    Before a job is given to another worker the socket of the first is closed, so a late result has no way to go; that a
    report of an older attempt would be dropped all the same, and counted, is in tests/orchestrator/test_scheduler.py.
    """
    with Daemon(tmp_path, limits={"hang_seconds": 1.5}, module="tests.faults.immortal") as daemon:
        search = daemon.submit(serving.spec(tmp_path, "cells", epoch_seconds=EPOCH_SECONDS))
        (hung, *_) = at_work(daemon)
        os.kill(hung.pid, signal.SIGSTOP)
        daemon.until_events(lambda seen: [e for e in seen if isinstance(e, AttemptFailed) and e.reason == "hung"])
        job = next(e.job for e in harness.events(daemon.store) if isinstance(e, AttemptFailed) and e.reason == "hung")
        daemon.until_events(lambda seen: starts_of(job, seen) == 2)
        assert hung.status() == psutil.STATUS_STOPPED, "it is still there"
        os.kill(hung.pid, signal.SIGCONT)
        assert psutil.wait_procs([hung], timeout=10.0)[1] == [], "it leaves when it finds its socket closed"
        daemon.until_ended(search)
        assert sum(isinstance(e, JobSucceeded) and e.job == job for e in harness.events(daemon.store)) == 1
        assert_as_undisturbed(daemon, reference)


def starts_of(job: str, seen: list[AnyEvent]) -> int:
    return sum(isinstance(event, JobStarted) and event.job == job for event in seen)


@pytest.mark.parametrize("kind", ["segfault", "abort"])
@pytest.mark.faults
def test_a_worker_that_crashes_is_replaced_and_the_story_has_its_last_words(
    tmp_path: Path, reference: dict[str, object], kind: str
) -> None:
    """Scenario 16."""
    more = FAULT.format(kind="segfault", attempts=1) if kind == "segfault" else ""
    with Daemon(tmp_path) as daemon:
        search = daemon.submit(serving.spec(tmp_path, "cells", epoch_seconds=EPOCH_SECONDS, more=more))
        if kind == "abort":
            os.kill(at_work(daemon)[0].pid, signal.SIGABRT)
        daemon.until_ended(search)
        failed = [event for event in harness.events(daemon.store) if isinstance(event, AttemptFailed)]
        assert failed
        first = failed[0]
        assert first.reason == "crashed"
        signal_name, words = ("SIGSEGV", "Segmentation fault") if kind == "segfault" else ("SIGABRT", "Aborted")
        assert signal_name in first.message
        assert f"Fatal Python error: {words}" in first.message, "what faulthandler wrote to its standard error"
        story = json.dumps(daemon.get(f"/v1/jobs/{first.job}/story"))
        assert signal_name in story
        assert words in story
        assert f"Fatal Python error: {words}" in daemon.http.get(f"/v1/jobs/{first.job}/log").text
        assert_as_undisturbed(daemon, reference)


@pytest.mark.faults
def test_a_loss_that_is_not_finite_is_a_value_and_no_error(tmp_path: Path) -> None:
    """Scenario 15: no second try, the strategy sees it, and no NaN reaches ranking or JSON."""
    more = FAULT.format(kind="nan", attempts=9)
    with Daemon(tmp_path) as daemon:
        search = daemon.submit(serving.spec(tmp_path, "cells", epoch_seconds=0.0, more=more))
        daemon.until_ended(search)
        seen = harness.events(daemon.store)
        diverged = [event for event in seen if isinstance(event, JobFailed)]
        assert {event.outcome.reason for event in diverged} == {"diverged"}
        jobs = {event.job for event in diverged}
        assert jobs
        assert all(sum(isinstance(e, JobStarted) and e.job == job for e in seen) == 1 for job in jobs), "no retry"
        for path in (f"/v1/searches/{search}", f"/v1/searches/{search}/result", f"/v1/searches/{search}/rungs"):
            text = daemon.http.get(path).text
            json.loads(text, parse_constant=refuse)
        found = harness.result(daemon.store)
        assert all(one["accuracy"] is None for one in found["history"] if one["failure"])
        assert all(one["accuracy"] is not None for one in found["best"])


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")
