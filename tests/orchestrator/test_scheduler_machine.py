"""The scheduler under random stimuli in any order, with searches that share jobs, are paused, ended and taken up."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from orchestrator.invariants import validate
from orchestrator.lifecycle import JobState
from orchestrator.reactions import Answer, Assign, Delay, Reaction, Terms
from store.records import messages
from store.records.requests import Train
from tests.orchestrator.builders import failed, finished, saved, scheduler, train


class SchedulerMachine(RuleBasedStateMachine):
    """Random stimuli in any order: the invariants hold after each, and every request is answered at most once."""

    requests = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.made = scheduler("s", "t", retries=1)
        self.answers: set[tuple[str, str]] = set()
        self.index = {"s": 0, "t": 0}
        self.asked: set[tuple[str, str]] = set()
        self.held: list[str] = []

    def take(self, reaction: Reaction) -> None:
        for command in reaction.commands:
            if isinstance(command, Answer):
                self.answers.add((command.search, command.job))
                assert self.made.memory.knows(command.job, command.search)
            if isinstance(command, Delay):
                self.held.append(command.job)
            if isinstance(command, Assign):
                job = self.made.jobs[command.message.job]
                assert job.owner in job.searches
                assert not self.made.shares[job.owner].paused

    @rule(target=requests, gene=st.integers(0, 5), epochs=st.integers(1, 3))
    def make(self, gene: int, epochs: int) -> Train:
        return train(gene, epochs)

    @rule(request=requests, search=st.sampled_from(["s", "t"]))
    def ask(self, request: Train, search: str) -> None:
        self.asked.add((search, request.key))
        self.take(self.made.request(search, self.index[search], request))
        self.index[search] += 1

    @rule(name=st.sampled_from(["w0", "w1", "w2"]), device=st.sampled_from(["cpu", "cuda:0"]))
    def start_worker(self, name: str, device: str) -> None:
        if name not in self.made.workers:
            self.take(self.made.worker_ready(name, device, 1))

    @rule(name=st.sampled_from(["w0", "w1", "w2"]))
    def lose_worker(self, name: str) -> None:
        if name in self.made.workers:
            self.take(self.made.worker_lost(name, "crashed", "gone", self.made.workers[name].jobs[:1]))

    @rule(
        name=st.sampled_from(["w0", "w1", "w2"]),
        what=st.sampled_from(
            ["progress", "saved", "finished", "error", "diverged", "out_of_memory", "disk_full", "device", "stopped"]
        ),
        lag=st.integers(0, 1),
        seconds=st.sampled_from([0.001, 0.1]),
    )
    def say(self, name: str, what: str, lag: int, seconds: float) -> None:
        slot = self.made.workers.get(name)
        if slot is None or not slot.jobs:
            return
        job = self.made.jobs[slot.jobs[0]]
        attempt = job.attempt - lag
        if what == "stopped" and job.state is not JobState.STOPPING:
            return
        message: messages.AnyReport = {
            "progress": lambda: messages.Progress(job=job.id, attempt=attempt),
            "saved": lambda: saved(job.request, attempt, 1),  # type: ignore[arg-type]
            "finished": lambda: finished(job.request, attempt),  # type: ignore[arg-type]
            "stopped": lambda: messages.Stopped(job=job.id, attempt=attempt),
        }.get(what, lambda: failed(job.request, attempt, what))()  # type: ignore[arg-type]
        self.take(self.made.report(name, message, seconds))

    @rule(search=st.sampled_from(["s", "t"]))
    def pause(self, search: str) -> None:
        self.take(self.made.pause(search))

    @rule(search=st.sampled_from(["s", "t"]))
    def resume(self, search: str) -> None:
        self.take(self.made.resume(search))

    @rule(search=st.sampled_from(["s", "t"]), weight=st.sampled_from([0.5, 1.0, 4.0]), priority=st.integers(-1, 1))
    def prioritise(self, search: str, weight: float, priority: int) -> None:
        self.take(self.made.set_share(search, weight, priority))

    @rule(search=st.sampled_from(["s", "t"]))
    def end_and_take_up_again(self, search: str) -> None:
        self.take(self.made.remove_search(search))
        self.asked = {(name, key) for name, key in self.asked if name != search}
        assert all(search not in job.searches for job in self.made.jobs.values())
        self.made.add_search(search, Terms(retries=1))

    @rule()
    def delays_end(self) -> None:
        held, self.held = self.held, []
        for job in held:
            self.take(self.made.delay_over(job))

    @rule()
    def space(self) -> None:
        self.take(self.made.space_returned())

    @invariant()
    def consistent(self) -> None:
        validate(self.made)

    @invariant()
    def what_only_paused_searches_wait_for_does_not_go_on(self) -> None:
        for job in self.made.jobs.values():
            if job.worker is not None and all(self.made.shares[search].paused for search in job.searches):
                assert job.state is JobState.STOPPING

    @invariant()
    def nobody_waits_while_a_worker_is_idle(self) -> None:
        idle = [slot for slot in self.made.workers.values() if not slot.jobs and not slot.leaving]
        if idle and self.made.paused is None and not self.made.placement.alone and not self.alone_on(idle[0].device):
            ready = [job for job in self.made.jobs.values() if job.id in self.made.placement.queue]
            assert all(self.made.shares[search].paused for job in ready for search in job.searches)

    def alone_on(self, device: str) -> bool:
        slots = [slot for slot in self.made.workers.values() if slot.device == device]
        return any(self.made.jobs[job].alone for slot in slots for job in slot.jobs)

    @invariant()
    def what_was_asked_is_answered_or_under_way(self) -> None:
        for search, key in self.asked - self.answers:
            assert key in self.made.jobs
            assert search in self.made.jobs[key].searches


TestSchedulerMachine = SchedulerMachine.TestCase
TestSchedulerMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
