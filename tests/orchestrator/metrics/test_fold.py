from __future__ import annotations

import pytest

from store.records.base import digest
from store.records.candidates import Recipe
from store.records.events import (
    AnyEvent,
    CheckpointQuarantined,
    DeviceLeft,
    JobStarted,
    JobSucceeded,
    Requested,
    StaleReport,
    WeightsMatched,
    WorkerEnded,
    WorkerStarted,
)
from store.records.knowledge import Inheritance, InheritedBlock
from store.records.messages import Progress
from store.records.outcomes import Computed, Trained
from store.records.requests import Compute, Train
from tests.orchestrator.metrics.desk import Desk
from tests.orchestrator.telling import Teller, candidate


def drawn(teller: Teller) -> list[AnyEvent]:
    """What was told since the last time."""
    events = [event for _, event in teller.events]
    teller.events.clear()
    return events


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def teller() -> Teller:
    teller = Teller()
    teller.open("one")
    return teller


def epochs(desk: Desk, metric: str = "epochs_total") -> dict[str, float]:
    prefix = f'{metric}{{how="'
    return {key[len(prefix) : -2]: value for key, value in desk.values().items() if key.startswith(prefix)}


def test_a_training_is_counted_from_its_request_to_its_end(desk: Desk, teller: Teller) -> None:
    job = teller.ask(1, 2)
    desk.happen(*drawn(teller))
    desk.now = 5.0
    teller.start(job)
    for epoch in (1, 2):
        teller.save(job, 1, epoch)
    teller.succeed(job, 1, 2)
    desk.happen(*drawn(teller))
    values = desk.values()
    assert values['requests_total{answer="queued",kind="train"}'] == 1
    assert values['attempts_total{kind="train"}'] == 1
    assert values['jobs_ended_total{kind="train",state="succeeded"}'] == 1
    assert values['job_queue_seconds_sum{kind="train"}'] == 5.0
    assert values['job_run_seconds_sum{end="succeeded",kind="train"}'] == 2.0  # as the event has it
    assert values["checkpoints_saved_total"] == 2
    assert epochs(desk) == {"trained": 2}


def test_a_failed_attempt_and_its_retry_are_counted_by_reason(desk: Desk, teller: Teller) -> None:
    job = teller.ask(1, 1)
    teller.start(job)
    desk.happen(*drawn(teller))
    desk.now = 3.0
    teller.fail(job, "hung")
    desk.happen(*drawn(teller))
    desk.now = 4.5
    teller.start(job)
    teller.fail(job, "crashed")
    teller.give_up(job)
    desk.happen(*drawn(teller))
    values = desk.values()
    assert values['attempts_failed_total{reason="hung"}'] == 1
    assert values['attempts_failed_total{reason="crashed"}'] == 1
    assert values['retries_total{reason="hung"}'] == 1
    assert 'retries_total{reason="crashed"}' not in values  # it was given up
    assert values['jobs_failed_total{reason="crashed"}'] == 1
    assert values['jobs_ended_total{kind="train",state="failed"}'] == 1
    assert values['job_run_seconds_sum{end="failed",kind="train"}'] == 3.0
    assert values['job_queue_seconds_sum{kind="train"}'] == 1.5


def test_epochs_of_an_earlier_request_are_resumed_over_and_not_trained(desk: Desk, teller: Teller) -> None:
    teller.train(1, 2)
    teller.train(1, 5, start=2)
    desk.happen(*drawn(teller))
    assert epochs(desk) == {"trained": 5, "resumed": 2}


def test_what_a_stopped_job_trained_itself_is_not_spared(desk: Desk, teller: Teller) -> None:
    job = teller.ask(1, 3)
    teller.start(job)
    teller.save(job, 1, 1)
    teller.save(job, 1, 1, step=2)
    teller.stop(job)
    teller.ask(1, 3)
    teller.start(job, epoch=1, step=2, seed=1)
    teller.save(job, 1, 2)
    teller.save(job, 1, 3)
    teller.succeed(job, 1, 3)
    desk.happen(*drawn(teller))
    assert epochs(desk) == {"trained": 3}
    assert desk.values()['jobs_ended_total{kind="train",state="stopped"}'] == 1


def test_epochs_that_are_trained_again_after_damage_count_again(desk: Desk, teller: Teller) -> None:
    job = teller.ask(1, 3)
    teller.start(job)
    teller.save(job, 1, 1)
    teller.save(job, 1, 2)
    teller.fail(job, "corrupt_checkpoint")
    teller.start(job, epoch=1, seed=1)
    teller.save(job, 1, 2)
    desk.happen(*drawn(teller))
    assert epochs(desk) == {"trained": 3}


def test_a_memo_answer_spares_each_epoch_once(desk: Desk, teller: Teller) -> None:
    teller.train(1, 2)
    teller.train(1, 5, start=2)
    teller.open("two", search="6" * 64)
    for epoch in (2, 5, 2):
        teller.ask(1, epoch, "memo")
    desk.happen(*drawn(teller))
    assert epochs(desk)["memo"] == 5
    best = desk.metrics._fold.best
    assert best["6" * 64] == best["5" * 64] > 0


