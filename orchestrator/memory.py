"""What the journal says, folded: outcomes, checkpoints, attempts, and where each search is. Pure.

The same `apply` serves start-up, over all rows, and the running daemon, over each row that it commits: so recovery is
not a second code path. It works on maps, not on records, because a start decodes many thousands of rows; what lies in
such a map is plain when it comes from a row, and may be a record when it comes from the event itself.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgpack
from pydantic import BaseModel

from orchestrator.peaks import Peaks
from orchestrator.remaking import ComputedStates
from store.records.events import StateSaved
from store.records.knowledge import Inheritance
from store.records.outcomes import OUTCOME, AnyOutcome, Reason

Payload = Mapping[str, Any]

# Failures that say nothing about the candidate: another search tries again.
TRANSIENT: frozenset[Reason] = frozenset(
    {
        "crashed",
        "hung",
        "device",
        "disk_full",
        "corrupt_checkpoint",
        "corrupt_block",
        "error",
        "out_of_memory",
        "host_memory",
    }
)


class Checkpoint(NamedTuple):
    """A committed checkpoint of a candidate; sorts by how far it is."""

    epoch: int
    step: int
    digest: str


@dataclass(slots=True)
class SearchMemory:
    """Where one search is.

    Attributes:
        matched: what the knowledge pool answered, packed, by call; of the calls since the last saved state.
        pooled: the checkpoint that entered the pool, by call; likewise.
        versions: those that the search was last taken up with; empty if that was not written down.
        submitted: its spec as somebody gave it to the daemon; None if nobody did.
        paused: who paused it; None while it is not paused.
        stopped: whether a person ended it.
    """

    spec: dict[str, Any]
    status: str = "interrupted"
    requests: dict[int, str] = field(default_factory=dict)
    delivered: dict[tuple[int, int], str] = field(default_factory=dict)
    matched: dict[int, bytes] = field(default_factory=dict)
    pooled: dict[int, str] = field(default_factory=dict)
    failures: dict[str, bytes] = field(default_factory=dict)
    saved: Payload | None = None
    starts: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    submitted: dict[str, Any] | None = None
    file: str = ""
    owner: str = ""
    weight: float = 1.0
    priority: int = 0
    paused: str | None = None
    stopped: bool = False

    def restored(self) -> StateSaved | None:
        """The last saved state, if there is one."""
        return StateSaved.model_validate(self.saved) if self.saved else None

    def forget_before_saved(self) -> None:
        """Forgets what no later turn asks for again: it goes on from the last saved state. Not while a turn runs."""
        if self.saved is None:
            return
        first, calls, pending = self.saved["requests"], self.saved["calls"], set(self.saved.get("pending") or ())
        self.requests = {index: job for index, job in self.requests.items() if index >= first or index in pending}
        self.delivered = {place: job for place, job in self.delivered.items() if place[0] >= calls}

    def inheritance(self, call: int) -> Inheritance | None:
        """What the knowledge pool answered at a call, if that is recorded."""
        packed = self.matched.get(call)
        return None if packed is None else Inheritance.model_validate(msgpack.unpackb(packed, raw=False))


class Memory:
    """The fold of a journal."""

    def __init__(self) -> None:
        self.searches: dict[str, SearchMemory] = {}
        self.attempts: dict[str, int] = {}
        self.states = ComputedStates()
        self.peaks = Peaks()
        self.devices_left: dict[str, Payload] = {}
        self._outcomes: dict[str, bytes] = {}  # packed: a history as Python objects takes ten times the memory
        self._checkpoints: dict[str, list[Checkpoint]] = {}
        self._apply: dict[str, Callable[[Payload], None]] = {
            "search_opened": self._opened,
            "search_extended": self._extended,
            "search_started": self._started,
            "search_interrupted": lambda e: self._status(e, "interrupted"),
            "search_finished": self._finished,
            "search_failed": self._failed,
            "search_submitted": self._submitted,
            "search_paused": self._paused,
            "search_resumed": self._resumed,
            "search_stopped": self._stopped,
            "search_prioritised": self._prioritised,
            "requested": self._requested,
            "job_started": self._job_started,
            "checkpoint_saved": self._checkpoint_saved,
            "checkpoint_quarantined": self._quarantined,
            "job_succeeded": self._job_succeeded,
            "job_failed": self._job_failed,
            "delivered": self._delivered,
            "state_saved": self._state_saved,
            "weights_matched": self._weights_matched,
            "weights_pooled": self._weights_pooled,
            "device_left": self._device_left,
            "device_returned": self._device_returned,
        }

    def apply(self, kind: str, event: Payload) -> None:
        """Takes note of one journalled event; kinds that change nothing here are passed over."""
        if handler := self._apply.get(kind):
            handler(event)

    def knows(self, job: str, search: str) -> bool:
        """Whether a request of this search has an outcome already."""
        return self._packed(job, search) is not None

    def outcome(self, job: str, search: str) -> AnyOutcome | None:
        """Returns what is known of a request's outcome, as far as this search is concerned.

        A failure that says nothing about the candidate answers only the searches that saw it fail: they get the same
        answer for ever, another search tries again.
        """
        packed = self._packed(job, search)
        return None if packed is None else OUTCOME.validate_python(msgpack.unpackb(packed, raw=False))

    def _packed(self, job: str, search: str) -> bytes | None:
        own = self.searches[search].failures.get(job) if search in self.searches else None
        return own or self._outcomes.get(job)

    def newest(self, candidate: str, epochs: int) -> Checkpoint | None:
        """Returns a candidate's furthest checkpoint at or before `epochs`, or None."""
        usable = [c for c in self._checkpoints.get(candidate, []) if (c.epoch, c.step) <= (epochs, 0)]
        return usable[-1] if usable else None

    def has(self, candidate: str, checkpoint: str) -> bool:
        """Whether a candidate has this checkpoint, and it is not quarantined."""
        return any(known.digest == checkpoint for known in self._checkpoints.get(candidate, ()))

    def forget_missing(self, there: Collection[str]) -> None:
        """Forgets superseded checkpoints that are not there any more, and notes which computations' states are not.

        Garbage collection takes both. A candidate's newest checkpoint is kept even so: only damage can take that, and
        whoever wants it must hear of it.
        """
        for known in self._checkpoints.values():
            known[:] = [checkpoint for checkpoint in known[:-1] if checkpoint.digest in there] + known[-1:]
        self.states.forget_missing(there)

    def forget_removed(self, removed: Collection[str]) -> None:
        """Forgets checkpoints that a collection removes, as `forget_missing` those that one had removed before."""
        for known in self._checkpoints.values():
            if any(checkpoint.digest in removed for checkpoint in known[:-1]):
                known[:] = [checkpoint for checkpoint in known[:-1] if checkpoint.digest not in removed] + known[-1:]
        self.states.removed(removed)

    def _opened(self, event: Payload) -> None:
        self.searches[event["search"]] = SearchMemory(spec=_plain(event["spec"]))

    def _extended(self, event: Payload) -> None:
        search = self.searches[event["search"]]
        search.spec = _plain(event["spec"])
        if search.status == "finished":
            search.status = "interrupted"

    def _started(self, event: Payload) -> None:
        search = self.searches[event["search"]]
        search.starts += 1
        search.versions = dict(event.get("versions") or {})
        self._status(event, "running")

    def _status(self, event: Payload, status: str) -> None:
        self.searches[event["search"]].status = status

    def _finished(self, event: Payload) -> None:
        search = self.searches[event["search"]]
        search.status = "finished"
        search.paused, search.stopped = None, False  # too late: with a higher total it goes on
        search.forget_before_saved()

    def _failed(self, event: Payload) -> None:
        """A strategy raised; if what it saw last is a computation that failed for a passing reason, it is done again.

        Else the search would end there for ever, however often it is taken up.
        """
        self._status(event, "failed")
        failures = self.searches[event["search"]].failures
        if failures and (last := next(reversed(failures))) in self.states:
            del failures[last]

    def _submitted(self, event: Payload) -> None:
        search = self.searches[event["search"]]
        search.submitted, search.file, search.owner = dict(event["raw"]), event["file"], event["owner"]
        search.weight, search.priority, search.stopped = event["weight"], event["priority"], False
        if search.status == "failed":
            search.status = "interrupted"

    def _paused(self, event: Payload) -> None:
        self.searches[event["search"]].paused = event["by"]

    def _resumed(self, event: Payload) -> None:
        search = self.searches[event["search"]]
        search.paused, search.stopped = None, False
        if search.status == "failed":
            search.status = "interrupted"

    def _stopped(self, event: Payload) -> None:
        search = self.searches[event["search"]]
        search.paused, search.stopped = None, True

    def _prioritised(self, event: Payload) -> None:
        search = self.searches[event["search"]]
        search.weight, search.priority = event["weight"], event["priority"]

    def _requested(self, event: Payload) -> None:
        self.searches[event["search"]].requests[event["index"]] = event["job"]
        self.states.requested(event)

    def _job_started(self, event: Payload) -> None:
        self.attempts[event["job"]] = event["attempt"]

    def _checkpoint_saved(self, event: Payload) -> None:
        known = self._checkpoints.setdefault(event["candidate"], [])
        checkpoint = Checkpoint(event["epoch"], event["step"], event["checkpoint"])
        if checkpoint not in known:
            insort(known, checkpoint)

    def _quarantined(self, event: Payload) -> None:
        for known in self._checkpoints.values():
            known[:] = [c for c in known if c.digest != event["checkpoint"]]
        self.states.lost(event["checkpoint"])

    def _job_succeeded(self, event: Payload) -> None:
        outcome = _plain(event["outcome"])
        self._outcomes[event["job"]] = _pack(outcome)
        self.peaks.succeeded(event)
        if state := outcome.get("state"):
            self.states.made(event["job"], state)

    def _job_failed(self, event: Payload) -> None:
        outcome = _plain(event["outcome"])
        if outcome["reason"] not in TRANSIENT:
            # What succeeded once, and only could not be done again for its state, has its outcome for good.
            self._outcomes.setdefault(event["job"], _pack(outcome))
            return
        for search in event["searches"]:
            self.searches[search].failures[event["job"]] = _pack(outcome)

    def _device_left(self, event: Payload) -> None:
        self.devices_left[event["device"]] = event

    def _device_returned(self, event: Payload) -> None:
        self.devices_left.pop(event["device"], None)

    def _delivered(self, event: Payload) -> None:
        self.searches[event["search"]].delivered[event["call"], event["index"]] = event["job"]

    def _state_saved(self, event: Payload) -> None:
        """Keeps the state; what the search asked the pool before it, it never asks again."""
        search = self.searches[event["search"]]
        search.saved = event
        for recorded in (search.matched, search.pooled):
            for call in [call for call in recorded if call < event["calls"]]:
                del recorded[call]

    def _weights_matched(self, event: Payload) -> None:
        self.searches[event["search"]].matched[event["call"]] = _pack(event["inheritance"])

    def _weights_pooled(self, event: Payload) -> None:
        contribution = _plain(event["contribution"])
        self.searches[event["search"]].pooled[event["call"]] = contribution["checkpoint"]


def _plain(value: Any) -> Any:
    return value.model_dump() if isinstance(value, BaseModel) else value


def _pack(outcome: Any) -> bytes:
    return msgpack.packb(_plain(outcome), use_bin_type=True)  # type: ignore[no-any-return]
