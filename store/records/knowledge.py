"""The knowledge pool's questions and answers (FNAS section 4.3): which trained blocks a network starts from."""

from __future__ import annotations

from functools import cached_property

from pydantic import Field

from store.records.base import Record


class BlockKey(Record):
    """One block of a network, as the pool knows it: its name there, and its choices and sizes as tokens."""

    name: str = Field(description="the block's name in the network, a direct child of it, e.g. `cell03`")
    tokens: tuple[int, ...] = Field(description="one small integer for each position of the space's `block_choices`")


class PoolQuery(Record):
    """Which trained blocks fit a network best, among those that may be compared with it."""

    space: str = Field(description="digest of the space's spec: keys of other spaces mean something else")
    choices: tuple[int, ...] = Field(description="number of values of each token of a key")
    shape: tuple[int, ...] = Field(description="images as the network reads them: (channels, height, width)")
    blocks: tuple[BlockKey, ...] = Field(
        description="the network's blocks in order, those that are never inherited not"
    )
    bar: float = Field(description="least cosine similarity of the expanded keys; 1: equal keys only")
    sources: tuple[str, ...] = Field(default=(), description="ids of other searches whose blocks may be used")
    iterations: int | None = Field(
        default=None, description="only blocks of networks that were trained for so many steps; any one count if absent"
    )


class InheritedBlock(Record):
    """What the pool has for one block."""

    block: str
    source: str = Field(description="`MANIFEST/BLOCK` of the checkpoint that it starts from; empty: at random")
    similarity: float = Field(description="cosine of the expanded keys with the nearest entry; 0 if there is none")


class Inheritance(Record):
    """What the pool has for a network.

    Hit: there was an entry to compare with, however unlike. Match: it reached the bar, so the block starts from it.
    """

    blocks: tuple[InheritedBlock, ...]
    generation: int = Field(default=0, description="0: nothing is inherited; else one more than its highest source")
    iterations: int | None = Field(default=None, description="steps that the sources were trained for, all alike")
    refused: dict[str, int] = Field(
        default_factory=dict, description="why entries were not even compared, with how many: `another space`, ..."
    )

    @cached_property
    def initial(self) -> tuple[str, ...]:
        """For `Candidate.initial`: `BLOCK=MANIFEST/BLOCK` of what is inherited, in the order of the blocks."""
        return tuple(f"{one.block}={one.source}" for one in self.blocks if one.source)

    @property
    def hits(self) -> int:
        """Blocks for which the pool had any entry to compare with."""
        return sum(one.similarity > 0 for one in self.blocks)

    @property
    def matches(self) -> int:
        """Blocks that start from an entry."""
        return sum(bool(one.source) for one in self.blocks)


class Contribution(Record):
    """A trained network whose blocks enter the pool, all trained for the same number of steps."""

    candidate: str
    checkpoint: str = Field(description="the manifest that names the blocks' tensors")
    space: str
    choices: tuple[int, ...]
    shape: tuple[int, ...]
    blocks: tuple[BlockKey, ...]
    iterations: int = Field(description="optimiser steps from the network's own start")
    generation: int = Field(default=0, description="0: it was trained from random weights")
    accuracy: float | None = Field(default=None, description="best validation accuracy: how useful its blocks may be")
