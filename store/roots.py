"""Which checkpoints the journal still needs: what `gc` keeps and `check` demands."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import msgpack

from store.journal import Journal, RawRow

_DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
Event = dict[str, Any]


def mentioned(payload: bytes) -> set[str]:
    """Returns whatever in a row could be the digest of a checkpoint."""
    return {text.decode() for text in _DIGEST.findall(payload)}


class Roots:
    """The fold of a journal into checkpoints, by the digests of their manifests.

    Live are: what a training's outcome names; each candidate's newest checkpoint, so that an unfinished job can go on;
    what an evaluation or a computation still waits for; what an unfinished search has computed since its last saved
    state; and what the spec, the last saved state, or the result, of a search mentions. A checkpoint that was
    quarantined is not live until it is saved again.

    Attributes:
        named: every checkpoint that a row has named.
        quarantined: those that could not be read back, and were not saved again since.
        inherited: the single blocks that networks which are still to be trained start from.
        computed: what computations left behind.
    """

    def __init__(self) -> None:
        self.named: set[str] = set()
        self.quarantined: set[str] = set()
        self._of_outcomes: set[str] = set()
        self._by_candidate: dict[str, list[tuple[int, int, str]]] = {}  # epoch, step, digest; as they were saved
        self._awaited: dict[str, str] = {}
        self._mentioned: dict[tuple[str, str], set[str]] = {}
        self.inherited = InheritedBlocks()
        self.computed = ComputedStates()
        self._apply: dict[str, Callable[[RawRow, Event], None]] = {
            "checkpoint_saved": self._saved,
            "checkpoint_quarantined": self._lost,
            "job_succeeded": self._succeeded,
            "job_failed": self._failed,
            "requested": self._requested,
            "state_saved": self._state_saved,
            "search_opened": self._mentions,
            "search_finished": self._search_finished,
            "weights_matched": self._matched,
        }

    @classmethod
    def of(cls, journal: Journal) -> Roots:
        """Folds a whole journal."""
        roots = cls()
        for row in journal.raw(types=roots._apply):
            roots._apply[row.type](row, msgpack.unpackb(row.payload, raw=False))
        return roots

    @property
    def live(self) -> set[str]:
        """The checkpoints that must be there."""
        newest = {saved[-1][2] for saved in self._sound()}
        awaited = set(self._awaited.values())
        of_searches = set().union(*self._mentioned.values()) & self.named
        needed = self._of_outcomes | awaited | of_searches | self.computed.live()
        return (needed | newest) - self.quarantined

    @property
    def furthest(self) -> set[str]:
        """Each candidate's checkpoint with the most training in it, from which an unfinished job goes on.

        It is not the newest one where fewer epochs were asked for later.
        """
        return {max(saved)[2] for saved in self._sound()}

    def _sound(self) -> Iterator[list[tuple[int, int, str]]]:
        """Yields what was saved of each candidate of which anything can be read."""
        for saved in self._by_candidate.values():
            if sound := [one for one in saved if one[2] not in self.quarantined]:
                yield sound

    def _saved(self, row: RawRow, event: Event) -> None:
        self._name(event["checkpoint"])
        reached = (event["epoch"], event["step"], event["checkpoint"])
        self._by_candidate.setdefault(event["candidate"], []).append(reached)

    def _lost(self, row: RawRow, event: Event) -> None:
        self.quarantined.add(event["checkpoint"])

    def _succeeded(self, row: RawRow, event: Event) -> None:
        self._ended(event["job"])
        if event["outcome"]["kind"] == "trained":
            self._name(event["outcome"]["checkpoint"])
            self._of_outcomes.add(event["outcome"]["checkpoint"])
        if state := event["outcome"].get("state"):
            self._name(state)
            self.computed.made(event["job"], state)

    def _failed(self, row: RawRow, event: Event) -> None:
        self._ended(event["job"])

    def _ended(self, job: str) -> None:
        self._awaited.pop(job, None)
        self.inherited.ended(job)

    def _requested(self, row: RawRow, event: Event) -> None:
        request, job = event["request"], event["job"]
        if request.get("stateful"):
            self.computed.requested(event["search"], event["index"], job)
        if event["answer"] != "queued":
            return
        if request["kind"] == "train":
            self.inherited.queued(job, request["candidate"].get("initial", ()))
        if needed := request.get("checkpoint") or request.get("state"):
            self._awaited[job] = needed

    def _matched(self, row: RawRow, event: Event) -> None:
        self.inherited.matched(event["search"], event["call"], event["inheritance"]["blocks"])

    def _state_saved(self, row: RawRow, event: Event) -> None:
        self.inherited.saved(event["search"], event["calls"])
        self.computed.saved(event["search"], event["requests"], event.get("pending", ()))
        self._mentions(row, event)

    def _search_finished(self, row: RawRow, event: Event) -> None:
        self.inherited.finished(event["search"])
        self.computed.finished(event["search"])
        self._mentions(row, event)

    def _mentions(self, row: RawRow, event: Event) -> None:
        # A spec names what is taken over from earlier searches. A state is the strategy's own: whatever in it looks
        # like a digest may be one that it needs.
        self._mentioned[row.type, event["search"]] = mentioned(row.payload)

    def _name(self, digest: str) -> None:
        self.named.add(digest)
        self.quarantined.discard(digest)


class InheritedBlocks:
    """The blocks of trained networks that others, which are still to be trained, start from.

    These are the initial blocks of trainings that have not ended, and what the knowledge pool has answered an
    unfinished search since its last saved state: taken up again it gets the same answers, and asks for the same
    trainings. Each is named `MANIFEST/BLOCK`.
    """

    def __init__(self) -> None:
        self._of_jobs: dict[str, tuple[str, ...]] = {}
        self._of_calls: defaultdict[str, dict[int, tuple[str, ...]]] = defaultdict(dict)

    def queued(self, job: str, initial: Iterable[str]) -> None:
        """A training is to be done, from `BLOCK=MANIFEST/BLOCK` each."""
        if sources := tuple(one.partition("=")[2] for one in initial):
            self._of_jobs[job] = sources

    def ended(self, job: str) -> None:
        """A job has an outcome."""
        self._of_jobs.pop(job, None)

    def matched(self, search: str, call: int, blocks: Iterable[Event]) -> None:
        """The pool has answered a search's call."""
        self._of_calls[search][call] = tuple(block["source"] for block in blocks if block["source"])

    def saved(self, search: str, calls: int) -> None:
        """A search's calls before this one are never made again."""
        kept = {call: sources for call, sources in self._of_calls[search].items() if call >= calls}
        self._of_calls[search] = kept

    def finished(self, search: str) -> None:
        """All that a search was answered is trained, or was not wanted."""
        self._of_calls.pop(search, None)

    def by_manifest(self) -> dict[str, set[str]]:
        """Returns the names of the blocks by the digests of their manifests."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for source in self._sources():
            manifest, _, block = source.partition("/")
            found[manifest].add(block)
        return dict(found)

    def _sources(self) -> Iterator[str]:
        for sources in self._of_jobs.values():
            yield from sources
        for calls in self._of_calls.values():
            for sources in calls.values():
                yield from sources


class ComputedStates:
    """The states of computations, and which of them unfinished searches may go on from.

    A search that is taken up again makes its requests since its last saved state again, and goes on from the last of
    their states. An older one is needed only where something mentions it.
    """

    def __init__(self) -> None:
        self._made: dict[str, str] = {}
        self._asked: defaultdict[str, dict[int, str]] = defaultdict(dict)

    @property
    def all(self) -> set[str]:
        """Every state that a computation has left behind."""
        return set(self._made.values())

    def live(self) -> set[str]:
        """Returns the states that unfinished searches have computed since their last saved states."""
        jobs = {job for asked in self._asked.values() for job in asked.values()}
        return {state for job, state in self._made.items() if job in jobs}

    def requested(self, search: str, index: int, job: str) -> None:
        """A search has asked for a computation with state."""
        self._asked[search][index] = job

    def made(self, job: str, state: str) -> None:
        """A computation has left a state behind."""
        self._made[job] = state

    def saved(self, search: str, requests: int, pending: Collection[int]) -> None:
        """A search's requests before this one are never made again, but for some."""
        asked = self._asked[search].items()
        self._asked[search] = {index: job for index, job in asked if index >= requests or index in pending}

    def finished(self, search: str) -> None:
        """A search will make no request again."""
        self._asked.pop(search, None)
