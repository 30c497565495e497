"""Every failure on purpose, committed by a real worker: what the daemon sees of it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from store.checkpoints import CheckpointStore
from store.records.candidates import Fault
from store.records.messages import Assign, Failed, Finished, Progress, Saved
from store.records.requests import Train
from tests.trainers.harness import Daemon, assign, candidate, under_way
from trainers.faults import EXIT_STATUS

REQUEST = Train(candidate=candidate(), epochs=3)


def faulty(kind: Any, *, epoch: int = 2, attempt: int = 1) -> Assign:
    """Three epochs, of which the fault's is to fail in the first attempt."""
    return assign(REQUEST, attempt=attempt, faults=(Fault(kind=kind, epoch=epoch),))


def epochs_saved(daemon: Daemon) -> list[int]:
    """Reads to the end of the stream; returns the epochs of the checkpoints that were reported."""
    return [report.epoch for report in daemon.reports() if isinstance(report, Saved)]


@pytest.fixture(scope="module")
def survivor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("store")) as daemon:
        yield daemon


@pytest.mark.parametrize(
    ("kind", "reason", "words"),
    [
        ("nan", "diverged", "the training loss is not finite in epoch 2"),
        ("out_of_memory", "out_of_memory", "out of memory on purpose"),
        ("error", "error", "RuntimeError: failed on purpose"),
        ("disk_full", "disk_full", "No space left on device"),
    ],
)
def test_a_failure_of_the_job_leaves_the_worker_at_work(survivor: Daemon, kind: str, reason: str, words: str) -> None:
    survivor.send(faulty(kind))
    *before, failed = survivor.until_last()
    assert isinstance(failed, Failed)
    assert failed.reason == reason
    assert words in failed.message
    assert [report.epoch for report in before if isinstance(report, Saved)] == [1], "the epoch that fails is lost"
    assert isinstance(survivor.do(faulty(kind, attempt=2)), Finished), "the second attempt is not struck"


def test_a_broken_device_is_reported_and_ends_the_worker(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        failed = daemon.do(faulty("cuda_error"))
        assert isinstance(failed, Failed)
        assert failed.reason == "device"
        assert "illegal memory access" in failed.message
        assert daemon.status() == 69


@pytest.mark.parametrize(("kind", "status"), [("exit", EXIT_STATUS), ("segfault", -signal.SIGSEGV)])
def test_a_crash_keeps_what_was_saved_before(tmp_path: Path, kind: str, status: int) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.send(faulty(kind))
        assert epochs_saved(daemon) == [1]
        assert daemon.status() == status
        if kind == "segfault":
            assert "Fatal Python error: Segmentation fault" in daemon.log()


def test_a_crash_between_the_save_and_its_report_leaves_a_sound_checkpoint_that_nobody_knows(tmp_path: Path) -> None:
    """Trained again from the epoch before, it must come to the same manifest, which is there already."""
    with Daemon(tmp_path) as daemon:
        daemon.send(faulty("exit_after_save"))
        known = [report for report in daemon.reports() if isinstance(report, Saved)]
        assert [save.epoch for save in known] == [1]
        assert daemon.status() == EXIT_STATUS
    store = CheckpointStore(tmp_path)
    unknown = set(store.digests()) - {save.checkpoint for save in known}
    assert len(unknown) == 1
    with Daemon(tmp_path) as daemon:
        daemon.send(assign(REQUEST, attempt=2, resume=known[0].checkpoint))
        again = [report for report in daemon.until_last() if isinstance(report, Saved)]
    assert again[0].epoch == 2
    assert {again[0].checkpoint} == unknown
    assert store.load(again[0].checkpoint).manifest.epoch == 2
    store.close()


def test_a_hang_is_silent_and_deaf_to_all_but_the_last_signal(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.send(faulty("hang"))
        assert daemon.receive(Saved).epoch == 1
        status = Path(f"/proc/{daemon.process.pid}/status")
        while not _blocks(status, signal.SIGTERM):
            pass
        daemon.process.terminate()
        daemon.socket.settimeout(2 * 0.5)  # two periods of progress
        with suppress(TimeoutError):
            daemon.receive(Progress)  # one may have been on its way when it hung
        with pytest.raises(TimeoutError):
            daemon.receive(Progress)
        assert daemon.process.poll() is None
        daemon.process.kill()
        assert daemon.status() == -signal.SIGKILL


def test_epoch_zero_strikes_before_anything_is_trained(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.send(faulty("error", epoch=0))
        *before, failed = daemon.until_last()
        assert isinstance(failed, Failed)
        assert not before


def test_a_full_disk_fails_the_attempt_and_leaves_the_store_sound(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: it fails the same writes, and needs no privilege."""
    big = Train(candidate=candidate(floats=200_000), epochs=1)
    with Daemon(tmp_path, limit_bytes=256 * 1024) as daemon:
        small = daemon.do(assign(REQUEST))
        assert isinstance(small, Finished), small
        failed = daemon.do(assign(big))
        assert isinstance(failed, Failed)
        assert failed.reason == "disk_full"
        assert isinstance(daemon.do(assign(Train(candidate=candidate(seed=1), epochs=1))), Finished)
    with Daemon(tmp_path) as daemon:
        assert isinstance(daemon.do(assign(big, attempt=2)), Finished), "with room it works"
    store = CheckpointStore(tmp_path)
    for digest in store.digests():
        store.load(digest)
    store.close()


def test_a_kill_in_the_middle_of_a_job_leaves_what_was_reported_readable(tmp_path: Path) -> None:
    order = assign(Train(candidate=candidate(steps=2, floats=5_000), epochs=1_000_000), checkpoint_seconds=1e-9)
    with Daemon(tmp_path) as daemon:
        daemon.send(order)
        under_way(daemon, order)
        saves = [daemon.receive(Saved) for _ in range(5)]
        daemon.process.kill()
        saves += [report for report in daemon.reports() if isinstance(report, Saved)]
    store = CheckpointStore(tmp_path)
    for save in saves:
        manifest, _ = store.load(save.checkpoint)
        assert (manifest.epoch, manifest.step) == (save.epoch, save.step)
    store.close()


def _blocks(status: Path, number: signal.Signals) -> bool:
    mask = next(line for line in status.read_text().splitlines() if line.startswith("SigBlk"))
    return bool(int(mask.split()[1], 16) >> (number - 1) & 1)
