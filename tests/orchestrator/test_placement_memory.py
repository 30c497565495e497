"""Jobs share a GPU as far as its memory goes, by what jobs of the same kind have taken."""

from __future__ import annotations

from orchestrator.capacity import MARGIN
from orchestrator.memory import Memory
from orchestrator.peaks import kind_of
from orchestrator.placement import PATIENCE
from orchestrator.reactions import CloseDevice, EndWorker, RetireWorker
from store.records.candidates import Proxy
from store.records.events import AttemptFailed, DeviceLeft, DeviceReturned, JobFailed, JobSucceeded
from store.records.messages import CONTEXT_BYTES
from store.records.requests import Train
from tests.orchestrator.builders import candidate, train
from tests.orchestrator.crewing import GB, Machine, sized


def measured(machine: Machine, batch: int, peak: int) -> None:
    """Lets one job of a kind end, so that the kind is known."""
    first = sized(1000, batch)
    machine.ask(first)
    machine.start()
    machine.finish(first, peak)


def test_requests_of_a_kind_differ_only_in_what_takes_no_memory() -> None:
    one = candidate(1)
    kind = kind_of(train(1))
    assert kind_of(train(2, epochs=9)) == kind, "another architecture, other epochs"
    half = {name: getattr(one, name) for name in type(one).model_fields} | {"proxy": Proxy(sample_ratio=0.5), "seed": 3}
    assert kind_of(Train(candidate=type(one)(**half), epochs=2)) == kind
    wide = half | {"proxy": Proxy(channels=16)}
    assert kind_of(Train(candidate=type(one)(**wide), epochs=2)) != kind
    assert kind_of(sized(1, batch=7)) != kind


def test_of_a_kind_that_is_not_known_two_jobs_run_on_a_gpu_at_most() -> None:
    machine = Machine()
    machine.gpu("cuda:0")
    jobs = [sized(gene, 1) for gene in range(5)]
    machine.ask(*jobs)
    machine.start()
    assert len(machine.running()) == 2
    assert len(machine.made.workers) == 2, "no worker is started for what would not fit"


def test_as_many_jobs_run_as_fit_once_their_kind_is_measured() -> None:
    machine = Machine()
    machine.gpu("cuda:0", 10 * GB, reserve_bytes=GB)
    measured(machine, 1, 2 * GB)
    machine.ask(*(sized(gene, 1) for gene in range(9)))
    machine.start()
    assert len(machine.running()) == 4, f"four times {2 * MARGIN} GB fit into 9 GB"


