"""The views: what the journal says, folded."""

from __future__ import annotations

import pytest

from orchestrator.errors import UnknownId, UnknownSearch
from orchestrator.views import find, search_view, stories, timelines, totals
from store.records.arrays import pack
from store.records.candidates import Named
from store.records.events import (
    CheckpointQuarantined,
    JobSucceeded,
    SearchExtended,
    SearchOpened,
    SearchStarted,
    StaleReport,
    StateSaved,
    WorkerEnded,
    WorkerStarted,
)
from store.records.outcomes import Computed
from store.records.requests import Compute
from tests.orchestrator.telling import Teller, accuracy, candidate, small_search, spec


def test_a_finished_search_adds_up() -> None:
    teller = small_search()
    view = search_view(teller.history, teller.search)
    assert view.status == "finished"
    assert totals(view) == {
        "requests": 5,
        "jobs": 5,
        "attempts": 7,
        "epochs_trained": 2 + 2 + 2 + 2,
        "epochs_resumed_over": 2,
        "memo_hits": 0,
        "seconds": pytest.approx(2 + 2 + 1 + 0.5 + 1 + 0.5 + 1 + 1 + 0.1),
    }
    assert view.runs == 2
    assert view.costs.resumed_jobs == 1
    assert view.costs.jobs_by_state == {"succeeded": 4, "failed": 1}
    assert [job.state for job in view.troubled] == ["succeeded", "failed"]


def test_the_best_and_the_history_are_the_strategys_own_once_it_has_returned() -> None:
    teller = small_search()
    view = search_view(teller.history, teller.search)
    assert [found.candidate for found in view.best] == [candidate(seed).id for seed in (3, 2, 1)]
    assert [found.index for found in view.candidates] == [0, 1, 2, 3]
    assert view.candidates[3].failure == "diverged"
    assert view.candidates[2].curve == tuple((epoch, accuracy(3, epoch)) for epoch in (1, 2, 3, 4))


def test_before_that_candidates_stand_in_the_order_in_which_they_were_asked_for() -> None:
    teller = Teller()
    teller.open()
    teller.train(2, 2)
    teller.train(5, 1)
    teller.train(2, 4, start=2)
    waiting = teller.ask(6, 2)
    view = search_view(teller.history, teller.search)
    assert [(found.candidate, found.epochs) for found in view.candidates] == [
        (candidate(2).id, 4),
        (candidate(5).id, 1),
        (candidate(6).id, 0),
    ]
    assert [found.candidate for found in view.best] == [candidate(2).id, candidate(5).id]
    assert view.best[0].accuracy == accuracy(2, 4)
    assert teller.history.jobs[waiting].state == "queued"


def test_a_killed_process_leaves_lost_attempts_and_its_idle_time_does_not_count() -> None:
    teller = Teller()
    teller.open(pid=1)
    job = teller.ask(1, 3)
    teller.start(job)
    teller.save(job, 1, 1, seconds=2.0)
    killed = search_view(teller.history, teller.search, alive=False)
    assert killed.status == "interrupted"
    assert killed.costs.jobs_by_state == {"queued": 1}
    teller.restart(pid=2, after=86_400.0)
    assert teller.history.jobs[job].attempts[0].outcome == "lost"
    teller.start(job, epoch=1, seed=1)
    teller.save(job, 1, 2, seconds=3.0)
    view = search_view(teller.history, teller.search)
    assert view.status == "running"
    assert view.costs.seconds == pytest.approx(5.0)
    assert view.costs.epochs_trained == 2
    assert view.costs.epochs_resumed_over == 0, "a job's own checkpoint saves it nothing that another request paid for"


def test_a_killed_process_is_told_from_one_with_its_pid() -> None:
    """Guards a search in a container, where each process is number 7: another search's attempt stayed open for ever."""
    teller = Teller()
    teller.open("first", "a" * 64, pid=7)
    teller.tell(WorkerStarted(worker="worker-1", pid=8, device="cpu"))
    job = teller.ask(1, 3)
    teller.start(job)
    teller.save(job, 1, 1, seconds=2.0)
    teller.tell(seconds=3600.0)
    teller.open("second", "b" * 64, pid=7)
    teller.tell(WorkerStarted(worker="worker-1", pid=8, device="cpu"))
    new = teller.ask(2, 3)
    teller.start(new)
    first, second = (search_view(teller.history, name * 64) for name in "ab")
    assert [attempt.outcome for attempt in teller.history.jobs[job].attempts] == ["lost"]
    assert (first.status, second.status) == ("interrupted", "running")
    assert first.costs.seconds == pytest.approx(2.0)
    assert [job.id for job, _ in teller.history.open_attempts()] == [new]
    assert any("process 7 took the search up" in line for line in stories.story(teller.history.jobs[job]))


