"""What the scheduler answers: events to commit, then commands for the runtime to perform. Pure values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from store.records import messages
from store.records.events import AnyEvent
from store.records.messages import JobSettings
from store.records.outcomes import Reason


@dataclass(frozen=True, slots=True)
class Assign:
    """Send a job to a worker."""

    worker: str
    message: messages.Assign


@dataclass(frozen=True, slots=True)
class SendStop:
    """Ask a worker to stop its job at a checkpoint, and kill it if it does not in time."""

    worker: str
    message: messages.Stop


@dataclass(frozen=True, slots=True)
class Answer:
    """Give a request's outcome, which is in memory now, to the search that waits for it."""

    search: str
    job: str


@dataclass(frozen=True, slots=True)
class Delay:
    """Call `delay_over` for the job after so many seconds."""

    job: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Put blobs that could not be read aside."""

    blobs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AwaitSpace:
    """Call `space_returned` when the store's disk has room again."""


@dataclass(frozen=True, slots=True)
class AddWorker:
    """Start one more worker on a device."""

    device: str


@dataclass(frozen=True, slots=True)
class RetireWorker:
    """Let a worker that has no job leave, and start no other in its place."""

    worker: str


@dataclass(frozen=True, slots=True)
class EndWorker:
    """Kill a worker, whose jobs go on elsewhere; another one is started in its place."""

    worker: str
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class CloseDevice:
    """Kill all workers of a device, and start none in their places."""

    device: str
    reason: Reason
    message: str


Sort = tuple[str, str, int]
"""A kind of request, its trainer, and the epochs to do: jobs alike in these take about as long."""

DeviceCommand = AddWorker | RetireWorker | EndWorker | CloseDevice
Command = Assign | SendStop | Answer | Delay | Quarantine | AwaitSpace | DeviceCommand


@dataclass(frozen=True, slots=True)
class Terms:
    """What a search's spec says about its jobs."""

    settings: JobSettings = field(default_factory=JobSettings)
    retries: int = 3


Leaving = Literal["", "broken", "evicted", "retired"]
"""Why a worker leaves: its device failed it; it is ended through no fault of its jobs; it is not needed."""


@dataclass(slots=True)
class Slot:
    """One worker, and the jobs that it has: the first is under way, the second waits in its socket.

    A second one is sent only if jobs of its `quick` sort were short here, so that a worker need not wait for the
    journal between two of them. A worker that is leaving gets nothing.
    """

    device: str
    pid: int
    jobs: list[str] = field(default_factory=list)
    quick: Sort | None = None
    leaving: Leaving = ""


@dataclass(slots=True)
class Reaction:
    """What follows from a stimulus: events to commit first, then commands to perform."""

    events: list[AnyEvent] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