def test_what_earlier_processes_did_is_known_but_not_counted(desk: Desk, teller: Teller) -> None:
    teller.train(1, 2)
    job = teller.ask(2, 2)
    teller.start(job)
    teller.save(job, 2, 1)
    desk.recall(*drawn(teller))
    assert epochs(desk) == {}
    assert epochs(desk, "store_epochs") == {"trained": 3}
    teller.start(job, epoch=1, seed=2)
    teller.save(job, 2, 2)
    teller.succeed(job, 2, 2)
    desk.happen(*drawn(teller))
    assert epochs(desk) == {"trained": 1}
    assert epochs(desk, "store_epochs") == {"trained": 4}
    values = desk.values()
    assert values['attempts_total{kind="train"}'] == 1
    assert 'job_queue_seconds_count{kind="train"}' not in values  # nobody knows for how long it had waited


def test_what_a_network_inherited_is_worth_its_share_of_the_epochs_of_its_sources(desk: Desk) -> None:
    source = digest("a source")
    blocks = (
        InheritedBlock(block="cell0", source=f"{source}/cell0", similarity=1.0),
        InheritedBlock(block="cell1", source="", similarity=0.5),
        InheritedBlock(block="cell2", source="", similarity=0.0),
        InheritedBlock(block="cell3", source=f"{source}/cell3", similarity=0.9),
    )
    found = Inheritance(blocks=blocks, generation=1, iterations=30)
    asked = candidate(1).model_copy(update={"recipe": Recipe(batch_size=100)}).inheriting(found.initial)
    request = Train(candidate=asked, epochs=2)
    outcome = Trained(
        candidate=asked.id, epochs=2, history=(), checkpoint=source, parameters=1, multiply_adds=1, images=950
    )
    for event in (
        WeightsMatched(search="5" * 64, call=0, inheritance=found),
        Requested(search="5" * 64, index=0, job=request.key, request=request, answer="queued"),
        JobStarted(job=request.key, attempt=1, worker="worker-1", device="cpu"),
        JobSucceeded(job=request.key, attempt=1, outcome=outcome, seconds=1.0),
    ):
        desk.metrics.event(1, 0.0, event)
    assert epochs(desk) == {"inherited": 1.5}  # half of the blocks, 30 steps of 10 an epoch
    values = desk.values()
    assert values["pool_networks_total"] == 1
    answers = {answer: values[f'pool_blocks_total{{answer="{answer}"}}'] for answer in ("asked", "hit", "match")}
    assert answers == {"asked": 4, "hit": 3, "match": 2}


def test_a_computation_that_is_made_again_unasked_is_one(desk: Desk) -> None:
    request = Compute(function="a:b", arguments=b"")
    for event in (
        JobStarted(job=request.key, attempt=2, worker="worker-1", device="cpu"),
        JobSucceeded(job=request.key, attempt=2, outcome=Computed(value=b""), seconds=0.25),
    ):
        desk.metrics.event(1, 0.0, event)
    assert desk.values()['job_run_seconds_sum{end="succeeded",kind="compute"}'] == 0.25


def test_rates_of_images_add_up_over_running_jobs_alone(desk: Desk, teller: Teller) -> None:
    jobs = [teller.ask(seed, 1) for seed in (1, 2, 3)]
    for job in jobs[:2]:
        teller.start(job)
    desk.happen(*drawn(teller))
    for job in jobs:
        desk.observer.progress("w", job, Progress(job=job, attempt=1, images_per_second=100.0))
    assert desk.values()["images_per_second"] == 200.0
    teller.succeed(jobs[0], 1, 1)
    desk.happen(*drawn(teller))
    assert desk.values()["images_per_second"] == 100.0


def test_workers_devices_and_fenced_reports_are_counted(desk: Desk) -> None:
    desk.happen(
        WorkerStarted(worker="worker-1", pid=7, device="cpu"),
        WorkerEnded(worker="worker-1", pid=7, cause="was ended by SIGKILL", reason="hung"),
        WorkerEnded(worker="worker-2", pid=8, cause="exited with status 0"),
        StaleReport(job="1" * 64, attempt=1, current=2, message="finished"),
        DeviceLeft(device="cuda:0", reason="lost", message="Xid 79"),
        CheckpointQuarantined(checkpoint="2" * 64, blobs=(), message="damaged"),
    )
    values = desk.values()
    assert values["worker_starts_total"] == values["fenced_results_total"] == 1
    assert values["checkpoints_quarantined_total"] == 1
    assert values['worker_ends_total{cause="hung"}'] == values['worker_ends_total{cause="left"}'] == 1
    assert values['devices_left_total{device="cuda:0",reason="lost"}'] == 1


@pytest.mark.parametrize("candidates", [1_000, pytest.param(100_000, marks=pytest.mark.faults)])
def test_so_many_candidates_make_no_new_series(desk: Desk, teller: Teller, candidates: int) -> None:
    teller.train(1, 1)
    desk.happen(*drawn(teller))
    series = desk.series()
    teller.train(2, 1)
    events = drawn(teller)
    for number in range(candidates):
        name = f"{number:064x}"
        for event in events:
            changes: dict[str, object] = {"job": name}
            if isinstance(event, JobSucceeded):
                changes["outcome"] = event.outcome.model_copy(update={"candidate": name, "checkpoint": name})
            desk.metrics.event(number, 0.0, event.model_copy(update=changes))
    assert epochs(desk) == {"trained": candidates + 1}
    assert desk.series() == series
    assert desk.metrics._fold._jobs == {}  # and what has ended is forgotten
