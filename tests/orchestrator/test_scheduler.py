"""The scheduler: stimuli in, events and commands out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestrator.invariants import validate
from orchestrator.reactions import Answer, Assign, AwaitSpace, Delay, Quarantine, Reaction, SendStop, Terms
from orchestrator.scheduler import Scheduler
from orchestrator.waiting import why
from store.records import messages
from store.records.outcomes import Failure, Trained
from store.records.requests import Compute, Evaluate, Train
from tests.orchestrator.builders import candidate, failed, finished, saved, scheduler, train


def kinds(reaction: Reaction) -> list[str]:
    return [event.type for event in reaction.events]


def assigned(reaction: Reaction) -> list[Assign]:
    return [command for command in reaction.commands if isinstance(command, Assign)]


def running(request: Train, **options: int) -> Scheduler:
    """A scheduler with one worker that has this request as its job's first attempt."""
    made = scheduler(**options)
    made.worker_ready("w0", "cpu", 1)
    made.request("s", 0, request)
    return made


def test_a_free_worker_gets_a_job_at_once_and_the_journal_says_so_first() -> None:
    made = scheduler()
    made.worker_ready("w0", "cpu", 1)
    reaction = made.request("s", 0, train(1))
    assert kinds(reaction) == ["requested", "job_started"]
    (command,) = assigned(reaction)
    assert (command.worker, command.message.attempt, command.message.resume) == ("w0", 1, None)


def test_a_job_waits_until_a_worker_is_ready() -> None:
    made = scheduler()
    assert assigned(made.request("s", 0, train(1))) == []
    assert why(made) == "no worker is ready yet"
    assert len(assigned(made.worker_ready("w0", "cpu", 1))) == 1
    assert why(made) is None


def test_an_outcome_answers_its_search_and_frees_the_worker_for_the_next_job() -> None:
    first, second = train(1), train(2)
    made = running(first)
    made.request("s", 1, second)
    reaction = made.report("w0", finished(first, 1), 0.5)
    assert kinds(reaction) == ["job_succeeded", "job_started"]
    assert Answer("s", first.key) in reaction.commands
    assert assigned(reaction)[0].message.job == second.key
    assert isinstance(made.memory.outcome(first.key, "s"), Trained)


def test_a_known_outcome_is_a_memo_for_another_search_and_starts_nothing() -> None:
    request = train(1)
    made = running(request)
    made.report("w0", finished(request, 1), 0.5)
    made.memory.apply("search_opened", {"search": "t", "spec": {}})
    reaction = made.request("t", 0, request)
    assert [event.answer for event in reaction.events if event.type == "requested"] == ["memo"]
    assert reaction.commands == [Answer("t", request.key)]


def test_two_searches_that_ask_for_the_same_share_one_job() -> None:
    request = train(1)
    made = scheduler("s", "t")
    made.worker_ready("w0", "cpu", 1)
    made.request("s", 0, request)
    joined = made.request("t", 0, request)
    assert [event.answer for event in joined.events if event.type == "requested"] == ["joined"]
    done = made.report("w0", finished(request, 1), 0.1)
    assert {command.search for command in done.commands if isinstance(command, Answer)} == {"s", "t"}


def test_a_repeated_request_of_a_restarted_search_is_not_journalled_again() -> None:
    request = train(1)
    before = running(request)
    after = Scheduler(before.memory)
    after.add_search("s", before._terms["s"])
    assert kinds(after.request("s", 0, request)) == []
    assert assigned(after.worker_ready("w0", "cpu", 2))[0].message.attempt == 2


def test_training_further_resumes_from_the_newest_checkpoint_that_is_not_beyond() -> None:
    short, long = train(1, 2), train(1, 4)
    made = running(short)
    for epoch in (1, 2):
        made.report("w0", saved(short, 1, epoch), 0.1)
    made.report("w0", finished(short, 1), 0.1)
    (command,) = assigned(made.request("s", 1, long))
    assert command.message.resume == saved(short, 1, 2).checkpoint


def test_a_checkpoint_in_mid_epoch_is_resumed_from() -> None:
    request = train(1, 4)
    made = running(request)
    made.report("w0", saved(request, 1, 1), 0.1)
    made.report("w0", saved(request, 1, 1, step=7), 0.1)
    made.worker_lost("w0", "crashed", "exited", made.workers["w0"].jobs[:1])
    made.delay_over(request.key)
    (command,) = assigned(made.worker_ready("w0", "cpu", 2))
    assert command.message.resume == saved(request, 1, 1, step=7).checkpoint


