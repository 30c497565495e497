"""The manifest of a checkpoint: which blocks hold its tensors, and where the training stood."""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

from pydantic import Field

from store.records.base import Record
from store.records.outcomes import EpochMetrics

Count = Annotated[int, Field(ge=0, lt=1 << 60)]


class TensorSlice(NamedTuple):
    """A tensor's place in its block: `offset` in elements from the block's start. A shape of () is one element."""

    name: str
    shape: tuple[Count, ...]
    offset: Count

    @property
    def size(self) -> int:
        """Elements."""
        return math.prod(self.shape)


class BlockManifest(Record):
    """The tensors of one element type in one block of one role; their slices cover the block exactly, in order."""

    role: str = Field(description="`model` or `optimizer`")
    block: str = Field(description="the block's name in the network")
    dtype: str = Field(description="element type, a key of `store.packs.DTYPES`")
    blob: str = Field(description="digest of the block's bytes")
    tensors: tuple[TensorSlice, ...]


class CheckpointManifest(Record):
    """A training's state after `step` steps of the epoch that follows `epoch` whole ones.

    It holds no clock reading, path, process number or attempt: the same training gives the same manifest, and so the
    same digest, on any machine and however often it was killed.
    """

    candidate: str
    epoch: Count
    step: Count
    history: tuple[EpochMetrics, ...] = Field(description="of the whole epochs")
    sums: dict[str, float] = Field(description="running sums of the epoch under way; empty between epochs")
    position: str = Field(description="JSON of the generators' states and the place in the data")
    blocks: tuple[BlockManifest, ...]
