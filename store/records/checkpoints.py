"""The manifest of a checkpoint: which blocks hold its tensors, and where the training stood."""

from __future__ import annotations

import math
from itertools import accumulate
from operator import eq
from typing import Annotated

from pydantic import Field

from store.records.base import Record
from store.records.outcomes import EpochMetrics

Count = Annotated[int, Field(ge=0, lt=1 << 60)]
STATE = "state"
"""The role of what a computation leaves behind."""


class BlockManifest(Record):
    """The tensors of one element type in one block of one role; they cover the block exactly, one after the other.

    They stand in three columns, because a checkpoint has thousands of them (measured for 3,818: decoded and checked in
    2 ms, as records in 10).
    """

    role: str = Field(description="`model`, `optimizer`, or `state` of a computation")
    block: str = Field(description="the block's name in the network")
    dtype: str = Field(description="element type, a key of `store.elements.DTYPES`")
    blob: str = Field(description="digest of the block's bytes")
    names: tuple[str, ...]
    shapes: tuple[tuple[Count, ...], ...] = Field(description="a shape of () is one element")
    offsets: tuple[Count, ...] = Field(description="in elements from the block's start")

    @property
    def length(self) -> int:
        """Elements that the tensors cover."""
        return self.offsets[-1] + math.prod(self.shapes[-1]) if self.offsets else 0

    @property
    def covers(self) -> bool:
        """Whether every tensor has a name of its own and begins where the one before it ends."""
        ends = accumulate(map(math.prod, self.shapes), initial=0)
        return len(self.names) == len(self.shapes) == len(self.offsets) == len(set(self.names)) and all(
            map(eq, self.offsets, ends)
        )


class CheckpointManifest(Record):
    """A training's state after `step` steps of the epoch that follows `epoch` whole ones; or a computation's.

    It holds no clock reading, path, process number or attempt: the same training gives the same manifest, and so the
    same digest, on any machine and however often it was killed.
    """

    candidate: str = Field(description="its digest; of a computation the request's")
    epoch: Count
    step: Count
    history: tuple[EpochMetrics, ...] = Field(description="of the whole epochs")
    sums: dict[str, float] = Field(description="running sums of the epoch under way; empty between epochs")
    position: str = Field(description="JSON of the generators' states and the place in the data")
    blocks: tuple[BlockManifest, ...]