def test_a_crashed_attempt_is_tried_again_after_a_delay_and_then_given_up() -> None:
    request = train(1)
    made = running(request, retries=1)
    reaction = made.worker_lost("w0", "crashed", "exited with status 3", made.workers["w0"].jobs[:1])
    assert kinds(reaction) == ["worker_ended", "attempt_failed"]
    assert [type(command) for command in reaction.commands] == [Delay]
    made.delay_over(request.key)
    made.worker_ready("w0", "cpu", 2)
    last = made.worker_lost("w0", "crashed", "exited with status 3", made.workers["w0"].jobs[:1])
    assert kinds(last) == ["worker_ended", "attempt_failed", "job_failed"]
    outcome = made.memory.outcome(request.key, "s")
    assert isinstance(outcome, Failure)
    assert outcome.message == "exited with status 3 (2 attempts failed)"
    assert any("crashed" in line for line in outcome.story)


def test_each_delay_is_longer_than_the_one_before() -> None:
    request = train(1)
    made = running(request, retries=5)
    delays = []
    for number in range(4):
        reaction = made.worker_lost("w0", "crashed", "exited", made.workers["w0"].jobs[:1])
        delays += [command.seconds for command in reaction.commands if isinstance(command, Delay)]
        made.delay_over(request.key)
        made.worker_ready("w0", "cpu", number + 2)
    assert delays == sorted(delays)
    assert len(delays) == 4


@pytest.mark.parametrize("reason", ["diverged", "bad_request"])
def test_what_is_the_candidates_own_fault_is_not_tried_again_by_anyone(reason: str) -> None:
    request = train(1)
    made = running(request)
    assert kinds(made.report("w0", failed(request, 1, reason), 0.1)) == ["attempt_failed", "job_failed"]
    outcome = made.memory.outcome(request.key, "another search")
    assert isinstance(outcome, Failure)
    assert not outcome.retryable


def test_a_failure_that_says_nothing_of_the_candidate_is_tried_again_by_another_search() -> None:
    request = train(1)
    made = running(request, retries=0)
    made.report("w0", failed(request, 1, "error"), 0.1)
    assert made.memory.outcome(request.key, "s") is not None
    assert made.memory.outcome(request.key, "another search") is None


def test_a_job_out_of_memory_gets_the_device_to_itself_and_then_fails() -> None:
    big, other, third = train(1), train(2), train(3)
    made = running(big)
    made.worker_ready("w1", "cpu", 2)
    made.request("s", 1, other)
    made.request("s", 2, third)
    made.report("w0", failed(big, 1, "out_of_memory"), 0.1)
    alone = made.delay_over(big.key)
    assert assigned(alone) == []
    made.report("w0", finished(third, 1), 0.1)
    assert made.workers["w0"].jobs == []
    assert "out of memory" in (why(made) or "")
    (command,) = assigned(made.report("w1", finished(other, 1), 0.1))
    assert (command.message.job, command.message.attempt) == (big.key, 2)
    assert assigned(made.request("s", 3, train(4))) == []
    last = made.report(command.worker, failed(big, 2, "out_of_memory"), 0.1)
    assert "job_failed" in kinds(last)
    assert len(assigned(last)) == 1


def test_a_corrupt_checkpoint_is_set_aside_and_the_one_before_it_used() -> None:
    short, long = train(1, 2), train(1, 4)
    made = running(short)
    for epoch in (1, 2):
        made.report("w0", saved(short, 1, epoch), 0.1)
    made.report("w0", finished(short, 1), 0.1)
    made.request("s", 1, long)
    bad = saved(short, 1, 2).checkpoint
    reaction = made.report("w0", failed(long, 1, "corrupt_checkpoint", checkpoint=bad, blobs=("b" * 64,)), 0.1)
    assert kinds(reaction) == ["checkpoint_quarantined", "attempt_failed", "job_started"]
    assert Quarantine(("b" * 64,)) in reaction.commands
    assert assigned(reaction)[0].message.resume == saved(short, 1, 1).checkpoint
    assert made.jobs[long.key].failures == 0


