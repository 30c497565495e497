"""What a trainer can rely on."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from store.records.candidates import Fault
from store.records.framing import Decoder, encode
from store.records.messages import REPORT, AnyReport, Assign, Progress, Saved, Stop
from store.records.outcomes import EpochMetrics
from store.records.requests import Compute, Train
from tests.trainers.harness import SECONDS, assign, candidate
from trainers.channel import Channel, Inbox
from trainers.errors import BadRequest, Diverged, ImpossibleSetting
from trainers.job import FIRST_PROGRESS_SECONDS, PROGRESS_SECONDS, Job, Stopping
from trainers.options import ScriptedOptions

METRICS = EpochMetrics(epoch=1, train_loss=1, train_accuracy=0.5, validation_loss=1, validation_accuracy=0.5)


class Bench:
    """A job on a socketpair and a clock that stands still until it is moved."""

    def __init__(self, far: socket.socket, near: socket.socket) -> None:
        self.far = far
        self.now = 100.0
        self._channel = Channel(near)
        self._inbox = Inbox(self._channel)
        self._decoder = Decoder(REPORT)

    def start(self, order: Assign) -> Job:
        self.far.sendall(encode(order))
        assert self._inbox.next() == order
        return Job(order, self._channel, self._inbox, self._no_store, clock=lambda: self.now)

    def reports(self) -> list[AnyReport]:
        if not select.select([self.far], [], [], 0)[0]:
            return []
        return list(self._decoder.feed(self.far.recv(1 << 20)))

    def _no_store(self) -> Any:
        raise RuntimeError("the checkpoint store was opened though nobody wanted it")


@pytest.fixture
def bench() -> Iterator[Bench]:
    far, near = socket.socketpair()
    far.settimeout(SECONDS)
    with far, near:
        yield Bench(far, near)


def test_shows_the_order(bench: Bench) -> None:
    order = assign(attempt=3, resume="a" * 64, data_path="/data")
    job = bench.start(order)
    assert job.request == order.request
    assert job.attempt == 3
    assert job.resume == "a" * 64
    assert job.settings.data_path == "/data"
    assert job.device == "cpu"


def test_options_are_checked_and_typed(bench: Bench) -> None:
    job = bench.start(assign(Train(candidate=candidate(steps=7), epochs=1)))
    assert isinstance(job.options, ScriptedOptions)
    assert job.options.steps == 7
    with pytest.raises(ImpossibleSetting, match=r"trainer\.stepps is 7"):
        _ = bench.start(assign(Train(candidate=candidate(stepps=7), epochs=1))).options


def test_a_computation_has_no_options(bench: Bench) -> None:
    with pytest.raises(BadRequest, match="no trainer"):
        _ = bench.start(assign(Compute(function="a:b", arguments=b""))).options


def test_progress_is_sent_after_a_tenth_of_a_second_and_then_twice_a_second(bench: Bench) -> None:
    order = assign()
    job = bench.start(order)
    job.alive(1, 1, 10)
    assert bench.reports() == []
    bench.now += FIRST_PROGRESS_SECONDS
    job.alive(1, 2, 10, images_per_second=5.0, note="warm")
    assert bench.reports() == [
        Progress(job=order.job, attempt=1, epoch=1, step=2, steps=10, images_per_second=5.0, note="warm")
    ]
    job.alive(1, 3, 10)
    bench.now += PROGRESS_SECONDS - 0.01
    job.alive(1, 4, 10)
    assert bench.reports() == []
    bench.now += 0.02
    job.alive(1, 5, 10)
    assert [report.step for report in bench.reports() if isinstance(report, Progress)] == [5]


def test_a_stop_is_noticed_by_the_next_step(bench: Bench) -> None:
    order = assign()
    job = bench.start(order)
    job.alive(0, 0, 10)
    assert not job.stop_requested
    bench.far.sendall(encode(Stop(job=order.job, attempt=1)))
    job.alive(0, 1, 10)
    assert job.stop_requested


def test_a_stop_of_another_attempt_is_not_for_this_one(bench: Bench) -> None:
    order = assign(attempt=2)
    job = bench.start(order)
    bench.far.sendall(encode(Stop(job=order.job, attempt=1)) + encode(Stop(job="other", attempt=2)))
    job.alive(0, 1, 10)
    assert not job.stop_requested


def test_a_checkpoint_falls_due_after_its_seconds_and_a_save_starts_them_again(bench: Bench) -> None:
    job = bench.start(assign(checkpoint_seconds=30.0))
    due = [job.checkpoint_due]
    bench.now += 30
    due.append(job.checkpoint_due)
    job.saved("c" * 64, epoch=0, step=3)
    due.append(job.checkpoint_due)
    bench.now += 29.9
    due.append(job.checkpoint_due)
    assert due == [False, True, False, False]


def test_a_save_is_reported_with_the_candidate_and_place(bench: Bench) -> None:
    order = assign()
    job = bench.start(order)
    job.saved("c" * 64, 1, 0, METRICS)
    of = order.request.candidate
    assert of is not None
    assert bench.reports() == [
        Saved(job=order.job, attempt=1, candidate=of.id, checkpoint="c" * 64, epoch=1, step=0, metrics=METRICS)
    ]


def test_faults_strike_at_their_epoch_and_in_their_attempts_only(bench: Bench) -> None:
    fault = Fault(kind="nan", epoch=2, attempts=2)
    for attempt in (1, 2):
        job = bench.start(assign(attempt=attempt, faults=(fault,)))
        job.strike(0)
        job.strike(1)
        with pytest.raises(Diverged, match="not finite in epoch 2"):
            job.strike(2)
    bench.start(assign(attempt=3, faults=(fault,))).strike(2)


def test_faults_can_pick_candidates(bench: Bench) -> None:
    hit = 0
    for seed in range(20):
        order = assign(Train(candidate=candidate(seed=seed), epochs=1), faults=(Fault(kind="nan", every=2),))
        try:
            bench.start(order).strike(0)
        except Diverged:
            hit += 1
    assert 0 < hit < 20


def test_stopping_passes_through_a_trainers_own_error_handling() -> None:
    def trainer() -> None:
        try:
            raise Stopping
        except Exception:
            pytest.fail("a trainer swallowed the stop")

    with pytest.raises(Stopping):
        trainer()