def test_a_killed_daemon_is_told_from_the_next_one_with_its_pid_whatever_comes_first() -> None:
    """Guards a daemon in a container: the second search that it took up again took the first one's jobs from it."""
    teller = Teller()

    def take_up(name: str, process: str) -> str:
        teller.search = name * 64
        teller.tell(SearchStarted(search=teller.search, pid=1, process=process), seconds=5.0)
        job = teller.ask(ord(name), 3)
        teller.start(job)
        return job

    teller.tell(*(SearchOpened(search=name * 64, spec=spec(name)) for name in "ab"))
    for process in ("boot/1/100", "boot/1/200"):
        teller.tell(WorkerStarted(worker="worker-1", pid=8, device="cpu", process=process), seconds=60.0)
        assert not list(teller.history.open_attempts()), "the process before is gone, and all that it did"
        jobs = [take_up(name, process) for name in "ab"]
        assert [job.id for job, _ in teller.history.open_attempts()] == jobs
        assert [search_view(teller.history, name * 64).status for name in "ab"] == ["running", "running"]
    told = list(stories.story(teller.history.jobs[jobs[0]]))
    assert sum("its process was killed; another one took the store" in line for line in told) == 1


def test_a_worker_that_is_started_again_takes_nothing_from_the_others() -> None:
    teller = Teller()
    teller.open()
    for worker in ("worker-1", "worker-2"):
        teller.tell(WorkerStarted(worker=worker, pid=8, device="cpu"))
    job = teller.ask(1, 3)
    teller.start(job, "worker-2")
    teller.tell(WorkerEnded(worker="worker-1", pid=8, cause="exited with status 1"))
    teller.tell(WorkerStarted(worker="worker-1", pid=9, device="cpu"))
    assert teller.history.jobs[job].state == "running"
    assert search_view(teller.history, teller.search).status == "running"


def test_a_drained_search_is_interrupted_and_its_jobs_are_stopped() -> None:
    teller = Teller()
    teller.open()
    job = teller.ask(1, 3)
    teller.start(job)
    teller.save(job, 1, 0, step=7)
    teller.stop(job)
    teller.interrupt()
    view = search_view(teller.history, teller.search)
    assert (view.status, view.message) == ("interrupted", "SIGTERM")
    assert view.costs.jobs_by_state == {"stopped": 1}
    assert view.costs.epochs_trained == 0, "half an epoch is not an epoch"


def test_an_epoch_that_is_saved_again_at_a_stop_is_not_trained_twice() -> None:
    teller = Teller()
    teller.open()
    job = teller.ask(1, 2)
    teller.start(job)
    teller.save(job, 1, 1)
    teller.fail(job)
    teller.start(job, epoch=1, seed=1)
    teller.save(job, 1, 1)
    teller.save(job, 1, 2)
    assert search_view(teller.history, teller.search).costs.epochs_trained == 2


def test_memo_answers_save_each_epoch_of_a_candidate_once() -> None:
    teller = Teller()
    teller.open("first", "a" * 64)
    teller.train(1, 2)
    teller.train(1, 4, start=2)
    teller.train(2, 2)
    first = search_view(teller.history, teller.search)
    teller.open("second", "b" * 64)
    for seed, epochs in ((1, 2), (1, 4), (2, 2), (2, 2)):
        teller.ask(seed, epochs, "memo")
    second = search_view(teller.history, teller.search)
    assert (second.costs.memo_hits, second.costs.jobs, second.costs.epochs_trained) == (4, 0, 0)
    assert second.costs.epochs_by_memo == first.costs.epochs_trained == 6
    assert second.best[0].accuracy == accuracy(1, 4)


def test_a_joined_job_costs_the_search_that_queued_it() -> None:
    teller = Teller()
    teller.open("first", "a" * 64)
    job = teller.ask(1, 1)
    teller.start(job)
    teller.open("second", "b" * 64, pid=100)
    teller.ask(1, 1, "joined")
    teller.save(job, 1, 1)
    teller.succeed(job, 1, 1)
    first, second = (search_view(teller.history, name * 64) for name in "ab")
    assert (first.costs.jobs, first.costs.attempts, first.costs.epochs_trained) == (1, 1, 1)
    assert (second.costs.joined, second.costs.attempts, second.costs.epochs_trained) == (1, 0, 0)
    assert teller.history.jobs[job].searches == ["a" * 64, "b" * 64]
    assert second.best[0].candidate == candidate(1).id


def test_a_job_queued_again_by_another_search_costs_each_its_own_attempts() -> None:
    teller = Teller()
    teller.open("first", "a" * 64)
    job = teller.ask(1, 2)
    teller.start(job)
    teller.save(job, 1, 1)
    teller.fail(job)
    teller.give_up(job)
    teller.open("second", "b" * 64)
    teller.ask(1, 2)
    teller.start(job, epoch=1, seed=1)
    teller.save(job, 1, 2)
    teller.succeed(job, 1, 2)
    first, second = (search_view(teller.history, name * 64) for name in "ab")
    assert (first.costs.attempts, first.costs.epochs_trained) == (1, 1)
    assert (second.costs.attempts, second.costs.epochs_trained) == (1, 1)


