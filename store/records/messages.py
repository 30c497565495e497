"""The worker protocol: one tagged union each way, in length-prefixed msgpack frames (`store.records.framing`)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from store.records.base import Record
from store.records.candidates import Fault
from store.records.outcomes import EpochMetrics, Outcome, Reason
from store.records.requests import Request

PROTOCOL = 1
READY = "ready"
"""The note of the `Progress` with which a worker says that it has imported what it was told to."""

CONTEXT_BYTES = 640 << 20
"""What a process takes of a GPU beside its tensors: its CUDA context and loaded kernels, on the safe side."""


class JobSettings(Record):
    """How a worker runs a job; nothing here may change the job's result.

    Attributes:
        data_path: where the data set lies on this machine.
        cache: folder for decoded images; none if there is no room for one.
        tables: where benchmark tables lie, by the digest that a candidate's `trainer.table` names.
        cuda_graphs: whether training steps on a GPU are captured and replayed.
        log_bytes: how long the file of what the job prints may become; its middle is left out then.
    """

    data_path: str | None = None
    cache: str | None = None
    tables: dict[str, str] = Field(default_factory=dict)
    cuda_graphs: bool = True
    checkpoint_seconds: float = 30.0
    log_bytes: int = 1 << 20
    faults: tuple[Fault, ...] = ()


class Assign(Record):
    """Do this request. `resume` is the manifest to go on from."""

    type: Literal["assign"] = "assign"
    job: str
    attempt: int
    request: Request
    resume: str | None = None
    settings: JobSettings = JobSettings()


class Stop(Record):
    """Save a checkpoint at the next step, answer `Stopped`, and wait for the next order."""

    type: Literal["stop"] = "stop"
    job: str
    attempt: int


class Exit(Record):
    """Nothing more will come: leave."""

    type: Literal["exit"] = "exit"


class Hello(Record):
    """The worker's first message."""

    type: Literal["hello"] = "hello"
    protocol: int
    pid: int
    device: str
    versions: dict[str, str] = Field(default_factory=dict)


class Progress(Record):
    """The job is alive. Sent at least every second while steps are made; it is the heartbeat too."""

    type: Literal["progress"] = "progress"
    job: str
    attempt: int
    epoch: int = 0
    step: int = 0
    steps: int = 0
    images_per_second: float | None = None
    note: str = ""


class Saved(Record):
    """A checkpoint's blobs and manifest are durable; the daemon may commit it."""

    type: Literal["saved"] = "saved"
    job: str
    attempt: int
    candidate: str
    checkpoint: str
    epoch: int
    step: int = 0
    metrics: EpochMetrics | None = Field(default=None, description="of the epoch just ended; none in mid-epoch")


class Finished(Record):
    """The job's outcome."""

    type: Literal["finished"] = "finished"
    job: str
    attempt: int
    outcome: Outcome
    peak_bytes: int | None = Field(default=None, description="most memory of its device that the job took, if known")


class Failed(Record):
    """The attempt failed, and why. `checkpoint` names the manifest that could not be read, if that was it."""

    type: Literal["failed"] = "failed"
    job: str
    attempt: int
    reason: Reason
    message: str
    checkpoint: str | None = None
    blobs: tuple[str, ...] = ()


class Stopped(Record):
    """The job was stopped as asked; its last checkpoint is saved."""

    type: Literal["stopped"] = "stopped"
    job: str
    attempt: int


Order = Annotated[Assign | Stop | Exit, Field(discriminator="type")]
Report = Annotated[Hello | Progress | Saved | Finished | Failed | Stopped, Field(discriminator="type")]
AnyOrder = Assign | Stop | Exit
AnyReport = Hello | Progress | Saved | Finished | Failed | Stopped
ORDER: TypeAdapter[AnyOrder] = TypeAdapter(Order)
REPORT: TypeAdapter[AnyReport] = TypeAdapter(Report)
