"""What a knowledge pool holds, and what happened to it."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from store.records.base import Record


class PoolStatistics(Record):
    """What a pool holds, and what it was asked for since it was made (or made anew from the journal)."""

    entries: int = Field(description="blocks; one that several searches contributed counts for each of them")
    bytes: int = Field(description="of the blocks' tensors, each block once; 0 for blocks whose size nobody told")
    checkpoints: int
    searches: dict[str, int] = Field(description="entries by the search that contributed them")
    networks: int = Field(description="networks that were asked for")
    asked: int = Field(description="their blocks")
    hits: int = Field(description="blocks for which there was an entry to compare with")
    matches: int = Field(description="blocks for which one reached the bar")
    refused: dict[str, int] = Field(description="entries that were not taken or not compared, by why, in general words")
    evicted: int = Field(description="entries that a quota took")
    forgotten: int = Field(description="entries whose checkpoints were lost")
    damage: str = Field(description="why the file had to be made anew when it was opened; empty if it had not")
    waiting: int = Field(description="records that could not be written yet, as there was no room")


class Evicted(Record):
    """What a quota took: entries, and the bytes of blocks that nothing needs any more."""

    entries: int = 0
    bytes: int = 0


class Counts(Record):
    """What happened to a pool, as its file keeps it; `time` counts networks that were asked for or contributed."""

    time: int = 0
    networks: int = 0
    asked: int = 0
    hits: int = 0
    matches: int = 0
    evicted: int = 0
    forgotten: int = 0
    refused: dict[str, int] = Field(default_factory=dict)

    def plus(self, refused: Mapping[str, int] | None, /, **more: int) -> Counts:
        """Returns the counts with more of some."""
        changes: dict[str, object] = {name: getattr(self, name) + count for name, count in more.items()}
        if refused:
            changes["refused"] = self.refused | {why: self.refused.get(why, 0) + refused[why] for why in refused}
        return self.model_copy(update=changes)