def test_a_block_to_start_from_that_is_corrupt_is_set_aside_and_fails_its_job_at_once() -> None:
    """The candidate is what it starts from, so no other try could end otherwise; the strategy asks the pool again."""
    source = train(1, 1)
    made = running(source)
    bad = saved(source, 1, 1).checkpoint
    made.report("w0", saved(source, 1, 1), 0.1)
    made.report("w0", finished(source, 1), 0.1)
    heir = Train(candidate=candidate(2).inheriting((f"stem={bad}/stem",)), epochs=2)
    made.request("s", 1, heir)
    reaction = made.report("w0", failed(heir, 1, "corrupt_block", checkpoint=bad, blobs=("b" * 64,)), 0.1)
    assert kinds(reaction) == ["checkpoint_quarantined", "attempt_failed", "job_failed"]
    assert Quarantine(("b" * 64,)) in reaction.commands
    assert Answer("s", heir.key) in reaction.commands
    outcome = made.memory.outcome(heir.key, "s")
    assert isinstance(outcome, Failure)
    assert (outcome.reason, outcome.retryable) == ("corrupt_block", False)
    assert made.memory.newest(source.candidate.id, 2) is None, "nothing resumes from it"
    validate(made)


def test_a_corrupt_block_says_nothing_about_the_candidate_to_another_search() -> None:
    """Saved anew, the block has the same digest, and the same candidate can be trained."""
    heir = Train(candidate=candidate(2).inheriting((f"stem={'a' * 64}/stem",)), epochs=2)
    made = scheduler("s", "t")
    made.worker_ready("w0", "cpu", 1)
    made.request("s", 0, heir)
    made.report("w0", failed(heir, 1, "corrupt_block", checkpoint="a" * 64), 0.1)
    assert made.request("s", 1, heir).commands == [Answer("s", heir.key)]
    assert len(assigned(made.request("t", 0, heir))) == 1


def test_something_corrupt_that_is_no_checkpoint_is_not_tried_for_ever() -> None:
    request = train(1)
    made = running(request, retries=0)
    assert "job_failed" in kinds(made.report("w0", failed(request, 1, "corrupt_checkpoint"), 0.1))


def test_a_full_disk_stops_dispatch_until_there_is_room_and_counts_against_nobody() -> None:
    request = train(1)
    made = running(request)
    made.request("s", 1, train(2))
    reaction = made.report("w0", failed(request, 1, "disk_full"), 0.1)
    assert AwaitSpace() in reaction.commands
    assert assigned(reaction) == []
    assert "disk is full" in (why(made) or "")
    assert made.jobs[request.key].failures == 0
    assert len(assigned(made.space_returned())) == 1


def test_a_worker_with_a_broken_device_gets_no_other_job() -> None:
    request = train(1)
    made = running(request)
    made.request("s", 1, train(2))
    assert assigned(made.report("w0", failed(request, 1, "device"), 0.1)) == []


@pytest.mark.parametrize("late", [lambda r: finished(r, 1), lambda r: saved(r, 1, 1), lambda r: failed(r, 1, "error")])
def test_a_report_of_an_older_attempt_is_journalled_as_stale_and_changes_nothing(
    late: Callable[[Train], messages.AnyReport],
) -> None:
    request = train(1)
    made = running(request)
    made.worker_ready("w1", "cpu", 2)
    made.worker_lost("w0", "hung", "silent", made.workers["w0"].jobs[:1])
    made.worker_ready("w0", "cpu", 3)
    made.delay_over(request.key)
    state = made.jobs[request.key].state
    reaction = made.report("w0", late(request), 0.1)
    assert kinds(reaction) == ["stale_report"]
    assert made.jobs[request.key].state is state
    assert made.memory.outcome(request.key, "s") is None


def test_draining_stops_what_runs_and_starts_nothing() -> None:
    request = train(1)
    made = running(request)
    made.request("s", 1, train(2))
    reaction = made.drain()
    assert [type(command) for command in reaction.commands] == [SendStop]
    stopped = made.report("w0", messages.Stopped(job=request.key, attempt=1), 0.1)
    assert kinds(stopped) == ["job_stopped"]
    assert stopped.commands == []
    assert made.busy == 0


def test_a_job_that_finishes_while_it_is_asked_to_stop_has_finished() -> None:
    request = train(1)
    made = running(request)
    made.drain()
    assert kinds(made.report("w0", finished(request, 1), 0.1)) == ["job_succeeded"]


