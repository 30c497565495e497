"""Placement by memory under random stimuli: jobs of many sizes, GPUs that fail, fill up, leave and return."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from orchestrator.invariants import validate
from orchestrator.reactions import Assign, Delay, Reaction, Slot
from store.records.events import DeviceLeft, DeviceReturned
from store.records.requests import Train
from tests.orchestrator.crewing import GB, Machine, sized

GPUS = {"cuda:0": 10 * GB, "cuda:1": 24 * GB}
RESERVE = GB
KINDS = {1: GB // 2, 2: 2 * GB, 3: 7 * GB, 4: 15 * GB, 5: 60 * GB}
"""Batch sizes, and what a job with such a batch really takes."""


class Checked(Machine):
    """Checks every placement when it is made, and keeps what waits for a delay."""

    def __init__(self) -> None:
        super().__init__("s", "t", retries=2)
        self.held: list[str] = []

    def take(self, reaction: Reaction) -> None:
        """Checks what was placed where, before anything else happens."""
        for command in reaction.commands:
            if isinstance(command, Assign):
                self.check(self.made.workers[command.worker].device)
            if isinstance(command, Delay):
                self.held.append(command.job)
        super().take(reaction)

    def check(self, device: str) -> None:
        """The sum of the needs is within the device, unless a job is alone there."""
        placement = self.made.placement
        offer = placement.capacity.offers[device]
        slots = [slot for slot in self.made.workers.values() if slot.device == device and slot.jobs]
        jobs = [self.made.jobs[job] for slot in slots for job in slot.jobs]
        assert offer.in_service
        if len(jobs) > 1:
            assert not any(job.alone for job in jobs)
            needs = sum(placement.capacity.need(job, device) for job in jobs)
            assert needs <= (offer.memory_bytes or 0) - RESERVE - offer.others_bytes


class PlacementMachine(RuleBasedStateMachine):
    """Random stimuli in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = Checked()
        self.requests: dict[str, Train] = {}
        for name, memory in GPUS.items():
            self.machine.gpu(name, memory, reserve_bytes=RESERVE)

    @rule(gene=st.integers(0, 40), kind=st.sampled_from(sorted(KINDS)), search=st.sampled_from(["s", "t"]))
    def ask(self, gene: int, kind: int, search: str) -> None:
        request = sized(gene, kind)
        self.requests[request.key] = request
        self.machine.ask(request, search=search)

    @rule(count=st.integers(1, 3))
    def workers_start(self, count: int) -> None:
        self.machine.start(count)

    @precondition(lambda self: self.machine.running())
    @rule(
        pick=st.integers(0, 9), what=st.sampled_from(["finish", "finish", "finish", "out_of_memory", "device", "error"])
    )
    def job_ends(self, pick: int, what: str) -> None:
        running = sorted(self.machine.running())
        request = self.requests[running[pick % len(running)]]
        if what == "finish":
            self.machine.finish(request, KINDS[request.candidate.recipe.batch_size])
        else:
            self.machine.fail(request, what)

    @rule(device=st.sampled_from(sorted(GPUS)), used=st.integers(0, 24), known=st.booleans())
    def driver_tells(self, device: str, used: int, known: bool) -> None:
        self.machine.take(self.machine.made.device_seen(device, used * GB, used * GB if known else None))

    @rule(device=st.sampled_from(sorted(GPUS)))
    def leaves_or_returns(self, device: str) -> None:
        if self.machine.made.placement.capacity.offers[device].in_service:
            event = DeviceLeft(device=device, reason="lost", message="gone")
            self.machine.take(self.machine.made.device_left(event))
            assert not self.machine.running(device)
        else:
            self.machine.take(self.machine.made.device_returned(DeviceReturned(device=device)))

    @rule(pick=st.integers(0, 9), what=st.sampled_from(["idle", "crash"]))
    def worker_idles_or_crashes(self, pick: int, what: str) -> None:
        names = sorted(self.machine.made.workers)
        if names and what == "idle":
            self.machine.take(self.machine.made.worker_idle(names[pick % len(names)]))
        elif names:
            self.machine.lose(names[pick % len(names)], "crashed", "gone")

    @rule()
    def delays_end(self) -> None:
        held, self.machine.held = self.machine.held, []
        for job in held:
            self.machine.take(self.machine.made.delay_over(job))

    @invariant()
    def consistent(self) -> None:
        validate(self.machine.made)

    @invariant()
    def seats_are_the_workers_that_there_are_or_will_be(self) -> None:
        for device, offer in self.machine.made.placement.capacity.offers.items():
            ready = [slot for slot in self._slots(device) if slot.leaving != "retired"]
            assert offer.seats == len(ready) + self.machine.starting.count(device)
            assert offer.seats <= offer.most_workers
            assert (offer.seats > 0) == offer.in_service

    def _slots(self, device: str) -> Iterator[Slot]:
        return (slot for slot in self.machine.made.workers.values() if slot.device == device)

    def teardown(self) -> None:
        """With both GPUs to itself and everything measured, every job comes to its end."""
        for device in GPUS:
            if not self.machine.made.placement.capacity.offers[device].in_service:
                self.leaves_or_returns(device)
            self.driver_tells(device, 0, True)
        for _ in range(3 * len(self.requests) + 3):
            self.delays_end()
            self.machine.start()
            for name in [name for name, slot in self.machine.made.workers.items() if slot.leaving == "broken"]:
                self.machine.lose(name, "device", "left")
            for key in sorted(self.machine.running()):
                if key in self.machine.running():
                    self.machine.finish(self.requests[key], KINDS[self.requests[key].candidate.recipe.batch_size])
        left = {job.id[:4]: (job.state, job.alone, job.held) for job in self.machine.made.jobs.values()}
        assert not left, f"{left} {self.machine.made.placement.capacity.offers} {self.machine.made.workers}"


TestPlacementMachine = PlacementMachine.TestCase
TestPlacementMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
