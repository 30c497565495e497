"""What the journal holds: everything that happened, and enough to make it happen again."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from store.records.base import Record
from store.records.knowledge import Contribution, Inheritance
from store.records.outcomes import EpochMetrics, Failure, Outcome, Reason
from store.records.requests import Request
from store.records.spec import SearchSpec


class SearchOpened(Record):
    """A search that the store has not seen."""

    type: Literal["search_opened"] = "search_opened"
    search: str
    spec: SearchSpec


class SearchExtended(Record):
    """The same search with a raised total, or other settings that do not change results."""

    type: Literal["search_extended"] = "search_extended"
    search: str
    spec: SearchSpec


class SearchStarted(Record):
    """A process took the search up (again)."""

    type: Literal["search_started"] = "search_started"
    search: str
    pid: int
    versions: dict[str, str] = Field(
        default_factory=dict, description="of Python and of what decides a training's bits"
    )
    process: str = Field(default="", description="tells the process from others that had its pid")


class SearchInterrupted(Record):
    """The search was stopped in good order and can be taken up again."""

    type: Literal["search_interrupted"] = "search_interrupted"
    search: str
    reason: str


class SearchFinished(Record):
    """The strategy returned."""

    type: Literal["search_finished"] = "search_finished"
    search: str
    result: dict[str, Any]


class SearchFailed(Record):
    """The strategy raised."""

    type: Literal["search_failed"] = "search_failed"
    search: str
    message: str


class SearchSubmitted(Record):
    """Somebody gave the search to the daemon, or gave it again; from here on every daemon of this store takes it up."""

    type: Literal["search_submitted"] = "search_submitted"
    search: str
    raw: dict[str, Any] = Field(description="the spec as it was written, with absolute paths")
    file: str = Field(default="", description="what the spec's file is called, for messages")
    owner: str = Field(default="", description="who submitted it: a user's name, or `token`")
    weight: float = 1.0
    priority: int = 0


class SearchPaused(Record):
    """The search starts nothing until it is resumed; its jobs stop at their next checkpoint."""

    type: Literal["search_paused"] = "search_paused"
    search: str
    by: str = ""


class SearchResumed(Record):
    """A paused or stopped search goes on."""

    type: Literal["search_resumed"] = "search_resumed"
    search: str
    by: str = ""


class SearchStopped(Record):
    """A person ended the search: no daemon takes it up until it is resumed or submitted again."""

    type: Literal["search_stopped"] = "search_stopped"
    search: str
    by: str = ""


class SearchPrioritised(Record):
    """The search's share of the devices: higher priorities go first, equal ones share by weight."""

    type: Literal["search_prioritised"] = "search_prioritised"
    search: str
    weight: float
    priority: int
    by: str = ""


class Requested(Record):
    """A search's `index`-th request, and how it was answered: from the memo, by a new job, or by one under way."""

    type: Literal["requested"] = "requested"
    search: str
    index: int
    job: str
    request: Request
    answer: Literal["memo", "queued", "joined"]


class JobStarted(Record):
    """An attempt was given to a worker, from a checkpoint if `checkpoint` is set."""

    type: Literal["job_started"] = "job_started"
    job: str
    attempt: int
    worker: str
    device: str
    checkpoint: str | None = None
    epoch: int = 0
    step: int = 0


class CheckpointSaved(Record):
    """The commit point of a checkpoint: from here on it is never trained again."""

    type: Literal["checkpoint_saved"] = "checkpoint_saved"
    job: str
    attempt: int
    candidate: str
    checkpoint: str
    epoch: int
    step: int = 0
    metrics: EpochMetrics | None = None


class JobSucceeded(Record):
    """A job's outcome."""

    type: Literal["job_succeeded"] = "job_succeeded"
    job: str
    attempt: int
    outcome: Outcome
    seconds: float
    peak_bytes: int | None = Field(default=None, description="most memory of its device that it took, if known")
    memory_kind: str | None = Field(default=None, description="jobs of the same kind take about as much memory")


