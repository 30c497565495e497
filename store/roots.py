"""Which checkpoints the journal still needs: what `gc` keeps and `check` demands."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgpack

from store.journal import Journal, RawRow

_DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
Event = dict[str, Any]


class Roots:
    """The fold of a journal into checkpoints, by the digests of their manifests.

    Live are: what an outcome names; each candidate's newest checkpoint, so that an unfinished job can go on; what an
    evaluation still waits for; and what the last saved state, or the result, of a search mentions. A checkpoint that
    was quarantined is not live until it is saved again.

    Attributes:
        named: every checkpoint that a row has named.
        quarantined: those that could not be read back, and were not saved again since.
    """

    def __init__(self) -> None:
        self.named: set[str] = set()
        self.quarantined: set[str] = set()
        self._of_outcomes: set[str] = set()
        self._by_candidate: dict[str, list[str]] = {}
        self._awaited: dict[str, str] = {}
        self._mentioned: dict[tuple[str, str], set[str]] = {}
        self._apply: dict[str, Callable[[RawRow, Event], None]] = {
            "checkpoint_saved": self._saved,
            "checkpoint_quarantined": self._lost,
            "job_succeeded": self._succeeded,
            "job_failed": self._failed,
            "requested": self._requested,
            "state_saved": self._mentions,
            "search_finished": self._mentions,
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
        newest = {
            next((digest for digest in reversed(saved) if digest not in self.quarantined), None)
            for saved in self._by_candidate.values()
        }
        mentioned = set().union(*self._mentioned.values()) & self.named
        awaited = set(self._awaited.values())
        return (self._of_outcomes | awaited | mentioned | {digest for digest in newest if digest}) - self.quarantined

    def _saved(self, row: RawRow, event: Event) -> None:
        self._name(event["checkpoint"])
        self._by_candidate.setdefault(event["candidate"], []).append(event["checkpoint"])

    def _lost(self, row: RawRow, event: Event) -> None:
        self.quarantined.add(event["checkpoint"])

    def _succeeded(self, row: RawRow, event: Event) -> None:
        self._awaited.pop(event["job"], None)
        if event["outcome"]["kind"] == "trained":
            self._name(event["outcome"]["checkpoint"])
            self._of_outcomes.add(event["outcome"]["checkpoint"])

    def _failed(self, row: RawRow, event: Event) -> None:
        self._awaited.pop(event["job"], None)

    def _requested(self, row: RawRow, event: Event) -> None:
        if event["request"]["kind"] == "evaluate" and event["answer"] == "queued":
            self._awaited[event["job"]] = event["request"]["checkpoint"]

    def _mentions(self, row: RawRow, event: Event) -> None:
        # A state is the strategy's own: whatever in it looks like a digest may be one that it needs.
        self._mentioned[row.type, event["search"]] = {text.decode() for text in _DIGEST.findall(row.payload)}

    def _name(self, digest: str) -> None:
        self.named.add(digest)
        self.quarantined.discard(digest)
