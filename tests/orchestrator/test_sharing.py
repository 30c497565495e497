"""Several searches on the same workers: by weight, by priority, and without harm to each other."""

from __future__ import annotations

from collections import Counter

import pytest

from orchestrator.invariants import validate
from orchestrator.lifecycle import JobState
from orchestrator.reactions import Answer, Assign, Reaction, SendStop
from orchestrator.scheduler import Scheduler
from store.records import messages
from store.records.requests import Train
from tests.orchestrator.builders import finished, scheduler, train


class World:
    """Two workers and a clock: jobs take as long as a search's jobs do, and the next ones are placed."""

    def __init__(self, made: Scheduler, seconds: dict[str, float], workers: int = 2) -> None:
        self.made, self.seconds = made, seconds
        self.now, self.spent = 0.0, Counter[str]()
        self.ends: dict[str, tuple[float, float, Train, int]] = {}
        for number in range(workers):
            self.take(made.worker_ready(f"w{number}", "cpu", number))

    def take(self, reaction: Reaction) -> None:
        for command in reaction.commands:
            if isinstance(command, Assign):
                request, message = command.message.request, command.message
                assert isinstance(request, Train)
                owner = self.made.jobs[message.job].owner
                length = self.seconds[owner]
                self.spent[owner] += round(length)
                self.ends[command.worker] = (self.now + length, length, request, message.attempt)

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.ends and min(end for end, *_ in self.ends.values()) <= until:
            worker = min(self.ends, key=lambda name: self.ends[name][0])
            self.now, length, request, attempt = self.ends.pop(worker)
            self.take(self.made.report(worker, finished(request, attempt), length))
        validate(self.made)


def asked(made: Scheduler, search: str, genes: range, world: World | None = None) -> None:
    for index, gene in enumerate(genes):
        reaction = made.request(search, index, train(gene))
        if world is not None:
            world.take(reaction)


@pytest.mark.parametrize(
    ("workers", "seconds"), [(1, {"a": 10.0, "b": 10.0}), (2, {"a": 10.0, "b": 40.0}), (5, {"a": 40.0, "b": 10.0})]
)
def test_twice_the_weight_is_twice_the_time_however_long_the_jobs_are(workers: int, seconds: dict[str, float]) -> None:
    made = scheduler("a", "b")
    made.set_share("a", 2.0, 0)
    asked(made, "a", range(700))
    asked(made, "b", range(5000, 5700))
    world = World(made, seconds, workers)
    world.run(3000 / workers)
    assert world.spent["a"] / world.spent["b"] == pytest.approx(2.0, rel=0.12)


def test_a_higher_priority_goes_first_and_the_lower_one_gets_what_is_left() -> None:
    made = scheduler("low", "high")
    made.set_share("high", 1.0, 3)
    asked(made, "low", range(40))
    asked(made, "high", range(100, 110))
    world = World(made, {"low": 10.0, "high": 10.0})
    world.run(45)
    assert world.spent["high"] == 100
    assert world.spent["low"] == 0 or world.now >= 40
    world.run(100)
    assert world.spent["low"] > 0


def test_a_search_that_had_nothing_to_do_gets_no_credit_for_it() -> None:
    made = scheduler("early", "late")
    asked(made, "early", range(400))
    world = World(made, {"early": 10.0, "late": 10.0})
    world.run(1000)
    before = Counter(world.spent)
    asked(made, "late", range(1000, 1400), world)
    world.run(1000)
    assert world.spent["late"] == pytest.approx(world.spent["early"] - before["early"], rel=0.1)


def test_a_paused_search_frees_its_workers_and_goes_on_from_its_checkpoint() -> None:
    made = scheduler("a", "b")
    asked(made, "a", range(2))
    world = World(made, {"a": 10.0, "b": 10.0})
    asked(made, "b", range(10, 12), world)
    stops = [command for command in made.pause("a").commands if isinstance(command, SendStop)]
    assert {stop.worker for stop in stops} == {"w0", "w1"}
    for stop in stops:
        message = messages.Stopped(job=stop.message.job, attempt=stop.message.attempt)
        world.take(made.report(stop.worker, message, 1.0))
    assert {job.owner for job in made.jobs.values() if job.worker} == {"b"}
    assert made.waiting == 2
    world.run(100)
    assert made.busy == 0, "b is done and a is paused"
    world.take(made.resume("a"))
    assert {(job.owner, job.attempt) for job in made.jobs.values()} == {("a", 2)}


def test_what_another_search_waits_for_too_goes_on_when_one_is_paused() -> None:
    made = scheduler("a", "b")
    world = World(made, {"a": 10.0, "b": 10.0})
    world.take(made.request("a", 0, train(1)))
    world.take(made.request("b", 0, train(1)))
    assert made.pause("a").commands == []
    (job,) = made.jobs.values()
    assert job.state is JobState.STARTING
    reaction = made.report("w0", finished(train(1), 1), 1.0)
    assert [command for command in reaction.commands if isinstance(command, Answer)] == [
        Answer("a", job.id),
        Answer("b", job.id),
    ]


def test_a_job_that_stops_for_a_pause_and_is_joined_meanwhile_is_done_for_the_other_search() -> None:
    made = scheduler("a", "b")
    world = World(made, {"a": 10.0, "b": 10.0}, workers=1)
    world.take(made.request("a", 0, train(1)))
    made.pause("a")
    world.take(made.request("b", 0, train(1)))
    world.take(made.report("w0", messages.Stopped(job=train(1).key, attempt=1), 1.0))
    (job,) = made.jobs.values()
    assert (job.owner, job.attempt, job.state) == ("b", 2, JobState.STARTING)


def test_the_end_of_a_search_drops_what_nobody_else_asked_for() -> None:
    made = scheduler("a", "b")
    world = World(made, {"a": 10.0, "b": 10.0}, workers=1)
    asked(made, "a", range(4), world)
    world.take(made.request("b", 0, train(3)))
    reaction = made.remove_search("a")
    assert [type(command) for command in reaction.commands] == [SendStop]
    assert sorted(event.type for event in reaction.events) == ["job_stopped", "job_stopped"]
    world.take(made.report("w0", messages.Stopped(job=train(0).key, attempt=1), 1.0))
    assert {job.id for job in made.jobs.values()} == {train(3).key}
    validate(made)