def test_a_worker_that_dies_while_stopping_leaves_a_stopped_job() -> None:
    request = train(1)
    made = running(request)
    made.drain()
    assert kinds(made.worker_lost("w0", "hung", "did not stop", made.workers["w0"].jobs[:1])) == [
        "worker_ended",
        "attempt_failed",
        "job_stopped",
    ]


def test_a_quick_worker_has_one_job_ahead_and_its_end_costs_that_job_nothing() -> None:
    """Between two short jobs a worker does not wait for the journal; a long job is never queued behind another."""
    first, second, third, fourth = (train(gene) for gene in range(4))
    made = running(first)
    for index, request in enumerate((second, third, fourth), start=1):
        made.request("s", index, request)
    slow = made.report("w0", finished(first, 1), 10.0)
    assert [command.message.job for command in assigned(slow)] == [second.key]
    quick = made.report("w0", finished(second, 1), 0.001)
    assert [command.message.job for command in assigned(quick)] == [third.key, fourth.key]
    made.worker_lost("w0", "crashed", "exited", made.workers["w0"].jobs[:1])
    assert (made.jobs[third.key].failures, made.jobs[fourth.key].failures) == (1, 0)
    assert [command.message.job for command in assigned(made.worker_ready("w0", "cpu", 2))] == [fourth.key]


def test_a_worker_that_is_killed_while_stopping_never_fails_its_job() -> None:
    """Else a job that was slow to stop once would have failed for good in the resumed search."""
    request = train(1)
    made = running(request, retries=0)
    made.drain()
    lost = made.worker_lost("w0", "hung", "did not stop", [request.key])
    assert "job_failed" not in kinds(lost)
    assert made.memory.outcome(request.key, "s") is None


def test_a_job_that_never_reached_its_worker_is_not_to_blame_for_the_workers_end() -> None:
    request = train(1)
    made = running(request, retries=0)
    made.worker_lost("w0", "crashed", "exited", [])
    assert made.jobs[request.key].failures == 0


def test_an_evaluation_of_a_corrupt_checkpoint_fails_at_once() -> None:
    """Guards against asking for the same broken checkpoint for ever."""
    asked = Evaluate(candidate=candidate(1), checkpoint="c" * 64)
    made = scheduler()
    made.worker_ready("w0", "cpu", 1)
    made.request("s", 0, asked)
    message = messages.Failed(
        job=asked.key, attempt=1, reason="corrupt_checkpoint", message="flipped", checkpoint="c" * 64
    )
    assert "job_failed" in kinds(made.report("w0", message, 0.1))


def test_a_training_that_names_an_unknown_corrupt_checkpoint_is_not_tried_for_ever() -> None:
    request = train(1)
    made = running(request, retries=0)
    assert "job_failed" in kinds(made.report("w0", failed(request, 1, "corrupt_checkpoint", checkpoint="c" * 64), 0.1))


def test_a_search_that_was_not_waiting_does_not_inherit_anothers_failure() -> None:
    """A asks, is interrupted; B asks for the same and sees it fail; A, resumed, has it tried again."""
    request = train(1)
    made = running(request, retries=0)
    made.memory.apply("search_opened", {"search": "b", "spec": {}})
    other = Scheduler(made.memory)
    other.add_search("b", Terms(retries=0))
    other.worker_ready("w0", "cpu", 2)
    other.request("b", 0, request)
    other.report("w0", failed(request, 2, "error"), 0.1)
    assert made.memory.outcome(request.key, "b") is not None
    assert made.memory.outcome(request.key, "s") is None


def test_arguments_that_do_not_fit_into_a_message_are_a_failure_not_the_daemons_end() -> None:
    made = scheduler()
    made.worker_ready("w0", "cpu", 1)
    asked = Compute(function="trainers.compute:x", arguments=b"0" * (1 << 20))
    assert kinds(made.request("s", 0, asked)) == ["requested", "job_failed"]
    outcome = made.memory.outcome(asked.key, "s")
    assert isinstance(outcome, Failure)
    assert outcome.reason == "bad_request"


def test_a_long_job_is_never_queued_behind_another() -> None:
    made = running(train(0))
    for index, request in enumerate((train(1, 100), train(2, 100)), start=1):
        made.request("s", index, request)
    quick = made.report("w0", finished(train(0), 1), 0.001)
    assert len(assigned(quick)) == 1
