"""NVIDIA's Multi-Process Service, with a made-up control program that notes what it is told and can be made to die."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import psutil
import pytest

from orchestrator.devices import cpu, mps
from orchestrator.devices.mps import LOGS, PIPES, Mps
from orchestrator.errors import EndpointUnusable
from store.records.events import AttemptFailed, WorkerStarted
from tests.orchestrator.drivers import FakeDriver, gpu
from tests.orchestrator.manning import looped, manned, played

CONTROL = """#!/bin/sh
# Told by its arguments and its input; a daemon is alive as long as there is a file `alive` beside it.
here=$(dirname "$0")
read -r order
echo "$* $order|$CUDA_MPS_PIPE_DIRECTORY|$CUDA_MPS_LOG_DIRECTORY" >> "$here/calls"
case "$*$order" in
-d*) [ -e "$here/broken" ] && { echo "An instance of this daemon is already running"; exit 1; }
     touch "$here/alive" ;;
quit) [ -e "$here/alive" ] && rm "$here/alive" ;;
get_server_list) [ -e "$here/hangs" ] && exec sleep 60; [ -e "$here/alive" ] ;;
esac
"""
LIMIT_SECONDS = 30.0


class Control:
    """The made-up program."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        folder.mkdir()
        program = folder / mps.CONTROL
        program.write_text(CONTROL)
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setattr(mps, "LOOK_SECONDS", 0.05)
        monkeypatch.setattr(mps, "LONGEST_FOLDER", 4096)  # it makes no sockets, and pytest's folders are deep

    @property
    def told(self) -> list[str]:
        """What it was told, without being asked whether it is there."""
        lines = (self.folder / "calls").read_text().splitlines() if (self.folder / "calls").exists() else []
        return [words for line in lines if (words := line.partition("|")[0].strip()) != "get_server_list"]

    def is_alive(self) -> bool:
        return (self.folder / "alive").exists()

    def die(self) -> None:
        (self.folder / "alive").unlink()

    def breaks(self) -> None:
        (self.folder / "broken").touch()


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Control:
    return Control(tmp_path / "bin", monkeypatch)


class Failures:
    """What was said of its failures."""

    def __init__(self) -> None:
        self.said: list[tuple[str, bool]] = []

    async def __call__(self, why: str, again: bool) -> None:
        self.said.append((why, again))


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(LIMIT_SECONDS):
        while not condition():  # noqa: ASYNC110  (it is another process that changes it)
            await anyio.sleep(0.01)


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[Mps, Failures]]:
    failures = Failures()
    service = Mps(folder / "run", folder / "logs", failures)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(service.run)
        yield service, failures
        tasks.cancel_scope.cancel()


@looped
async def test_it_is_started_with_folders_of_its_own_and_ended(tmp_path: Path, control: Control) -> None:
    async with serving(tmp_path) as (service, failures):
        variables = await service.environment(gpu(0))
        assert control.is_alive()
        assert variables == {PIPES: str(tmp_path / "run" / "mps"), LOGS: str(tmp_path / "logs" / "mps")}
        assert (tmp_path / "run" / "mps").stat().st_mode & 0o777 == 0o700
        assert await service.environment(cpu()) == {}
        assert failures.said == []
    assert control.told == ["quit", "-d", "quit"], "one that was left behind is ended first"
    assert not control.is_alive()
    assert not (tmp_path / "run" / "mps").exists()


@looped
async def test_when_it_dies_it_is_started_once_more_and_then_done_without(tmp_path: Path, control: Control) -> None:
    """Scenario 14."""
    async with serving(tmp_path) as (service, failures):
        await service.environment(gpu(0))
        control.die()
        await until(lambda: failures.said == [("MPS had died and was started again", True)])
        assert await service.environment(gpu(0))
        control.die()
        await until(lambda: len(failures.said) == 2)
        assert failures.said[1] == ("MPS died again", False)
        assert await service.environment(gpu(0)) == {}
        assert control.told.count("-d") == 2


@looped
async def test_one_that_refuses_its_clients_is_started_again(tmp_path: Path, control: Control) -> None:
    """Scenario 14: the control program answers, and workers cannot use it."""
    async with serving(tmp_path) as (service, failures):
        await service.environment(gpu(0))
        service.refuses()
        await until(lambda: failures.said == [("MPS had died and was started again", True)])
        assert control.told.count("-d") == 2
        assert control.is_alive()


@looped
async def test_one_that_does_not_start_is_done_without_and_says_why(tmp_path: Path, control: Control) -> None:
    control.breaks()
    async with serving(tmp_path) as (service, failures):
        assert await service.environment(gpu(0)) == {}
        await until(lambda: bool(failures.said))
        assert "An instance of this daemon is already running" in failures.said[0][0]
        assert failures.said[0][1] is False


@looped
async def test_a_machine_without_it_does_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    async with serving(tmp_path) as (service, failures):
        assert await service.environment(gpu(0)) == {}
        await until(lambda: bool(failures.said))
        assert "No such file or directory: nvidia-cuda-mps-control" in failures.said[0][0]


@looped
async def test_one_that_does_not_answer_counts_as_dead(
    tmp_path: Path, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mps, "CONTROL_SECONDS", 2.0)
    async with serving(tmp_path) as (service, failures):
        await service.environment(gpu(0))
        (control.folder / "hangs").touch()
        await until(lambda: len(failures.said) == 1)
        assert failures.said[0][1] is False, "nor does the next one"


def test_a_long_path_is_exchanged_for_a_short_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the 107 bytes that the kernel allows for a socket's path, in a folder that nobody else can fill."""
    with TemporaryDirectory(prefix="mps-") as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        check_short_paths(tmp_path)
        (Path(runtime) / "coldframe").chmod(0o777)
        with pytest.raises(EndpointUnusable, match="is not a folder of this user's alone"):
            Mps(tmp_path / ("long" * 30), tmp_path, Failures())


def check_short_paths(tmp_path: Path) -> None:
    service = Mps(tmp_path / ("long" * 30), tmp_path, Failures())
    pipes = service._variables()[PIPES]
    assert len(pipes) < mps.LONGEST_FOLDER
    assert pipes != Mps(tmp_path / ("other" * 30), tmp_path, Failures())._variables()[PIPES]


@pytest.mark.faults
@looped
async def test_when_it_dies_jobs_go_on_from_their_checkpoints_and_at_last_alone_on_their_gpu(
    tmp_path: Path, control: Control
) -> None:
    """Scenario 14, with real workers."""
    async with manned(tmp_path, FakeDriver(gpu(0)), workers_per_gpu=2, mps=True) as here:
        jobs = [played(gene, seconds=3.0) for gene in range(2)]
        here.ask(*jobs)
        await here.until(lambda: {job.key for job in jobs} <= here.seen.steps)
        (pid, *_) = here.runtime._supervisor.pids("cuda:0")
        assert psutil.Process(pid).environ()[PIPES].startswith(str(tmp_path))
        control.die()
        await here.until(lambda: len(here.seen.of(WorkerStarted)) == 4)
        assert [event.counted for event in here.seen.of(AttemptFailed)] == [False, False]
        here.fleet.failed("cuda:0", "CUDA error: MPS client failed to connect to the MPS control daemon")
        await here.until(lambda: len(here.seen.of(WorkerStarted)) == 5)
        assert any("one worker on each GPU, without MPS" in line for line in here.seen.lines)
        await here.finished(*jobs)
        assert here.states()["cuda:0"].slots == 1
        (pid,) = here.runtime._supervisor.pids("cuda:0")
        assert PIPES not in psutil.Process(pid).environ()
        assert here.states()["cuda:0"].faults == 0
