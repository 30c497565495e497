"""The shapes of bodies and answers, as the OpenAPI description gives them. Bodies are checked against them too."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from orchestrator.serving.orders import HIGHEST_PRIORITY
from store.records.base import Config

LARGEST_TOTAL = 2**53
"""A double holds every integer up to here, so JSON of any make does."""

Weight = Annotated[float, Field(ge=0.01, le=100.0)]
Priority = Annotated[int, Field(ge=-HIGHEST_PRIORITY, le=HIGHEST_PRIORITY)]


class Body(Config):
    """What is sent: every key is known, and nothing is taken for what it is not (`"1"` for 1)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class NoBody(Body):
    """Nothing, or an empty object."""


class SubmitBody(Body):
    """A search to be run."""

    spec: dict[str, Any] = Field(description="as a spec's TOML holds it: docs/spec.md")
    file: str = Field(default="spec", max_length=4096, description="what the spec is called in messages")
    folder: str | None = Field(
        default=None,
        max_length=4096,
        description="absolute; relative paths in the spec are taken from here. Passed over on TCP",
    )
    weight: Weight = 1.0
    priority: Priority = 0


class PriorityBody(Body):
    """A search's share of the devices; what is left out stays as it is."""

    weight: Weight | None = None
    priority: Priority | None = None


class ExtendBody(Body):
    """Totals of a search's strategy that are raised, e.g. `{"cycles": 200}`."""

    totals: dict[str, Annotated[int, Field(ge=0, le=LARGEST_TOTAL)]] = Field(min_length=1)


class GcBody(Body):
    """What garbage collection may do."""

    delete: bool = Field(default=False, description="delete; without it, only say what would be")
    grace_seconds: float = Field(default=3600.0, ge=0, le=1e9, description="what is younger stays")


class Shape(BaseModel):
    """What is answered; more keys may come with later versions."""

    model_config = ConfigDict(extra="allow")


class ProblemShape(BaseModel):
    """One thing that is wrong with a spec or a body."""

    key: str
    value: Any
    expected: str


class ErrorDetail(BaseModel):
    """What went wrong: `kind` for machines, `message` for people, `exit_code` of the command line."""

    kind: str
    message: str
    exit_code: int
    problems: list[ProblemShape] | None = None


class ErrorShape(BaseModel):
    """Every answer that is no success."""

    error: ErrorDetail


class VersionShape(Shape):
    """`coldframe version --json`."""

    version: str
    python: str


class HealthShape(Shape):
    """Whether the daemon does its work; `sequence` is the last event in the journal."""

    status: Literal["ok", "full", "read only", "draining", "starting"]
    reason: str
    uptime_seconds: float
    sequence: int


class AccessShape(Shape):
    """What whoever asks may do."""

    public_reading: bool = Field(description="reading needs no token")
    token: bool = Field(description="may read and give orders: came with the token, or over the Unix socket")
    local: bool = Field(description="came over the Unix socket")


class TotalsShape(Shape):
    """What a search cost so far."""

    requests: int
    jobs: int
    attempts: int
    epochs_trained: int
    epochs_resumed_over: int
    memo_hits: int
    seconds: float


class ServedShape(Shape):
    """What the daemon knows of a search: whose it is, its share, how far its strategy says it is."""

    owner: str
    weight: float
    priority: int
    done: int
    total: int
    label: str


class ListedShape(ServedShape):
    """An entry of `coldframe list --json`."""

    search: str
    name: str
    status: str
    opened: float
    best_accuracy: float | None
    best_test_accuracy: float | None
    totals: TotalsShape


class SearchesShape(RootModel[list[ListedShape]]):
    """`coldframe list --json`: every search, oldest first."""


class StatusShape(ServedShape):
    """`coldframe status --json`."""

    search: str
    name: str
    status: str
    best: dict[str, Any] | None
    totals: TotalsShape
    runs: int
    epochs_saved_by_memo: int
    jobs_by_state: dict[str, int]
    running: list[dict[str, Any]]
    message: str


class SubmittedShape(Shape):
    """What became of a submission."""

    search: str
    name: str
    status: str
    new: bool


class OrderedShape(Shape):
    """What a search is after an order."""

    search: str
    name: str
    status: str


class WhyShape(Shape):
    """What a search waits for, and what would end each wait."""

    search: str
    name: str
    waits: list[dict[str, str]]


class RungsShape(Shape):
    """Accuracy per rung over running time; `points` are [seconds, mean of the latest, best]."""

    search: str
    rungs: list[dict[str, Any]]


class CandidatesShape(Shape):
    """The candidates' accuracies by order of birth; `points` are [index, accuracy]."""

    search: str
    total: int
    scored: int
    failed: int
    points: list[list[float]]
    best: list[list[float]]
    top: list[dict[str, Any]]


class FailuresShape(Shape):
    """The latest failed attempts of a search's jobs, with what they printed last."""

    search: str
    failures: list[dict[str, Any]]


class ResultShape(Shape):
    """A search's best candidates and its history; of one that goes on, as they are now."""

    search: str
    name: str
    status: str
    best: list[dict[str, Any]]
    history: list[dict[str, Any]]


class ShownShape(Shape):
    """`coldframe show --json`."""

    kind: Literal["search", "job", "checkpoint", "candidate"]
    id: str


class StoryShape(Shape):
    """`coldframe story --json`."""

    job: str
    words: str
    state: str
    story: list[str]


class DeviceShape(Shape):
    """A device as the daemon sees it now; what its driver does not tell is null."""

    device: str
    kind: str
    model: str
    state: Literal["in service", "out of service"]
    why: str
    slots: int
    busy: int


class DevicesShape(RootModel[list[DeviceShape]]):
    """Every device, also those out of service."""


class ReturnedShape(Shape):
    """A device that was asked back into service."""

    device: str
    state: str


class WorkersShape(Shape):
    """What each worker did in the last hour; times in seconds since 1970, an open segment's end is null."""

    now: float
    workers: list[dict[str, Any]]


class EventsShape(Shape):
    """Events in order; `next` is what to give as `after` for those that follow, `last` the journal's last one."""

    events: list[dict[str, Any]]
    next: int
    last: int


class ReportShape(Shape):
    """`coldframe gc --json` or `coldframe check --json`."""


class DescriptionShape(Shape):
    """OpenAPI 3.1."""

    openapi: str
    paths: dict[str, Any]
