"""States of computations that are gone: made again when something starts from them, and only then."""

from __future__ import annotations

from pathlib import Path

import anyio
import msgpack
import pytest

from orchestrator.invariants import validate
from orchestrator.knowledge import Knowledge
from orchestrator.memory import Memory
from orchestrator.observer import Silent
from orchestrator.reactions import Answer, Assign, Quarantine, Reaction
from orchestrator.runtime import Runtime
from orchestrator.scheduler import Scheduler
from store.records import arrays, messages
from store.records.base import digest
from store.records.events import StateSaved
from store.records.outcomes import Computed, Failure
from store.records.requests import Compute
from store.records.spec import Resources
from tests.orchestrator.builders import scheduler
from tests.store.builders import compute_chain, new_store


def request(amount: int, state: str | None = None) -> Compute:
    return Compute(function="trainers.x:y", arguments=arrays.pack([amount]), stateful=True, state=state)


def computed(asked: Compute, word: str = "") -> Computed:
    return Computed(value=asked.arguments, state=digest([asked.key, word]))


def chain(length: int) -> list[Compute]:
    """Each request starts from the state that the one before it leaves behind."""
    requests = [request(0)]
    for amount in range(1, length):
        requests.append(request(amount, computed(requests[-1]).state))
    return requests


def finish(made: Scheduler, asked: Compute, word: str = "") -> Reaction:
    """Has the only worker finish what it has."""
    outcome = computed(asked, word)
    attempt = made.jobs[asked.key].attempt
    return checked(made, made.report("w0", messages.Finished(job=asked.key, attempt=attempt, outcome=outcome), 1.0))


def fail(made: Scheduler, asked: Compute, reason: str, **more: object) -> Reaction:
    fields = {"job": asked.key, "attempt": made.jobs[asked.key].attempt, "reason": reason, "message": "no"}
    return checked(made, made.report("w0", messages.Failed.model_validate(fields | more), 1.0))


def checked(made: Scheduler, reaction: Reaction) -> Reaction:
    if len(made.jobs) < 100:
        validate(made)
    return reaction


def done(requests: list[Compute], *kept: int) -> Scheduler:
    """A scheduler with one worker, in whose memory these are done, and only these numbers' states are there."""
    made = scheduler(retries=1)
    made.worker_ready("w0", "cpu", 1)
    for index, asked in enumerate(requests):
        made.request("s", index, asked)
        finish(made, asked)
    made.memory.forget_missing({str(computed(requests[place]).state) for place in kept})
    return made


def at_work(made: Scheduler) -> list[str]:
    return list(made.workers["w0"].jobs)


def kinds(reaction: Reaction) -> list[str]:
    return [event.type for event in reaction.events]


def test_what_is_known_is_answered_though_its_state_is_gone() -> None:
    requests = chain(3)
    made = done(requests)
    reaction = made.request("s", 9, requests[2])
    assert reaction.commands == [Answer("s", requests[2].key)]
    assert made.jobs == {}


def test_the_states_before_are_made_again_from_the_newest_that_is_there() -> None:
    requests = chain(5)
    made = done(requests[:4], 0)
    asked = made.request("s", 4, requests[4])
    assert kinds(asked) == ["requested", "job_started"]
    for remade in requests[1:4]:
        assert at_work(made) == [remade.key]
        reaction = finish(made, remade)
        assert kinds(reaction) == ["job_succeeded", "job_started"]
        assert [type(command) for command in reaction.commands] == [Assign]
    assert Answer("s", requests[4].key) in finish(made, requests[4]).commands
    assert made.memory.states.missing == set()


def test_two_jobs_that_start_from_the_same_lost_state_wait_for_one_computation() -> None:
    first, second = chain(2)
    other = request(7, second.state)
    made = done([first])
    made.request("s", 1, second)
    made.request("s", 2, other)
    assert (at_work(made), made.waiting) == ([first.key], 2)
    finish(made, first)
    assert at_work(made) == [second.key]
    finish(made, second)
    assert at_work(made) == [other.key]