def test_resuming_from_a_retrained_checkpoint_counts_what_was_retrained() -> None:
    teller = Teller()
    teller.open()
    teller.train(1, 2)
    job = teller.ask(1, 4)
    teller.start(job, epoch=2, seed=1)
    teller.fail(job, "corrupt_checkpoint", "cannot be read", counted=False)
    damaged = CheckpointQuarantined(checkpoint=teller.checkpoint(1, 2), blobs=("f" * 64,), message="one flipped byte")
    teller.tell(damaged)
    teller.start(job, epoch=1, seed=1)
    for epoch in (2, 3, 4):
        teller.save(job, 1, epoch)
    teller.succeed(job, 1, 4)
    view = search_view(teller.history, teller.search)
    assert view.costs.epochs_resumed_over == 1
    assert view.costs.epochs_trained == 2 + 3
    assert [note.payload["message"] for note in teller.history.quarantined] == ["one flipped byte"]


def test_a_story_tells_every_row_of_a_job_in_order() -> None:
    teller = Teller()
    teller.open(pid=7)
    job = teller.ask(1, 2)
    teller.start(job)
    teller.save(job, 1, 1)
    teller.tell(StaleReport(job=job, attempt=1, current=2, message="saved"))
    teller.restart(pid=8, after=60.0)
    teller.start(job, epoch=1, seed=1)
    teller.fail(job, "hung", "silent for 120 s")
    teller.give_up(job, "hung", "no tries are left")
    lines = list(stories.story(teller.history.jobs[job]))
    expected = [
        "queued",
        "attempt 1 given to worker-1 on cpu, from the start",
        "committed checkpoint",
        "passed over a late message of attempt 1 (saved); attempt 2 is current",
        "its process was killed; process 8 took the search up",
        "(epoch 1)",
        "attempt 2 failed: hung: silent for 120 s",
        "given up: hung: no tries are left",
    ]
    assert len(lines) == len(expected)
    assert all(part in line for part, line in zip(expected, lines, strict=True)), lines
    assert lines[4].split()[1] == "61.000"


def test_timelines_leave_out_the_time_between_runs_and_mark_how_attempts_ended() -> None:
    teller = small_search()
    workers, restarts = timelines(teller.history, teller.search)
    assert [worker.worker for worker in workers] == ["worker-1", "worker-2"]
    kinds = [(segment.kind, segment.outcome, segment.epochs) for worker in workers for segment in worker.segments]
    assert kinds == [
        ("train", "succeeded", 2),
        ("train", "failed", 1),
        ("train", "failed", 0),
        ("resume", "lost", 1),
        ("train", "succeeded", 2),
        ("resume", "succeeded", 1),
        ("resume", "succeeded", 1),
    ]
    assert restarts == [pytest.approx(8.0)]
    assert max(segment.end for worker in workers for segment in worker.segments) == pytest.approx(9.0)
    assert all(segment.end >= segment.start for worker in workers for segment in worker.segments)


def test_workers_stand_in_the_order_of_their_numbers() -> None:
    teller = Teller()
    teller.open()
    for number in (10, 9, 1):
        teller.train(number, 1, worker=f"worker-{number}")
    workers, _ = timelines(teller.history, teller.search)
    assert [worker.worker for worker in workers] == ["worker-1", "worker-9", "worker-10"]


def test_a_job_that_was_handed_over_early_begins_when_its_worker_was_free() -> None:
    teller = Teller()
    teller.open()
    first, second = teller.ask(1, 1), teller.ask(2, 1)
    teller.start(first)
    teller.start(second)
    teller.save(first, 1, 1, seconds=2.0)
    teller.succeed(first, 1, 1)
    teller.save(second, 2, 1, seconds=1.0)
    teller.succeed(second, 2, 1)
    ((worker,), _) = timelines(teller.history, teller.search)
    assert [(segment.start, segment.end) for segment in worker.segments] == [(0.0, 2.0), (2.0, 3.0)]
    assert worker.busy == pytest.approx(3.0)


def test_an_extended_search_is_not_finished_any_more() -> None:
    teller = small_search()
    raised = spec("digits <&> cells").model_copy(update={"strategy": Named(name="random", options={"samples": 9})})
    teller.tell(SearchExtended(search=teller.search, spec=raised))
    teller.restart(pid=200, after=1.0)
    view = search_view(teller.history, teller.search)
    assert view.status == "running"
    assert view.spec["strategy"]["options"] == {"samples": 9}


