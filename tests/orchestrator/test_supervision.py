"""Worker processes that hang, that do not even end, that cannot be started, or that the kernel kills."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import supervision, survivors, watchdog
from orchestrator.budget import StartBudget
from orchestrator.devices import cpu
from orchestrator.errors import WrongThread
from orchestrator.pressure import memory_kills
from orchestrator.survivors import see_out
from orchestrator.workers import WorkerProcess
from store.records.candidates import Fault
from store.records.events import AttemptFailed, DeviceLeft, WorkerStarted
from tests.orchestrator.drivers import FakeDriver, gpu
from tests.orchestrator.manning import looped, manned, played


@given(st.integers(1, 6), st.lists(st.floats(0, 40), max_size=60))
def test_no_minute_sees_more_starts_than_allowed(most: int, gaps: list[float]) -> None:
    budget, now, starts = StartBudget(most), 0.0, []
    for gap in gaps:
        now += gap
        starts.append(now + budget.take(now))
    assert starts == sorted(starts)
    for first, last in zip(starts, starts[most:], strict=False):
        assert last - first >= 60 - 1e-6


def test_starts_within_the_budget_do_not_wait() -> None:
    budget = StartBudget(2)
    assert [budget.take(now) for now in (0.0, 1.0, 2.0, 3.0, 130.0)] == [0.0, 0.0, 58.0, 58.0, 0.0]


def test_the_kernels_kills_for_want_of_memory_are_counted_where_we_are(tmp_path: Path) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "groups"
    (proc / "self").mkdir(parents=True)
    (groups / "unit").mkdir(parents=True)
    (proc / "vmstat").write_text("nr_free_pages 5\noom_kill 3\n")
    assert memory_kills(proc, groups) == 3
    (proc / "self" / "cgroup").write_text("1:cpu:/\n0::/unit\n")
    assert memory_kills(proc, groups) == 3, "a group that does not say"
    (groups / "unit" / "memory.events").write_text("low 0\noom 2\noom_kill 7\n")
    assert memory_kills(proc, groups) == 7
    assert memory_kills() >= 0


@pytest.mark.faults
@looped
async def test_a_hung_worker_is_killed_and_another_one_goes_on(tmp_path: Path) -> None:
    """Scenario 10."""
    async with manned(tmp_path, FakeDriver(cpu()), limits={"hang_seconds": 5.0}, cpu_workers=1) as here:
        job = played(0, seconds=30.0)
        here.ask(job)
        await here.until(lambda: job.key in here.seen.steps)
        (pid,) = here.runtime._supervisor.pids("cpu")
        stopped = psutil.Process(pid)
        stopped.send_signal(signal.SIGSTOP)
        await here.until(lambda: bool(here.seen.of(AttemptFailed)))
        (failed,) = here.seen.of(AttemptFailed)
        assert (failed.reason, failed.counted) == ("hung", True)
        await here.until(lambda: len(here.devices_of(job)) == 2)


@looped
async def test_a_worker_that_is_silent_but_not_deaf_leaves_its_stack_in_a_log(tmp_path: Path) -> None:
    """What SIGUSR1 is for: the scripted training is at work, and is asked where, before it is killed."""
    async with manned(tmp_path, FakeDriver(cpu()), cpu_workers=1) as here:
        job = played(0, seconds=30.0)
        here.ask(job)
        await here.until(lambda: job.key in here.seen.steps)
        here.runtime._supervisor.end("worker-0", "hung", "the worker was silent")
        await here.until(lambda: bool(here.seen.of(AttemptFailed)))
    logs = [path.read_text() for path in (tmp_path / "store" / "logs").rglob("*") if path.is_file()]
    assert any("_pass_time" in log for log in logs)


@looped
async def test_a_crash_is_told_even_if_its_gpu_leaves_service_in_that_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards a job that waited for ever for a dead worker: its seat was given up while its process was seen out."""
    ending, go_on, real = anyio.Event(), anyio.Event(), WorkerProcess.end

    async def end(self: WorkerProcess, seconds: float) -> int | None:
        ending.set()
        with anyio.CancelScope(shield=True):
            await go_on.wait()
        return await real(self, seconds)

    monkeypatch.setattr(WorkerProcess, "end", end)
    async with manned(tmp_path, FakeDriver(gpu(0), gpu(1)), workers_per_gpu=1) as here:
        job = played(0, seconds=1.0)
        here.ask(job)
        await here.until(lambda: job.key in here.seen.steps)
        (device,) = here.devices_of(job)
        (pid,) = here.runtime._supervisor.pids(device)
        os.kill(pid, signal.SIGKILL)
        await here.until(ending.is_set)
        here.fleet._keeper.leave(device, "lost", "it has fallen off the bus")
        seats = [seat for seat in here.runtime._supervisor._seats.values() if seat.device.name == device]
        await here.until(lambda: not any(seat.wanted for seat in seats))
        go_on.set()
        await here.finished(job)
        assert len(set(here.devices_of(job))) == 2


