"""Jobs move along the edges of the table and along no other."""

from __future__ import annotations

import itertools

import pytest

from orchestrator.errors import InvalidTransition
from orchestrator.lifecycle import ON_WORKER, TERMINAL, TRANSITIONS, Job, JobState, move
from tests.orchestrator.builders import train


def job(state: JobState) -> Job:
    made = Job("a" * 64, train(0), retries=1, state=state)
    made.worker = "worker-0" if state in ON_WORKER else None
    return made


@pytest.mark.parametrize(("start", "finish"), sorted(TRANSITIONS))
def test_every_edge_of_the_table_can_be_taken_and_is_told(start: JobState, finish: JobState) -> None:
    moved = job(start)
    move(moved, finish, "because")
    assert moved.state is finish
    assert moved.story[-1].endswith(f"{start} -> {finish}: because")


@pytest.mark.parametrize(
    ("start", "finish"), [pair for pair in itertools.product(JobState, JobState) if pair not in TRANSITIONS]
)
def test_no_other_edge_can_be_taken(start: JobState, finish: JobState) -> None:
    stuck = job(start)
    stuck.tell("it was asked for")
    with pytest.raises(InvalidTransition, match="it was asked for"):
        move(stuck, finish, "because")
    assert stuck.state is start


def test_terminal_states_have_no_way_out() -> None:
    assert not [start for start, _ in TRANSITIONS if start in TERMINAL]


def test_every_state_can_be_reached() -> None:
    assert {finish for _, finish in TRANSITIONS} | {JobState.QUEUED} == set(JobState)


def test_a_job_off_its_worker_forgets_it() -> None:
    running = job(JobState.RUNNING)
    move(running, JobState.QUEUED, "died")
    assert running.worker is None


def test_a_long_story_keeps_its_end() -> None:
    talkative = job(JobState.QUEUED)
    for number in range(1000):
        talkative.tell(str(number))
    assert talkative.story[-1] == "999"
    assert len(talkative.story) == 200
