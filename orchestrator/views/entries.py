"""What the fold keeps of searches, jobs, attempts, checkpoints and workers.

Requests, outcomes and specs stay the plain maps that the journal holds: a command folds many thousands of rows and
shows a few of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from store.records.candidates import candidate_id

Payload = Mapping[str, Any]
AttemptEnd = Literal["running", "succeeded", "failed", "stopped", "lost"]
SearchStatus = Literal["submitted", "running", "paused", "stopped", "interrupted", "finished", "failed"]
ServedStatus = SearchStatus | Literal["preparing", "pausing"]
"""What a search is; a daemon alone knows of the last two."""
SHORT = 12


class Note(NamedTuple):
    """One journal row, for a story."""

    sequence: int
    time: float
    kind: str
    payload: Payload


class Asked(NamedTuple):
    """A search's request, and how it was answered."""

    number: int
    job: str
    answer: str
    time: float


class SavedCheckpoint(NamedTuple):
    """A committed checkpoint: `epoch` epochs are done, and `step` steps of the next one."""

    time: float
    job: str
    attempt: int
    candidate: str
    checkpoint: str
    epoch: int
    step: int
    metrics: Payload | None


@dataclass(slots=True)
class Run:
    """One process's turn at a search, in seconds since the epoch; `last` is its last event so far."""

    start: float
    last: float
    pid: int
    open: bool = True


@dataclass(slots=True)
class PoolUse:
    """What a search had of the knowledge pool.

    Attributes:
        networks: for which it asked.
        inheriting: of these, how many start from an entry with any of their blocks.
        blocks: of the networks that it asked for.
        hits: blocks for which there was any entry to compare with.
        matches: blocks that start from an entry.
        pooled: networks whose blocks it put in.
        refused: why entries were not compared, with the most that a network was refused for it.
    """

    networks: int = 0
    inheriting: int = 0
    blocks: int = 0
    hits: int = 0
    matches: int = 0
    pooled: int = 0
    refused: dict[str, int] = field(default_factory=dict)

    def take(self, inheritance: Payload) -> None:
        """Counts an answer in."""
        blocks = inheritance["blocks"]
        matches = sum(bool(block["source"]) for block in blocks)
        self.networks += 1
        self.inheriting += matches > 0
        self.blocks += len(blocks)
        self.hits += sum(block["similarity"] > 0 for block in blocks)
        self.matches += matches
        for why, entries in inheritance.get("refused", {}).items():
            self.refused[why] = max(entries, self.refused.get(why, 0))

    @property
    def hit_ratio(self) -> float:
        """Hits of all blocks, in [0, 1]."""
        return self.hits / self.blocks if self.blocks else 0.0

    @property
    def match_ratio(self) -> float:
        """Matches of all blocks, in [0, 1]."""
        return self.matches / self.blocks if self.blocks else 0.0


@dataclass(slots=True)
class SearchEntry:
    """One search, as its events tell it.

    Attributes:
        submitted: whether it was handed to a daemon; `owner` says by whom, `by` who gave it the last order.
        weight, priority: its share of the devices.
        held: what a person did to it.
    """

    id: str
    spec: Payload
    opened: float
    runs: list[Run] = field(default_factory=list)
    requests: list[Asked] = field(default_factory=list)
    pool: PoolUse = field(default_factory=PoolUse)
    result: Payload | None = None
    state: bytes = b""
    ending: Literal["", "interrupted", "finished", "failed"] = ""
    message: str = ""
    submitted: bool = False
    owner: str = ""
    by: str = ""
    weight: float = 1.0
    priority: int = 0
    held: Literal["", "paused", "stopped"] = ""

    @property
    def name(self) -> str:
        """The name that its spec gives it."""
        return str(self.spec["name"])

    @property
    def status(self) -> SearchStatus:
        """What it is, if the process that last took it up still lives; see `search_view` for when it does not."""
        if self.ending in {"finished", "failed"}:
            return self.ending
        if self.held:
            return self.held
        if self.submitted and not self.runs:
            return "submitted"
        return "running" if self.runs and self.runs[-1].open and not self.ending else "interrupted"

    def touch(self, time: float) -> None:
        """Notes that something of it happened: a run that is killed ends with its last event."""
        if self.runs and self.runs[-1].open:
            self.runs[-1].last = time

    @property
    def seen(self) -> float:
        """When something of it happened last, in seconds since the epoch."""
        return self.runs[-1].last if self.runs else self.opened

    @property
    def seconds(self) -> float:
        """Wall time of all its runs, each from its start to its end or, if it was killed, to its last event."""
        return sum(run.last - run.start for run in self.runs)


@dataclass(slots=True)
class Attempt:
    """One worker's try at a job. `epoch` and `step` are where it started from, `reached` the last epoch committed."""

    number: int
    search: str | None
    worker: str
    device: str
    started: float
    checkpoint: str | None
    epoch: int
    step: int
    reached: int
    foreign: bool = False
    last: float = 0.0
    ended: float | None = None
    outcome: AttemptEnd = "running"
    reason: str = ""
    message: str = ""

    @property
    def seconds(self) -> float:
        """Wall time from its start to its end, or to the last that is known of it."""
        return (self.last if self.ended is None else self.ended) - self.started

    @property
    def epochs_trained(self) -> int:
        """Epochs that this attempt trained and whose checkpoint was committed."""
        return self.reached - self.epoch


@dataclass(slots=True)
class JobView:
    """A request in execution, or executed: `queued_by` is the search that queued it last, `queued_in` all that did."""

    id: str
    request: Payload
    queued: float
    state: str = "queued"
    queued_by: str | None = None
    queued_in: list[str] = field(default_factory=list)
    searches: list[str] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    checkpoints: list[SavedCheckpoint] = field(default_factory=list)
    outcome: Payload | None = None
    notes: list[Note] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """`train`, `evaluate`, `measure` or `compute`."""
        return str(self.request.get("kind", "train"))

    @property
    def epochs(self) -> int:
        """The total of epochs that it trains to; 0 if it trains nothing."""
        return int(self.request.get("epochs", 0))

    @property
    def candidate(self) -> str | None:
        """The digest of the candidate that it concerns."""
        if self.outcome and "candidate" in self.outcome:
            return str(self.outcome["candidate"])
        if self.checkpoints:
            return self.checkpoints[-1].candidate
        candidate = self.request.get("candidate")
        return candidate_id(candidate) if candidate else None

    @property
    def trained(self) -> bool:
        """Whether it ended with a trained candidate."""
        return self.outcome is not None and self.outcome.get("kind") == "trained"

    @property
    def tested(self) -> float | None:
        """The accuracy on the test images, if this job has measured it."""
        return self.outcome.get("accuracy") if self.outcome and self.request.get("split") == "test" else None

    @property
    def state_before(self) -> str | None:
        """The digest of the state that a computation starts from, if it does."""
        return self.request.get("state")

    @property
    def words(self) -> str:
        """A few words for people: `train 3f2a1b4c to 20`."""
        if self.kind == "compute":
            start = f" from state {self.state_before[:8]}" if self.state_before else ""
            return f"compute {self.request['function']}{start}"
        to = f" to {self.epochs}" if self.kind == "train" else ""
        to += " on the test images" if self.request.get("split") == "test" else ""
        return f"{self.kind} {(self.candidate or '')[:8]}{to}"


@dataclass(slots=True)
class WorkerEntry:
    """A worker process: when it said hello and how it ended."""

    name: str
    pid: int
    device: str
    started: float
    ended: float | None = None
    cause: str = ""
