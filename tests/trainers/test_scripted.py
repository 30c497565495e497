"""The scripted trainer in real workers with a real store: as strict about resuming as a real training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.checkpoints import CheckpointStore
from store.records.messages import Assign, Failed, Finished, Progress, Saved, Stop, Stopped
from store.records.outcomes import Evaluated, Measured, Trained
from store.records.requests import Evaluate, Measure, Train
from tests.trainers.harness import Daemon, assign, candidate, endless, noop, under_way

CANDIDATE = candidate(steps=5, blocks=3, floats=100)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One worker for all tests that do not end it: starting a process is most of what a test costs."""
    with Daemon(tmp_path_factory.mktemp("store")) as daemon:
        yield daemon


def train(daemon: Daemon, order: Assign) -> tuple[Trained, list[Saved]]:
    """Runs a training to its end; returns its outcome and the checkpoints on the way."""
    daemon.send(order)
    *before, last = daemon.until_last()
    assert isinstance(last, Finished), last
    assert isinstance(last.outcome, Trained)
    return last.outcome, [report for report in before if isinstance(report, Saved)]


def test_every_epoch_is_saved_with_its_metrics(daemon: Daemon) -> None:
    outcome, saves = train(daemon, assign(Train(candidate=CANDIDATE, epochs=4)))
    assert [(save.epoch, save.step) for save in saves] == [(1, 0), (2, 0), (3, 0), (4, 0)]
    assert tuple(save.metrics for save in saves) == outcome.history
    assert saves[-1].checkpoint == outcome.checkpoint
    assert outcome.candidate == CANDIDATE.id
    assert outcome.accuracy == max(epoch.validation_accuracy for epoch in outcome.history)
    assert outcome.parameters == 300


def test_training_on_in_another_process_gives_the_same_checkpoint(tmp_path: Path) -> None:
    to_two, to_four = (Train(candidate=CANDIDATE, epochs=epochs) for epochs in (2, 4))
    with Daemon(tmp_path) as first:
        half, _ = train(first, assign(to_two))
    with Daemon(tmp_path) as second:
        resumed, saves = train(second, assign(to_four, resume=half.checkpoint))
        at_once, _ = train(second, assign(to_four, attempt=7))
    assert [save.epoch for save in saves] == [3, 4], "the first two epochs are not trained again"
    assert resumed == at_once


def test_weights_depend_on_every_step_so_a_lost_or_doubled_one_shows(daemon: Daemon) -> None:
    """Guards the property that makes the kill tests bite: all checkpoints of a training have different weights."""
    outcome, saves = train(daemon, assign(Train(candidate=CANDIDATE, epochs=3), checkpoint_seconds=1e-9))
    assert len(saves) == 15, "one for each of five steps in three epochs"
    store = CheckpointStore(daemon.store)
    blobs = [block.blob for save in saves for block in store.manifest(save.checkpoint).blocks]
    assert len(set(blobs)) == len(blobs) == 15 * 6
    assert saves[-1].checkpoint == outcome.checkpoint
    store.close()


def test_going_on_from_any_step_gives_the_same_checkpoint(daemon: Daemon) -> None:
    request = Train(candidate=CANDIDATE, epochs=3)
    straight, saves = train(daemon, assign(request, checkpoint_seconds=1e-9))
    for save in saves:
        resumed, _ = train(daemon, assign(request, attempt=2, resume=save.checkpoint))
        assert resumed == straight


def test_checkpoints_are_saved_in_mid_epoch_when_they_fall_due(daemon: Daemon) -> None:
    slow = candidate(steps=4, epoch_seconds=0.4)
    _, saves = train(daemon, assign(Train(candidate=slow, epochs=1), checkpoint_seconds=0.15))
    assert [save.epoch for save in saves] == [0] * (len(saves) - 1) + [1]
    assert len(saves) >= 2
    assert all(save.metrics is None for save in saves[:-1])


def test_a_stop_in_mid_epoch_saves_and_another_worker_goes_on_to_the_same_end(tmp_path: Path) -> None:
    slow = Train(candidate=candidate(steps=30, epoch_seconds=1.2), epochs=1)
    order = assign(slow)
    with Daemon(tmp_path) as daemon:
        daemon.send(order)
        while daemon.receive(Progress).step < 1:
            pass
        daemon.send(Stop(job=order.job, attempt=1))
        *before, last = daemon.until_last()
    assert isinstance(last, Stopped)
    saved = before[-1]
    assert isinstance(saved, Saved)
    assert saved.epoch == 0
    assert 1 <= saved.step < 30
    with Daemon(tmp_path) as daemon:
        resumed, _ = train(daemon, assign(slow, attempt=2, resume=saved.checkpoint))
        at_once, _ = train(daemon, assign(slow, attempt=3))
    assert resumed == at_once


def test_a_stop_before_the_first_step_has_nothing_to_save(daemon: Daemon) -> None:
    order = assign(endless())
    daemon.send(order)
    under_way(daemon, order)
    daemon.send(Stop(job=order.job, attempt=1))
    rest = daemon.until_last()
    assert isinstance(rest[-1], Stopped)
    assert not [report for report in rest if isinstance(report, Saved)]


