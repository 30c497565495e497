"""What an entry of the knowledge pool is worth, and which entries a quota takes first.

Time is counted in networks that were asked for or contributed, never by a clock. An entry's *use* at a time is the sum,
over its arrival and each time that it was matched, of 2^(-age / HALF_LIFE): an arrival counts as much as one match, and
a match of HALF_LIFE networks ago half as much as one of now. It is kept as log2 of the sum of 2^(time / HALF_LIFE),
which grows only when the entry is matched and puts entries in the same order at any later time. Usefulness is use
times (1 + accuracy of the network), with an accuracy of 0 where none is known.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from store.pool_keys import Integers
from store.pool_table import PoolTable

HALF_LIFE = 1000.0
_ROOM = 0.05
"""A quota that is passed takes entries until so much of it is free, so that not every contribution has to."""


def arrived(time: int) -> float:
    """Returns the use of an entry that comes now."""
    return time / HALF_LIFE


def matched(use: npt.NDArray[np.float64], time: int) -> npt.NDArray[np.float64]:
    """Returns the use of entries that are matched now."""
    return np.logaddexp2(use, time / HALF_LIFE)


class Units:
    """Blocks in the store, by checkpoint and name. Entries of several searches may share one.

    Attributes:
        of: for each entry, the number of its block.
        bytes: the size of each block.
        manifest: the number of each block's checkpoint.
        name: the number of each block's name.
    """

    def __init__(self, table: PoolTable) -> None:
        entries = table.entries.all
        manifest = table.of_contribution("manifest", slice(None)).astype(np.int64)
        both = manifest << 32 | entries["block"]
        order = np.argsort(both, kind="stable")
        first = np.concatenate([[True], both[order][1:] != both[order][:-1]])[: len(order)]
        self.of = np.empty(len(order), dtype=np.int64)
        self.of[order] = np.cumsum(first) - 1
        unique = both[order][first]
        self.manifest, self.name = unique >> 32, unique & 0xFFFFFFFF
        self.bytes = np.zeros(len(unique), dtype=np.int64)
        np.maximum.at(self.bytes, self.of, entries["bytes"].astype(np.int64))

    def by_manifest(self, table: PoolTable) -> dict[str, frozenset[str]]:
        """Returns the names of the blocks of each checkpoint, by its manifest."""
        cuts = np.flatnonzero(self.manifest[1:] != self.manifest[:-1]) + 1
        # Networks of one space have the same names, so equal sets of them are kept once.
        sets: dict[bytes, frozenset[str]] = {}
        found: dict[str, frozenset[str]] = {}
        for start, numbers in zip([0, *cuts.tolist()], np.split(self.name, cuts), strict=True):
            if len(numbers):
                names = sets.setdefault(numbers.tobytes(), frozenset(table.blocks.all[name] for name in numbers))
                found[table.manifests.all[self.manifest[start]]] = names
        return found

    def usefulness(self, table: PoolTable) -> npt.NDArray[np.float64]:
        """Returns log2 of the usefulness of each block: that of the most useful of its entries."""
        accuracy = np.nan_to_num(table.of_contribution("accuracy", slice(None)), nan=0.0)
        values = np.full(len(self.bytes), -np.inf)
        np.maximum.at(values, self.of, table.entries.all["use"] + np.log2(1.0 + np.clip(accuracy, 0.0, 1.0)))
        return values


def least_useful(table: PoolTable, quota_bytes: int, live: Collection[str]) -> tuple[Integers, int]:
    """Chooses the entries that have to go so that a quota is kept.

    Blocks of checkpoints that are needed anyway take no room of the pool's, and would free none: they neither count nor
    go. Of equally useful blocks the one that came last goes first.

    Args:
        table: the entries.
        quota_bytes: the most that blocks may take which are kept for the pool alone.
        live: checkpoints that are needed anyway, by their manifests.

    Returns:
        The entries that go, and the bytes that this frees.
    """
    units = Units(table)
    needed = np.zeros(len(table.manifests.all), dtype=bool)
    needed[list(table.manifests.known(live))] = True
    free = np.flatnonzero(~needed[units.manifest])
    total = int(units.bytes[free].sum())
    if total <= quota_bytes:
        return np.zeros(0, dtype=np.int64), 0
    came = np.zeros(len(units.bytes), dtype=np.int64)
    np.maximum.at(came, units.of, np.arange(len(units.of)))
    order = free[np.lexsort((-came[free], units.usefulness(table)[free]))]
    excess = total - int(quota_bytes * (1.0 - _ROOM))
    going = _enough(units.bytes[order], excess)
    gone = np.zeros(len(units.bytes), dtype=bool)
    gone[order[:going]] = True
    return np.flatnonzero(gone[units.of]), int(units.bytes[order[:going]].sum())


def _enough(sizes: npt.NDArray[Any], excess: int) -> int:
    """Returns how many of the sizes, from the first on, come to so many bytes."""
    return min(len(sizes), int(np.searchsorted(np.cumsum(sizes), excess)) + 1)