class AttemptFailed(Record):
    """An attempt died. `counted` says whether it used up one of the job's retries."""

    type: Literal["attempt_failed"] = "attempt_failed"
    job: str
    attempt: int
    reason: Reason
    message: str
    counted: bool


class JobFailed(Record):
    """The job will not be tried again."""

    type: Literal["job_failed"] = "job_failed"
    job: str
    outcome: Failure
    searches: tuple[str, ...] = Field(default=(), description="those that were waiting, and get this answer")


class JobStopped(Record):
    """An attempt was stopped in good order; the job can be asked for again."""

    type: Literal["job_stopped"] = "job_stopped"
    job: str
    attempt: int
    reason: str


class StaleReport(Record):
    """A message of an attempt that is no longer the job's; it changed nothing."""

    type: Literal["stale_report"] = "stale_report"
    job: str
    attempt: int
    current: int
    message: str


class CheckpointQuarantined(Record):
    """A checkpoint that could not be read back; nothing resumes from it any more."""

    type: Literal["checkpoint_quarantined"] = "checkpoint_quarantined"
    checkpoint: str
    blobs: tuple[str, ...]
    message: str


class Delivered(Record):
    """The `index`-th completion that the search's `call`-th `as_completed`, or `first`, gave to the strategy."""

    type: Literal["delivered"] = "delivered"
    search: str
    call: int
    index: int
    job: str


class StateSaved(Record):
    """A strategy's state at a point where it could start again."""

    type: Literal["state_saved"] = "state_saved"
    search: str
    requests: int = Field(description="requests made before this point")
    calls: int = Field(description="calls of `as_completed` and `first` made before this point")
    state: bytes = Field(description="canonical msgpack of the strategy's state")
    rng: str = Field(description="JSON of the generator's state")
    pending: tuple[int, ...] = Field(
        default=(), description="indexes of the requests that were under way, and are asked for again"
    )


class WeightsMatched(Record):
    """What the knowledge pool had for a network; `call` counts with those of `as_completed` and `first`."""

    type: Literal["weights_matched"] = "weights_matched"
    search: str
    call: int
    inheritance: Inheritance


class WeightsPooled(Record):
    """A trained network's blocks entered the knowledge pool."""

    type: Literal["weights_pooled"] = "weights_pooled"
    search: str
    call: int
    contribution: Contribution


class WorkerStarted(Record):
    """A worker process said hello."""

    type: Literal["worker_started"] = "worker_started"
    worker: str
    pid: int
    device: str
    process: str = Field(default="", description="as in `SearchStarted`: the one that started it")


class WorkerEnded(Record):
    """A worker process ended, and why."""

    type: Literal["worker_ended"] = "worker_ended"
    worker: str
    pid: int
    cause: str
    reason: Reason | None = Field(default=None, description="none if it had been told to leave")


class DeviceLeft(Record):
    """A device is out of service: no job is placed on it."""

    type: Literal["device_left"] = "device_left"
    device: str
    reason: Literal["faults", "lost", "stuck"]
    message: str


class DeviceReturned(Record):
    """A device is in service again."""

    type: Literal["device_returned"] = "device_returned"
    device: str
    by: str = ""


AnyEvent = (
    SearchOpened
    | SearchExtended
    | SearchStarted
    | SearchInterrupted
    | SearchFinished
    | SearchFailed
    | SearchSubmitted
    | SearchPaused
    | SearchResumed
    | SearchStopped
    | SearchPrioritised
    | Requested
    | JobStarted
    | CheckpointSaved
    | JobSucceeded
    | AttemptFailed
    | JobFailed
    | JobStopped
    | StaleReport
    | CheckpointQuarantined
    | Delivered
    | StateSaved
    | WeightsMatched
    | WeightsPooled
    | WorkerStarted
    | WorkerEnded
    | DeviceLeft
    | DeviceReturned
)
Event = Annotated[AnyEvent, Field(discriminator="type")]
EVENT: TypeAdapter[AnyEvent] = TypeAdapter(Event)
