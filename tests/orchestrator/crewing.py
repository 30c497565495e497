"""A scheduler with GPUs of its own, and what plays its workers: both without a process or a clock."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.capacity import Offer
from orchestrator.crewed import CrewedScheduler
from orchestrator.memory import Memory
from orchestrator.reactions import AddWorker, Assign, CloseDevice, Command, EndWorker, Reaction, RetireWorker, Terms
from store.records import messages
from store.records.candidates import Candidate, Recipe
from store.records.events import AnyEvent, SearchOpened
from store.records.requests import Train
from tests.orchestrator.builders import candidate, finished, spec

GB = 1 << 30


def sized(gene: int, batch: int, epochs: int = 2) -> Train:
    """A training of a kind of its own for each batch size."""
    fields = {name: getattr(candidate(gene), name) for name in Candidate.model_fields}
    return Train(candidate=Candidate(**fields | {"recipe": Recipe(batch_size=batch)}), epochs=epochs)


class Machine:
    """GPUs with a scheduler, whose commands are carried out at once, but for the start of workers.

    Attributes:
        starting: devices of workers that were asked for and are not ready yet.
        events: everything that was journalled.
        placed: every job that was given to a worker, with its device.
    """

    def __init__(self, *searches: str, retries: int = 2) -> None:
        memory = Memory()
        self.made = CrewedScheduler(memory)
        for search in searches or ("s",):
            memory.apply("search_opened", SearchOpened(search=search, spec=spec(search)).model_dump())
            self.made.add_search(search, Terms(retries=retries))
        self.starting: list[str] = []
        self.events: list[AnyEvent] = []
        self.placed: list[tuple[str, str]] = []
        self.commands: list[Command] = []
        self._names = 0
        self._asked = 0

    def gpu(self, name: str, memory: int = 10 * GB, **offer: object) -> None:
        self.take(
            self.made.open_device(name, Offer(memory_bytes=memory, most_workers=4, **offer))  # type: ignore[arg-type]
        )

    def take(self, reaction: Reaction) -> None:
        """Notes what happened, and ends the workers that are to end."""
        self.events += reaction.events
        self.commands += reaction.commands
        for command in reaction.commands:
            match command:
                case AddWorker(device):
                    self.starting.append(device)
                case Assign(worker, message):
                    self.placed.append((message.job, self.made.workers[worker].device))
                case RetireWorker(worker):
                    self.lose(worker, "crashed", "left")
                case EndWorker(worker, reason, message):
                    self.lose(worker, reason, message)
                case CloseDevice(device, reason, message):
                    self.starting = [other for other in self.starting if other != device]
                    for name in [name for name, slot in self.made.workers.items() if slot.device == device]:
                        self.lose(name, reason, message)

    def lose(self, worker: str, reason: str, message: str) -> None:
        """A worker's process is gone."""
        slot = self.made.workers[worker]
        wanted = slot.leaving != "retired" and self.made.placement.capacity.offers[slot.device].seats > 0
        if wanted:
            self.starting.append(slot.device)
        self.take(self.made.worker_lost(worker, reason, message, slot.jobs))  # type: ignore[arg-type]

    def start(self, count: int = 100) -> None:
        """Lets workers become ready, so many at most, and those that are asked for because of it."""
        while self.starting and count:
            count -= 1
            device = self.starting.pop(0)
            self._names += 1
            self.take(self.made.worker_ready(f"w{self._names}", device, self._names))

    def ask(self, *requests: Train, search: str = "s") -> None:
        for request in requests:
            self.take(self.made.request(search, self._asked, request))
            self._asked += 1

    def finish(self, request: Train, peak: int | None, seconds: float = 1.0) -> None:
        """A job ends, having taken so much."""
        job = self.made.jobs[request.key]
        assert job.worker is not None
        message = finished(request, job.attempt).model_copy(update={"peak_bytes": peak})
        self.take(self.made.report(job.worker, message, seconds))

    def fail(self, request: Train, reason: str) -> None:
        job = self.made.jobs[request.key]
        assert job.worker is not None
        message = messages.Failed.model_validate(
            {"job": job.id, "attempt": job.attempt, "reason": reason, "message": f"it was {reason}"}
        )
        self.take(self.made.report(job.worker, message, 1.0))

    def running(self, device: str | None = None) -> set[str]:
        slots = [slot for slot in self.made.workers.values() if device in (None, slot.device)]
        return {job for slot in slots for job in slot.jobs}

    def keys(self, requests: Iterable[Train]) -> set[str]:
        return {request.key for request in requests}
