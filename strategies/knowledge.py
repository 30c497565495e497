"""The knowledge pool of simulated worlds: exact and small, over made-up checkpoints (FNAS section 4.3).

It compares what the store's pool compares, in the plainest way, and keeps what a search contributed, by its calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from store.records.knowledge import BlockKey, Contribution, Inheritance, InheritedBlock, PoolQuery


class _Entry(NamedTuple):
    """A block that a network may start from."""

    key: BlockKey
    origin: Contribution


@dataclass
class SimulatedPool:
    """The blocks that a search has put in, and what it was told.

    Attributes:
        pooled: contributions by call.
        matched: answers by call.
    """

    pooled: dict[int, Contribution] = field(default_factory=dict)
    matched: dict[int, Inheritance] = field(default_factory=dict)

    def look_up(self, query: PoolQuery) -> Inheritance:
        """Returns the most similar block for each of the query's, the earlier contribution in a tie.

        Only blocks that were trained for as many steps are compared with each other: those of the query's count, else
        of the largest that there is.
        """
        refused: Counter[str] = Counter()
        fitting: list[Contribution] = []
        for one in self.pooled.values():
            why = _mismatch(one, query)
            if why:
                refused[why] += len(one.blocks)
            else:
                fitting.append(one)
        iterations = query.iterations or max((one.iterations for one in fitting), default=None)
        entries = [_Entry(key, one) for one in fitting if one.iterations == iterations for key in one.blocks]
        found = [_nearest(block, entries, query.bar) for block in query.blocks]
        sources = [entry.origin for _, entry in found if entry is not None]
        return Inheritance(
            blocks=tuple(block for block, _ in found),
            generation=1 + max(one.generation for one in sources) if sources else 0,
            iterations=iterations if sources else None,
            refused=dict(refused),
        )


def _mismatch(one: Contribution, query: PoolQuery) -> str:
    """Says why a contribution's blocks cannot even be compared with the query's; empty if they can."""
    if (one.space, one.choices) != (query.space, query.choices):
        return "another space"
    return "another shape of images" if one.shape != query.shape else ""


def _nearest(block: BlockKey, entries: Iterable[_Entry], bar: float) -> tuple[InheritedBlock, _Entry | None]:
    """Returns what a block is told, and the entry that it starts from if one is similar enough."""
    best, similarity = None, 0.0
    for entry in entries:
        share = _similarity(block.tokens, entry.key.tokens)
        if share > similarity:
            best, similarity = entry, share
    if best is None or similarity < bar:
        return InheritedBlock(block=block.name, source="", similarity=similarity), None
    source = f"{best.origin.checkpoint}/{best.key.name}"
    return InheritedBlock(block=block.name, source=source, similarity=similarity), best


def _similarity(one: Sequence[int], other: Sequence[int]) -> float:
    """The cosine of two expanded keys: each has one 1 for every token, so it is the share of equal tokens."""
    return sum(a == b for a, b in zip(one, other, strict=True)) / len(one)