class Undead:
    """A worker's process that greets, gets a job, and then neither answers nor ends, as one that waits in a driver."""

    made: list[Undead] = []  # noqa: RUF012

    def __init__(self) -> None:
        self.pid = 2**22 + 1
        self.log = Path()
        self.signals: list[str] = []
        self._closed = anyio.Event()
        self.over = anyio.Event()
        Undead.made.append(self)

    @classmethod
    async def start(cls, *_: object, **__: object) -> Undead:
        return cls()

    def send(self, order: object) -> None:
        self.signals.append(type(order).__name__)

    async def listen(self, receive: Callable[[Any], None]) -> str:
        await self._closed.wait()
        return ""

    def dump(self) -> None:
        self.signals.append("SIGUSR1")

    def kill(self) -> None:
        self.signals.append("SIGKILL")

    def hang_up(self) -> None:
        self._closed.set()

    async def closed(self) -> None:
        await self._closed.wait()

    async def end(self, seconds: float, stuck_seconds: float = 0.0) -> int | None:
        self.kill()
        return None

    async def gone(self) -> None:
        await self.over.wait()


@pytest.fixture
def undead(monkeypatch: pytest.MonkeyPatch) -> list[Undead]:
    Undead.made = []
    real = WorkerProcess.start

    async def start(name: str, device: Any, *rest: Any, **options: Any) -> Any:
        if device.name in ("cuda:0", "cpu") and not Undead.made:
            return Undead()
        return await real(name, device, *rest, **options)

    monkeypatch.setattr(WorkerProcess, "start", start)
    monkeypatch.setattr(watchdog, "DUMP_SECONDS", 0.05)
    monkeypatch.setattr(watchdog, "STUCK_SECONDS", 0.05)
    return Undead.made


@looped
async def test_a_process_that_not_even_sigkill_ends_costs_its_gpu_and_nothing_waits_for_it(
    tmp_path: Path, undead: list[Undead]
) -> None:
    """Scenario 11: the slot is given up, the job goes on elsewhere, and a drain ends."""
    driver = FakeDriver(gpu(0), gpu(1))
    async with manned(tmp_path, driver, limits={"hang_seconds": 6.0}, workers_per_gpu=1) as here:
        jobs = [played(0), played(1)]
        here.ask(*jobs)
        await here.finished(*jobs)
        (process,) = undead
        assert process.signals[:3] == ["Assign", "SIGUSR1", "SIGKILL"]
        (left,) = here.seen.of(DeviceLeft)
        assert (left.device, left.reason) == ("cuda:0", "stuck")
        assert f"process {process.pid} of worker-" in left.message
        assert here.states()["cuda:0"].slots == 0
    assert not process.over.is_set(), "the runtime has left all the same"


@pytest.mark.faults
@looped
async def test_on_the_cpu_a_stuck_process_costs_one_slot_until_it_is_gone(tmp_path: Path, undead: list[Undead]) -> None:
    async with manned(tmp_path, FakeDriver(cpu()), limits={"hang_seconds": 6.0}, cpu_workers=2) as here:
        job = played(0, seconds=0.0)
        here.ask(job, played(1))
        await here.finished(job, played(1))
        assert here.seen.of(DeviceLeft) == []
        assert here.states()["cpu"].slots == 1
        undead[0].over.set()
        await here.until(lambda: here.states()["cpu"].slots == 2)


