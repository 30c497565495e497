"""Devices, their workers and their jobs together: real processes on GPUs that a made-up driver tells of."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from orchestrator.errors import DeviceLost, DeviceUnavailable
from orchestrator.fleet import Fleet
from orchestrator.serving.config import DevicesConfig
from store.records.candidates import Fault
from store.records.events import (
    AttemptFailed,
    CheckpointSaved,
    DeviceLeft,
    DeviceReturned,
    JobFailed,
    JobStarted,
    JobSucceeded,
)
from tests.orchestrator.drivers import GB, FakeDriver, gpu
from tests.orchestrator.manning import looped, manned, played


@pytest.mark.faults
@looped
async def test_workers_become_more_when_jobs_turn_out_small(tmp_path: Path) -> None:
    driver = FakeDriver(gpu(0, 10 * GB))
    async with manned(tmp_path, driver, most_workers_per_gpu=3) as here:
        first = played(0, taken=GB)
        here.ask(first)
        await here.finished(first)
        assert here.states()["cuda:0"].slots == 1
        jobs = [played(gene, seconds=30.0, taken=GB) for gene in range(1, 5)]
        assert jobs[0].key != first.key
        here.ask(*jobs)
        await here.until(lambda: here.states()["cuda:0"].busy == 2)
        (ended,) = here.seen.of(JobSucceeded)
        assert ended.peak_bytes == GB
        state = here.states()["cuda:0"]
        assert (state.slots, state.state, state.memory_bytes) == (2, "in service", 10 * GB), (
            "of a kind not yet measured"
        )
        assert state.idle_share is not None
        assert 0 < state.idle_share < 1


@looped
async def test_a_lost_gpus_jobs_go_on_elsewhere_from_their_checkpoints_and_it_returns_when_it_answers(
    tmp_path: Path,
) -> None:
    """Scenario 42: NVML hangs; nobody waits for it."""
    driver = FakeDriver(gpu(0), gpu(1))
    async with manned(tmp_path, driver, workers_per_gpu=1, nvml_seconds=1.0) as here:
        jobs = [played(gene, seconds=2.0) for gene in range(2)]
        here.ask(*jobs)
        await here.until(lambda: {job.key for job in jobs} <= {event.job for event in here.seen.of(CheckpointSaved)})
        over = driver.hang("cuda:1")
        await here.until(lambda: bool(here.seen.of(DeviceLeft)))
        await here.finished(*jobs)
        (moved,) = [job for job in jobs if here.devices_of(job)[0] == "cuda:1"]
        assert here.devices_of(moved) == ["cuda:1", "cuda:0"]
        assert [event.counted for event in here.seen.of(AttemptFailed)] == [False]
        again = [event for event in here.seen.of(JobStarted) if event.job == moved.key][-1]
        assert again.checkpoint is not None
        assert here.states()["cuda:1"].state == "out of service"
        assert here.states()["cuda:1"].why == "lost: the driver did not answer within 1 s"
        assert here.states()["cuda:1"].slots == 0
        over.set()
        await here.until(lambda: [event.by for event in here.seen.of(DeviceReturned)] == ["driver"])
        await here.until(lambda: here.states()["cuda:1"].slots == 1)


@pytest.mark.faults
@looped
async def test_siblings_on_a_failing_gpu_resume_and_the_gpu_leaves_and_an_order_brings_it_back(tmp_path: Path) -> None:
    """Scenario 13."""
    driver = FakeDriver(gpu(0), gpu(1))
    sibling = played(0, seconds=1.0, epochs=3)
    remainder = int(sibling.candidate.id[:8], 16) % 2
    broken = next(job for gene in range(1, 50) if int((job := played(gene)).candidate.id[:8], 16) % 2 == 1 - remainder)
    fault = Fault(kind="cuda_error", epoch=1, every=2, remainder=1 - remainder)
    async with manned(tmp_path, driver, strikes=[fault], workers_per_gpu=2, faults=1) as here:
        here.ask(sibling)
        await here.until(lambda: sibling.key in here.seen.steps)
        where = here.devices_of(sibling)[0]
        here.ask(broken)
        await here.finished(sibling, broken)
        (left,) = here.seen.of(DeviceLeft)
        failed_on = here.devices_of(broken)[0]
        assert (left.device, left.reason) == (failed_on, "faults")
        assert "CUDA error: an illegal memory access" in left.message
        counted = {event.job: event.counted for event in here.seen.of(AttemptFailed)}
        assert counted == {broken.key: True} | ({sibling.key: False} if failed_on == where else {})
        assert here.devices_of(broken)[-1] != failed_on
        here.fleet.back(failed_on, "ada")
        await here.until(lambda: here.states()[failed_on].slots == 2)
        assert [event.by for event in here.seen.of(DeviceReturned)] == ["ada"]
        assert any(f"{failed_on} leaves service" in line for line in here.seen.lines)


@pytest.mark.faults
@looped
async def test_out_of_memory_then_alone_then_failed(tmp_path: Path) -> None:
    """Scenario 12, with real processes."""
    driver = FakeDriver(gpu(0))
    greedy = played(0)
    fault = Fault(kind="out_of_memory", epoch=1, attempts=9)
    async with manned(tmp_path, driver, strikes=[fault], workers_per_gpu=2) as here:
        here.ask(greedy)
        await here.until(lambda: bool(here.seen.of(JobFailed)))
        assert [event.reason for event in here.seen.of(AttemptFailed)] == ["out_of_memory"] * 2


@pytest.mark.faults
@looped
async def test_what_the_driver_knows_of_our_processes_is_what_they_are(tmp_path: Path) -> None:
    driver = FakeDriver(gpu(0))
    async with manned(tmp_path, driver, workers_per_gpu=2) as here:
        await here.until(lambda: len(driver.ours.get("cuda:0", ())) == 2)
        assert here.states()["cuda:0"].utilisation == 0.5


@looped
async def test_memory_that_was_taken_at_the_start_and_is_free_again_is_used(tmp_path: Path) -> None:
    """Guards a GPU that was thought to be full for good: an earlier daemon's workers were still on it when it began."""
    full = gpu(0, 10 * GB)._replace(memory_used_bytes=9 * GB)
    async with manned(tmp_path, FakeDriver(full)) as here:
        offers = here.runtime.scheduler.placement.capacity.offers
        await here.until(lambda: "cuda:0" in offers and offers["cuda:0"].others_bytes == 0)


@looped
async def test_a_driver_that_does_not_answer_at_the_start_is_no_fault_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2 would keep systemd from starting the daemon again, and the driver may answer the next time."""
    over = threading.Event()
    monkeypatch.setattr("orchestrator.devices.nvml.Nvml.devices", lambda self: over.wait())
    monkeypatch.setattr("orchestrator.fleet.DRIVER_SECONDS", 0.05)
    with pytest.raises(DeviceLost, match="the GPU driver is lost: it did not answer") as raised:
        await Fleet.find(DevicesConfig(nvml_seconds=0.05), tmp_path)
    over.set()
    assert raised.value.exit_code == 1


@looped
async def test_a_driver_that_knows_no_gpu_where_there_must_be_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.devices.nvml.Nvml.devices", lambda self: [])
    with pytest.raises(DeviceUnavailable, match="no GPU that NVML knows"):
        await Fleet.find(DevicesConfig(use="cuda"), tmp_path)
    fleet = await Fleet.find(DevicesConfig(use="auto"), tmp_path)
    assert list(fleet.devices) == ["cpu"]