def test_a_state_that_is_found_damaged_is_set_aside_and_made_again() -> None:
    requests = chain(3)
    made = done(requests[:2], 0, 1)
    made.request("s", 2, requests[2])
    lost = {"checkpoint": requests[2].state, "blobs": ("b" * 64,)}
    reaction = fail(made, requests[2], "corrupt_checkpoint", **lost)
    assert kinds(reaction) == ["checkpoint_quarantined", "attempt_failed", "job_started"]
    assert Quarantine(("b" * 64,)) in reaction.commands
    assert made.jobs[requests[2].key].failures == 0
    assert at_work(made) == [requests[1].key]
    finish(made, requests[1])
    assert Answer("s", requests[2].key) in finish(made, requests[2]).commands


def test_a_state_that_is_damaged_again_and_again_ends_the_job() -> None:
    requests = chain(2)
    made = done(requests[:1], 0)
    made.request("s", 1, requests[1])
    lost = {"checkpoint": requests[1].state}
    fail(made, requests[1], "corrupt_checkpoint", **lost)
    finish(made, requests[0])
    assert kinds(fail(made, requests[1], "corrupt_checkpoint", **lost))[-1] == "job_failed"
    assert made.jobs == {}


def test_a_state_of_unknown_origin_is_the_workers_to_find_missing() -> None:
    made, asked = done([]), request(1, "f" * 64)
    made.request("s", 0, asked)
    assert at_work(made) == [asked.key]
    assert kinds(fail(made, asked, "corrupt_checkpoint", checkpoint="f" * 64))[-1] == "job_failed"


@pytest.mark.parametrize("how", ["another state", "bad_request"])
def test_what_cannot_be_made_again_fails_the_job_and_leaves_the_old_outcome(how: str) -> None:
    first, second = chain(2)
    made = done([first])
    made.request("s", 1, second)
    reaction = finish(made, first, "other") if how == "another state" else fail(made, first, how)
    assert kinds(reaction)[-2:] == ["job_failed", "job_failed"]
    assert [command for command in reaction.commands if isinstance(command, Answer)] == [Answer("s", second.key)]
    failure = made.memory.outcome(second.key, "s")
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.message) == (
        "corrupt_checkpoint",
        "the state that it starts from is lost and was not made again",
    )
    assert made.memory.outcome(first.key, "s") == computed(first)


def test_a_remaking_that_crashes_is_tried_again() -> None:
    first, second = chain(2)
    made = done([first])
    made.request("s", 1, second)
    fail(made, first, "error")
    checked(made, made.delay_over(first.key))
    finish(made, first)
    assert at_work(made) == [second.key]


@pytest.mark.parametrize("succeeds", [True, False])
def test_a_chain_may_be_as_long_as_a_search(succeeds: bool) -> None:
    requests = chain(1200)
    made = done(requests[:-1])
    made.request("s", 5000, requests[-1])
    assert made.waiting == 1199
    if succeeds:
        for asked in requests:
            finish(made, asked)
        assert made.memory.outcome(requests[-1].key, "s") == computed(requests[-1])
    else:
        fail(made, requests[0], "bad_request")
        assert isinstance(made.memory.outcome(requests[-1].key, "s"), Failure)
    assert made.jobs == {}


async def beside_a_collection(runtime: Runtime) -> None:
    async with runtime.collecting:
        await runtime.remove_superseded(4, 0.0)


def test_the_daemon_removes_old_states_when_many_were_made(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        states = compute_chain(store, 4)
        store.journal.append([StateSaved(search="s", requests=3, calls=0, state=b"", rng="{}")])
        memory = Memory()
        for row in store.journal.raw():
            if row.type == "job_succeeded":
                memory.apply(row.type, msgpack.unpackb(row.payload, raw=False))
        runtime = Runtime(store, memory, Resources(), Silent(), Knowledge(store))
        anyio.run(runtime.remove_superseded, 5, 0.0)
        assert set(store.checkpoints.digests()) == set(states)
        anyio.run(beside_a_collection, runtime)
        assert set(store.checkpoints.digests()) == set(states)
        anyio.run(runtime.remove_superseded, 4, 0.0)
        assert set(store.checkpoints.digests()) == {states[3]}
        assert memory.states.missing == set(states[:3])
        anyio.run(runtime.remove_superseded, 1, 0.0)
        assert memory.states.fresh == 0