def test_settings_changed_after_a_kill_do_not_add_the_idle_time() -> None:
    """Guards the time between a kill and `search_extended`, which was once counted as running time."""
    teller = Teller()
    teller.open(pid=1)
    job = teller.ask(1, 3)
    teller.start(job)
    teller.save(job, 1, 1, seconds=2.0)
    teller.tell(SearchExtended(search=teller.search, spec=spec()), seconds=500.0)
    teller.restart(pid=2, after=0.0)
    view = search_view(teller.history, teller.search)
    assert view.costs.seconds == pytest.approx(2.0)
    assert (view.runs, view.status) == (2, "running")
    assert teller.history.jobs[job].attempts[0].outcome == "lost"


def test_curves_of_an_unfinished_search_come_from_its_saved_state() -> None:
    teller = Teller()
    teller.open()
    state = pack({"curves": {"mean_accuracy_E": [0.25]}, "cycle": 1})
    teller.tell(StateSaved(search=teller.search, requests=0, calls=0, state=state, rng="{}"))
    assert search_view(teller.history, teller.search).curves == {"mean_accuracy_E": [0.25]}


def test_where_no_image_is_held_out_candidates_have_test_and_training_accuracies() -> None:
    teller = Teller(held_out=0.0)
    teller.open()
    for seed in (1, 2):
        teller.train(seed, 2)
    tested = teller.test(1, 2)
    view = search_view(teller.history, teller.search)
    assert [(one.accuracy, one.curve, one.train_accuracy) for one in view.candidates] == [
        (None, (), accuracy(1, 2)),
        (None, (), accuracy(2, 2)),
    ]
    assert [one.test_accuracy for one in view.best] == [accuracy(1, 2) - 0.01], "the other one has not been tested"
    assert teller.history.jobs[tested].words.endswith("on the test images")
    (trained, _) = (job for job in teller.history.jobs.values() if job.kind == "train")
    story = list(stories.story(trained))
    assert story[2].endswith(f"epoch 1, training accuracy {accuracy(1, 1):.2%}")
    assert story[-1].endswith("succeeded after 2.0 s")


def test_a_fold_without_stories_gives_the_same_view() -> None:
    from orchestrator.views import History

    teller = small_search()
    bare = History(stories=False)
    for sequence, (time, event) in enumerate(teller.events, start=1):
        bare.event(sequence, time, event)
    assert totals(search_view(bare, teller.search)) == totals(search_view(teller.history, teller.search))


def test_things_are_found_by_name_or_by_the_beginning_of_their_id() -> None:
    teller = small_search()
    history = teller.history
    job = next(iter(history.jobs))
    assert find.search(history, None) == teller.search
    assert find.search(history, "digits <&> cells") == teller.search
    assert find.search(history, "5555") == teller.search
    assert find.job(history, job[:8]) == job
    assert find.anything(history, job[:12]) == ("job", job)
    assert find.anything(history, teller.checkpoint(3, 4)) == ("checkpoint", teller.checkpoint(3, 4))
    assert find.anything(history, candidate(3).id[:12]) == ("candidate", candidate(3).id)


def test_what_is_not_there_or_not_clear_is_refused() -> None:
    teller = small_search()
    teller.open("other", "5" * 63 + "6")
    with pytest.raises(UnknownSearch, match="stands for 2"):
        find.search(teller.history, "5555")
    with pytest.raises(UnknownSearch, match="'absent' is not in this store"):
        find.search(teller.history, "absent")
    with pytest.raises(UnknownId, match="job 'abc' is not in this store"):
        find.job(teller.history, "abc")
    with pytest.raises(UnknownId, match="stands for 2: search 5555"):
        find.anything(teller.history, "55555")


def test_the_story_of_a_computation_names_its_function_and_its_states() -> None:
    teller = Teller()
    teller.open()
    asked = Compute(function="trainers.agent.iteration:iterate", arguments=b"\x90", stateful=True, state="a" * 64)
    job = teller.request(asked)
    teller.start(job)
    outcome = Computed(value=b"\x00", state="b" * 64)
    teller.tell(JobSucceeded(job=job, attempt=1, outcome=outcome, seconds=1.5))
    view = teller.history.jobs[job]
    assert view.words == "compute trainers.agent.iteration:iterate from state aaaaaaaa"
    told = [line.split("s  ", 1)[1] for line in stories.story(view)]
    assert told[1:] == [
        "attempt 1 given to worker-1 on cpu, from state aaaaaaaaaaaa",
        "attempt 1 succeeded after 1.5 s, state bbbbbbbbbbbb",
    ]
    first = teller.request(Compute(function=asked.function, arguments=b"\x90", stateful=True))
    teller.start(first)
    assert teller.history.jobs[first].words == "compute trainers.agent.iteration:iterate"
    assert list(stories.story(teller.history.jobs[first]))[-1].endswith("on cpu, from the start")