@looped
async def test_a_worker_that_the_kernel_kills_for_want_of_memory_lowers_the_concurrency(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scenario 17: SIGKILL that is not ours, and a higher count of such kills."""
    kills = [0]
    monkeypatch.setattr(supervision, "memory_kills", lambda: kills[0])
    async with manned(tmp_path, FakeDriver(cpu()), cpu_workers=2) as here:
        job = played(0, seconds=0.3)
        here.ask(job)
        await here.until(lambda: job.key in here.seen.steps)
        (victim,) = [name for name, slot in here.runtime.scheduler.workers.items() if slot.jobs]
        kills[0] += 1
        os.kill(here.runtime.scheduler.workers[victim].pid, signal.SIGKILL)
        await here.finished(job)
        (failed,) = here.seen.of(AttemptFailed)
        assert failed.reason == "host_memory"
        assert here.states()["cpu"].slots == 1
        assert any("one worker less" in line for line in here.seen.lines)


@pytest.mark.faults
@looped
async def test_what_the_machine_cannot_start_now_is_started_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scenario 34: no more processes, then no more open files, then there are."""
    refusals = [OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)), OSError(errno.EMFILE, os.strerror(errno.EMFILE))]
    real = WorkerProcess.start

    async def start(*args: Any, **options: Any) -> Any:
        if refusals:
            raise refusals.pop(0)
        return await real(*args, **options)

    monkeypatch.setattr(WorkerProcess, "start", start)
    monkeypatch.setattr(supervision, "RESTART_SECONDS", 0.05)
    async with manned(tmp_path, FakeDriver(cpu()), cpu_workers=1) as here:
        job = played(0)
        here.ask(job)
        await here.finished(job)
        assert [line.partition(":")[0] for line in here.seen.lines] == [
            "worker-0 cannot be started ([Errno 11] Resource temporarily unavailable)",
            "worker-0 cannot be started ([Errno 24] Too many open files)",
        ]


@pytest.mark.faults
@looped
async def test_a_retry_storm_starts_no_more_workers_than_allowed(tmp_path: Path) -> None:
    """Scenario 33, the starts: jobs that kill their worker at once."""
    fault = Fault(kind="exit", attempts=99)
    async with manned(
        tmp_path, FakeDriver(cpu()), strikes=[fault], starts_per_minute=4, cpu_workers=2, retries=50
    ) as here:
        here.ask(*(played(gene) for gene in range(6)))
        await here.until(lambda: len(here.seen.of(WorkerStarted)) == 4)
        await here.until(lambda: here.states()["cpu"].slots == 0)
        with anyio.move_on_after(1.0):
            await here.until(lambda: len(here.seen.of(WorkerStarted)) > 4)
        assert len(here.seen.of(WorkerStarted)) == 4


def test_a_worker_is_never_started_from_another_thread(tmp_path: Path) -> None:
    """Scenario 43: it would die with the thread."""
    errors: list[BaseException] = []

    async def start() -> None:
        await WorkerProcess.start("w", cpu(), tmp_path, threads=1, preload=None, log=tmp_path / "log")

    def run() -> None:
        try:
            anyio.run(start)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert isinstance(errors[0], WrongThread)


# Workers of an earlier daemon.

DEAF = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(99)"
)


def survivor(store: Path, *, module: str = "trainers.worker", gpus: str = "") -> subprocess.Popen[str]:
    """A process that looks like a worker of a store, by its command line, and does not leave by itself."""
    command = [sys.executable, "-c", DEAF, "-m", module, "--store", str(store)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"CUDA_VISIBLE_DEVICES": gpus}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def test_workers_of_an_earlier_daemon_are_waited_for_and_then_killed(tmp_path: Path) -> None:
    """Scenario 8: nothing is started beside them; those of other stores, and other programs, are let be."""
    (tmp_path / "link").symlink_to(tmp_path)
    ours = survivor(tmp_path / "link" / "store", gpus="1")
    others = [survivor(tmp_path / "other"), survivor(tmp_path / "store", module="something.else")]
    try:
        (found,) = survivors.find(tmp_path / "store")
        assert (found.pid, found.visible) == (ours.pid, "1")
        assert anyio.run(see_out, tmp_path / "store", 0.2, 60.0) == []
        assert ours.wait(60) == -signal.SIGKILL
        assert [other.poll() for other in others] == [None, None]
        assert anyio.run(see_out, tmp_path / "store") == []
    finally:
        for process in (ours, *others):
            process.kill()
            process.communicate()


def test_a_worker_that_not_even_sigkill_ends_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = survivor(tmp_path / "store", gpus="0")
    try:
        monkeypatch.setattr(signal, "pidfd_send_signal", lambda handle, number: None)
        assert [one.pid for one in anyio.run(see_out, tmp_path / "store", 0.05, 0.05)] == [left.pid]
    finally:
        left.kill()
        left.communicate()