def test_a_stop_right_after_a_resume_does_not_save_the_same_again(daemon: Daemon) -> None:
    quick = candidate(steps=2)
    half, _ = train(daemon, assign(Train(candidate=quick, epochs=1)))
    slow = assign(Train(candidate=quick, epochs=1_000_000), resume=half.checkpoint, checkpoint_seconds=3600.0)
    daemon.send(slow, Stop(job=slow.job, attempt=1))
    rest = daemon.until_last()
    assert isinstance(rest[-1], Stopped)
    assert not [report for report in rest if isinstance(report, Saved)]


def test_a_job_sent_ahead_waits_its_turn_and_can_be_taken_back(daemon: Daemon) -> None:
    slow, taken, kept = assign(endless()), assign(noop(1)), assign(noop(2))
    daemon.send(slow, taken, kept)
    under_way(daemon, slow)
    daemon.send(Stop(job=taken.job, attempt=1))
    assert daemon.receive(Stopped).job == taken.job
    daemon.send(Stop(job=slow.job, attempt=1))
    assert daemon.receive(Stopped).job == slow.job
    assert daemon.receive(Finished).job == kept.job


def test_a_stop_for_a_job_that_is_over_disturbs_nothing(daemon: Daemon) -> None:
    first, second = assign(noop(1)), assign(noop(2, epochs=1, epoch_seconds=0.3), attempt=2)
    daemon.do(first)
    daemon.send(second)
    under_way(daemon, second)
    daemon.send(Stop(job=first.job, attempt=1), Stop(job=second.job, attempt=1))
    assert isinstance(daemon.until_last()[-1], Finished)


def test_without_checkpoints_nothing_is_written(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        before = [path for path in tmp_path.rglob("*") if path.is_file()]
        outcome, saves = train(daemon, assign(noop(epochs=3)))
    assert not saves
    assert len(outcome.history) == 3
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == before


def test_evaluating_reads_the_checkpoint(daemon: Daemon) -> None:
    trained, _ = train(daemon, assign(Train(candidate=CANDIDATE, epochs=2)))
    finished = daemon.do(assign(Evaluate(candidate=CANDIDATE, checkpoint=trained.checkpoint)))
    assert isinstance(finished, Finished)
    assert isinstance(finished.outcome, Evaluated)
    assert finished.outcome.accuracy == trained.history[1].validation_accuracy
    failed = daemon.do(assign(Evaluate(candidate=CANDIDATE, checkpoint="a" * 64)))
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.checkpoint) == ("corrupt_checkpoint", "a" * 64)


def test_measuring_gives_a_latency_only_where_a_device_is_named(daemon: Daemon) -> None:
    plain = daemon.do(assign(Measure(candidate=CANDIDATE)))
    named = daemon.do(assign(Measure(candidate=CANDIDATE, device="cpu")))
    assert isinstance(plain.outcome, Measured)
    assert plain.outcome.latency_ms is None
    assert named.outcome.latency_ms > 0
    assert named.outcome.parameters == plain.outcome.parameters == 300


def test_a_checkpoint_of_another_candidate_is_refused(daemon: Daemon) -> None:
    trained, _ = train(daemon, assign(Train(candidate=candidate(seed=1), epochs=1)))
    failed = daemon.do(assign(Train(candidate=candidate(seed=2), epochs=2), resume=trained.checkpoint))
    assert isinstance(failed, Failed)
    assert failed.reason == "bad_request"
    assert "does not fit" in failed.message


def test_a_checkpoint_past_the_total_is_refused(daemon: Daemon) -> None:
    trained, _ = train(daemon, assign(Train(candidate=CANDIDATE, epochs=2)))
    failed = daemon.do(assign(Train(candidate=CANDIDATE, epochs=1), resume=trained.checkpoint))
    assert isinstance(failed, Failed)
    assert failed.reason == "bad_request"
    assert "epoch 1" in failed.message


def test_one_flipped_byte_in_a_pack_is_noticed_and_named(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        trained, _ = train(daemon, assign(Train(candidate=CANDIDATE, epochs=1)))
    store = CheckpointStore(tmp_path)
    wanted = {block.blob for block in store.manifest(trained.checkpoint).blocks}
    store.close()
    for path in (tmp_path / "blobs").rglob("*"):
        if path.is_file() and path.stat().st_size >= 100:
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.chmod(0o600)
            path.write_bytes(data)
    with Daemon(tmp_path) as daemon:
        failed = daemon.do(assign(Train(candidate=CANDIDATE, epochs=2), resume=trained.checkpoint))
    assert isinstance(failed, Failed)
    assert failed.reason == "corrupt_checkpoint"
    assert failed.checkpoint == trained.checkpoint
    assert failed.blobs
    assert set(failed.blobs) <= wanted


def test_a_truncated_manifest_is_noticed_and_named(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        trained, _ = train(daemon, assign(Train(candidate=CANDIDATE, epochs=1)))
    store = CheckpointStore(tmp_path)
    path = store.path(trained.checkpoint)
    store.close()
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1])
    with Daemon(tmp_path) as daemon:
        failed = daemon.do(assign(Train(candidate=CANDIDATE, epochs=2), resume=trained.checkpoint))
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.checkpoint, failed.blobs) == ("corrupt_checkpoint", trained.checkpoint, ())
