"""Which keys a search has in the pool already: a set of hashes in eight bytes each."""

from __future__ import annotations

import numpy as np

from store.pool_keys import Words
from store.pool_table import PoolTable

_SMALLEST_MERGE = 4096
_TAIL_SHARE = 16


class KnownKeys:
    """Keys by kind and search, as 64-bit hashes.

    For one kind and search, keys of one word have different hashes. Otherwise two different keys have the same hash
    once in some 10^19 pairs; the later one is then taken for known and not kept.

    Args:
        table: whose keys are known from the start.
    """

    def __init__(self, table: PoolTable) -> None:
        hashes = [
            _hashes(kind, table.of_contribution("search", table.rows[kind].all), keys.all)
            for kind, keys in enumerate(table.keys)
        ]
        self._sorted = np.sort(np.concatenate([np.zeros(0, dtype=np.uint64), *hashes]))
        self._new: set[int] = set()

    def add(self, kind: int, search: int, keys: Words) -> list[bool]:
        """Adds the keys (n, words) of one kind and search; returns which of them were not known."""
        if len(self._new) > max(_SMALLEST_MERGE, len(self._sorted) // _TAIL_SHARE):
            new = np.sort(np.fromiter(self._new, dtype=np.uint64, count=len(self._new)))
            self._sorted = np.sort(np.concatenate([self._sorted, new]), kind="stable")
            self._new = set()
        hashes = _hashes(kind, np.full(len(keys), search), keys)
        places = np.searchsorted(self._sorted, hashes)
        old = (
            self._sorted[np.minimum(places, len(self._sorted) - 1)] == hashes if len(self._sorted) else hashes != hashes
        )
        added = []
        for value, is_old in zip(hashes.tolist(), old.tolist(), strict=True):
            added.append(not is_old and value not in self._new)
            self._new |= {value} if added[-1] else set()
        return added


def _hashes(kind: int, searches: np.ndarray, keys: Words) -> Words:
    hashes = _mixed(np.uint64(kind) << np.uint64(32) | searches.astype(np.uint64))
    for word in range(keys.shape[1]):
        hashes = _mixed(hashes ^ keys[:, word])
    return hashes


def _mixed(values: Words) -> Words:
    """The finaliser of splitmix64: one to one, and every bit of the result depends on every bit of the value."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