def test_no_more_workers_are_started_than_are_allowed() -> None:
    machine = Machine()
    machine.gpu("cuda:0")
    measured(machine, 1, GB // 10)
    machine.ask(*(sized(gene, 1) for gene in range(9)))
    machine.start()
    assert len(machine.made.workers) == 4


def test_what_a_job_took_is_journalled_and_known_after_a_restart() -> None:
    machine = Machine()
    machine.gpu("cuda:0")
    measured(machine, 1, 2 * GB)
    (ended,) = [event for event in machine.events if isinstance(event, JobSucceeded)]
    assert (ended.peak_bytes, ended.memory_kind) == (2 * GB, kind_of(sized(1, 1)))
    memory = Memory()
    for event in [*machine.events]:
        if isinstance(event, JobSucceeded):
            memory.apply(event.type, event.model_dump())
            memory.apply(event.type, event.model_copy(update={"peak_bytes": GB}).model_dump())
    assert memory.peaks.need(kind_of(sized(5, 1))) == 2 * GB, "the largest counts"


def test_memory_of_other_peoples_processes_is_left_to_them() -> None:
    machine = Machine()
    machine.gpu("cuda:0")
    measured(machine, 1, 2 * GB)
    machine.take(machine.made.device_seen("cuda:0", 7 * GB, 6 * GB))
    machine.ask(*(sized(gene, 1) for gene in range(9)))
    machine.start()
    assert len(machine.running()) == 1
    machine.take(machine.made.device_seen("cuda:0", 3 * GB, 0))
    machine.start()
    assert len(machine.running()) == 4, "when they have left, their memory is used"


def test_where_the_driver_does_not_say_whose_memory_it_is_what_we_cannot_explain_is_others() -> None:
    machine = Machine()
    machine.gpu("cuda:0")
    measured(machine, 1, 2 * GB)
    machine.take(machine.made.device_seen("cuda:0", 6 * GB, None))
    machine.ask(*(sized(gene, 1) for gene in range(9)))
    machine.start()
    assert len(machine.running()) == 2


def test_jobs_go_where_they_fit() -> None:
    machine = Machine()
    machine.gpu("cuda:0", 4 * GB)
    machine.gpu("cuda:1", 40 * GB)
    measured(machine, 1, 20 * GB)
    large = [sized(1, 1), sized(2, 1)]
    machine.ask(*large)
    machine.start()
    assert machine.running("cuda:1") == machine.keys(large[:1])


def test_a_job_that_is_larger_than_any_gpu_is_tried_on_an_empty_one() -> None:
    machine = Machine()
    machine.gpu("cuda:0")
    measured(machine, 1, 50 * GB)
    jobs = [sized(1, 1), sized(2, 1)]
    machine.ask(*jobs)
    machine.start()
    assert machine.running() == machine.keys(jobs[:1])


def test_a_job_that_does_not_fit_now_is_overtaken_but_not_for_ever() -> None:
    machine = Machine("s", "t")
    machine.gpu("cuda:0")
    measured(machine, 1, GB)
    machine.ask(sized(1, 1))
    machine.start()
    measured(machine, 9, 8 * GB)
    small = [sized(gene, 1) for gene in range(2, 60)]
    large = sized(0, 9)
    machine.ask(*small, search="t")
    machine.ask(large)
    started = 0
    while large.key not in machine.running():
        machine.start()
        done = next(iter(sorted(machine.running())))
        machine.finish(next(job for job in [sized(1, 1), *small] if job.key == done), GB)
        started += 1
        assert started < 2 * PATIENCE + 10, "the large job starves"
    assert machine.made.waiting > 0, "others were waiting all the time"


def test_a_job_that_ran_out_of_memory_is_never_put_beside_others_again() -> None:
    """Scenario 12: alone on the device, then failed."""
    machine = Machine()
    machine.gpu("cuda:0")
    measured(machine, 1, 2 * GB)
    greedy, *others = [sized(gene, 1) for gene in range(4)]
    machine.ask(greedy, *others)
    machine.start()
    assert len(machine.running()) == 4
    machine.fail(greedy, "out_of_memory")
    machine.take(machine.made.delay_over(greedy.key))
    for other in others:
        assert greedy.key not in machine.running()
        machine.finish(other, 2 * GB)
        machine.start()
    assert machine.running() == {greedy.key}
    machine.ask(sized(7, 1))
    assert machine.running() == {greedy.key}, "nothing comes beside it"
    machine.fail(greedy, "out_of_memory")
    (failed,) = [event for event in machine.events if isinstance(event, JobFailed)]
    assert failed.outcome.reason == "out_of_memory"


def test_a_broken_gpu_ends_its_worker_and_those_that_share_it_go_on_elsewhere_uncounted() -> None:
    """Scenario 13, the pure part."""
    machine = Machine()
    machine.gpu("cuda:0")
    measured(machine, 1, 2 * GB)
    jobs = [sized(gene, 1) for gene in range(3)]
    machine.ask(*jobs)
    machine.start()
    machine.commands.clear()
    machine.fail(jobs[0], "device")
    assert len([command for command in machine.commands if isinstance(command, EndWorker)]) == 2
    failed = {event.job: event.counted for event in machine.events if isinstance(event, AttemptFailed)}
    assert failed == {jobs[0].key: True, jobs[1].key: False, jobs[2].key: False}
    machine.start()
    assert machine.keys(jobs[1:]) <= machine.running()


def test_jobs_of_a_device_that_leaves_go_on_elsewhere_and_come_back_when_it_does() -> None:
    """Scenario 42, the pure part."""
    machine = Machine()
    machine.gpu("cuda:0")
    machine.gpu("cuda:1")
    jobs = [sized(gene, 1) for gene in range(4)]
    machine.ask(*jobs)
    machine.start()
    on_first = machine.running("cuda:0")
    assert len(on_first) == 2
    left = DeviceLeft(device="cuda:0", reason="lost", message="off the bus")
    machine.take(machine.made.device_left(left))
    assert any(isinstance(command, CloseDevice) for command in machine.commands)
    machine.start()
    assert machine.running("cuda:0") == set()
    assert not machine.starting
    for job in [job for job in jobs if job.key not in on_first]:
        machine.finish(job, GB)
    machine.start()
    assert machine.running("cuda:1") == on_first
    assert {event.counted for event in machine.events if isinstance(event, AttemptFailed)} == {False}
    machine.ask(*(sized(gene, 1) for gene in range(10, 30)))
    machine.take(machine.made.device_returned(DeviceReturned(device="cuda:0", by="ada")))
    machine.start()
    assert machine.running("cuda:0")


def test_workers_that_are_not_needed_any_more_are_given_up_down_to_one() -> None:
    machine = Machine()
    machine.gpu("cuda:0")
    measured(machine, 1, GB)
    jobs = [sized(gene, 1) for gene in range(4)]
    machine.ask(*jobs)
    machine.start()
    for job in jobs:
        machine.finish(job, GB)
    assert len(machine.made.workers) == 4
    for name in list(machine.made.workers):
        machine.take(machine.made.worker_idle(name))
    assert len(machine.made.workers) == 1
    assert sum(isinstance(command, RetireWorker) for command in machine.commands) == 3
    assert not machine.starting


def test_idle_workers_leave_when_their_contexts_keep_a_job_from_the_gpu() -> None:
    machine = Machine()
    machine.gpu("cuda:0", 5 * CONTEXT_BYTES)
    measured(machine, 1, CONTEXT_BYTES // 2)
    measured(machine, 9, 3 * CONTEXT_BYTES)
    small = [sized(gene, 1) for gene in range(4)]
    machine.ask(*small)
    machine.start()
    for job in small:
        machine.finish(job, CONTEXT_BYTES // 2)
    assert len(machine.made.workers) == 4
    large = sized(51, 9)
    machine.ask(large)
    assert machine.running() == {large.key}, "3.3 contexts fit into 5, but not beside three idle ones"
    assert len(machine.made.workers) == 1


def test_a_fixed_number_of_workers_stays_as_it_is() -> None:
    machine = Machine()
    machine.gpu("cuda:0", workers=3)
    machine.start()
    assert len(machine.made.workers) == 3
    for name in list(machine.made.workers):
        machine.take(machine.made.worker_idle(name))
    machine.ask(*(sized(gene, 1) for gene in range(9)))
    machine.start()
    assert len(machine.made.workers) == 3


def test_a_slot_whose_worker_neither_ends_nor_starts_is_not_replaced() -> None:
    machine = Machine()
    machine.gpu("cpu", workers=2)
    machine.start()
    stuck = next(iter(machine.made.workers))
    machine.take(machine.made.worker_lost(stuck, "hung", "it is still there", ()))
    machine.take(machine.made.seat_lost("cpu"))
    assert (len(machine.made.workers), machine.starting) == (1, [])


def test_a_worker_that_leaves_gets_no_second_job_however_quick_it_was() -> None:
    """Guards short jobs that were sent to a worker whose device had just failed it, and died with it."""
    machine = Machine()
    machine.gpu("cuda:0", workers=1)
    first = sized(1000, 1)
    machine.ask(first)
    machine.start()
    jobs = [sized(gene, 1) for gene in range(3)]
    machine.ask(*jobs)
    machine.finish(first, GB, seconds=0.0)
    assert machine.running() == machine.keys(jobs[:2]), "the second one waits in the worker's socket"
    machine.fail(jobs[0], "device")
    assert machine.running() == machine.keys(jobs[1:2])
