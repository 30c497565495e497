"""The knowledge pool's entries as columns: what is known of each block, and which keys may be compared."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from store.pool_keys import Integers, Rows, Words, words_of
from store.records.knowledge import Contribution

CONTRIBUTION = np.dtype(
    [("manifest", "<u4"), ("search", "<u4"), ("kind", "<u4"), ("generation", "<u4"), ("accuracy", "<f8")]
)
"""One for each trained network; numbers of names, and NaN for an accuracy that is not known."""
ENTRY = np.dtype([("contribution", "<u4"), ("block", "<u4"), ("bytes", "<u8"), ("use", "<f8")])
"""One for each block; `use` is `store.pool_value`'s."""
_GROWTH = 8


class Kind(NamedTuple):
    """What has to agree before two keys are compared at all (fairness, FNAS section 4.3)."""

    space: str
    choices: tuple[int, ...]
    shape: tuple[int, ...]
    iterations: int

    @classmethod
    def of(cls, contribution: Contribution) -> Kind:
        """Returns the kind of a network's blocks."""
        return cls(contribution.space, contribution.choices, contribution.shape, contribution.iterations)


class Batch(NamedTuple):
    """Some entries with all that they refer to by number; as the file keeps them.

    Attributes:
        contributions: (networks,) of `CONTRIBUTION`.
        entries: (blocks,) of `ENTRY`, in the order in which they came.
        keys: for each kind, the keys (n, words) of those entries whose contribution is of this kind, in their order.
    """

    kinds: list[Kind]
    searches: list[str]
    blocks: list[str]
    manifests: list[str]
    contributions: npt.NDArray[Any]
    entries: npt.NDArray[Any]
    keys: list[Words]

    @classmethod
    def of(
        cls,
        search: str,
        contribution: Contribution,
        names: Sequence[str],
        keys: Words,
        sizes: Mapping[str, int],
        use: float,
    ) -> Batch:
        """Returns some blocks of one network.

        Args:
            search: who contributes them.
            contribution: the network.
            names: the blocks' names.
            keys: their keys, (blocks, words).
            sizes: the blocks' bytes by name, as far as they are known.
            use: of each entry.
        """
        contributions = np.zeros(1, dtype=CONTRIBUTION)
        contributions["generation"] = contribution.generation
        contributions["accuracy"] = math.nan if contribution.accuracy is None else contribution.accuracy
        entries = np.zeros(len(names), dtype=ENTRY)
        blocks = list(dict.fromkeys(names))
        entries["block"] = [blocks.index(name) for name in names]
        entries["bytes"] = [sizes.get(name, 0) for name in names]
        entries["use"] = use
        manifests = [contribution.checkpoint]
        return cls([Kind.of(contribution)], [search], blocks, manifests, contributions, entries, [keys])


class Names:
    """Texts (or kinds) by number, in the order in which they came."""

    def __init__(self) -> None:
        self.all: list[Any] = []
        self._numbers: dict[Any, int] = {}

    def number(self, name: Any) -> int:
        """Returns a name's number, a new one if it has none."""
        number = self._numbers.setdefault(name, len(self.all))
        if number == len(self.all):
            self.all.append(name)
        return number

    def numbers(self, names: Iterable[Any]) -> Integers:
        """Returns the numbers of names."""
        return np.array([self.number(name) for name in names], dtype=np.int64)

    def known(self, names: Iterable[Any]) -> set[int]:
        """Returns the numbers of those names that have one."""
        return {self._numbers[name] for name in names if name in self._numbers}


class Growing:
    """An array that grows at its end."""

    def __init__(self, dtype: npt.DTypeLike, width: tuple[int, ...] = ()) -> None:
        self._data = np.zeros((0, *width), dtype=dtype)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def all(self) -> npt.NDArray[Any]:
        """What is there; valid until the next change."""
        return self._data[: self._count]

    def extend(self, more: npt.NDArray[Any]) -> None:
        """Adds rows."""
        count = self._count + len(more)
        if count > len(self._data):
            room = max(count, self._count + self._count // _GROWTH + 64) if self._count else count
            grown = np.zeros((room, *self._data.shape[1:]), dtype=self._data.dtype)
            grown[: self._count] = self.all
            self._data = grown
        self._data[self._count : count] = more
        self._count = count

    def replace(self, data: npt.NDArray[Any]) -> None:
        """Holds these rows and no others."""
        self._data, self._count = data, len(data)


class PoolTable:
    """All entries of a pool, numbered in the order in which they came.

    Attributes:
        kinds, searches, blocks, manifests: names by number.
        contributions, entries: of `CONTRIBUTION` and `ENTRY`.
        keys, rows: for each kind its keys (n, words), and the numbers (n,) of the entries that they belong to.
        held: entries by kind and search, both by number.
    """

    def __init__(self) -> None:
        self.kinds, self.searches, self.blocks, self.manifests = Names(), Names(), Names(), Names()
        self.contributions, self.entries = Growing(CONTRIBUTION), Growing(ENTRY)
        self.keys: list[Growing] = []
        self.rows: list[Growing] = []
        self.held: Counter[tuple[int, int]] = Counter()

    def __len__(self) -> int:
        return len(self.entries)

    def kind(self, kind: Kind) -> int:
        """Returns a kind's number, a new one if it has none."""
        number = self.kinds.number(kind)
        if number == len(self.keys):
            self.keys.append(Growing(np.uint64, (words_of(kind.choices),)))
            self.rows.append(Growing(np.uint32))
        return number

    def append(self, batch: Batch) -> None:
        """Adds entries after those that are there."""
        kinds = np.array([self.kind(kind) for kind in batch.kinds], dtype=np.int64)
        new = batch.contributions.copy()
        new["kind"] = kinds[batch.contributions["kind"]]
        new["search"] = self.searches.numbers(batch.searches)[batch.contributions["search"]]
        new["manifest"] = self.manifests.numbers(batch.manifests)[batch.contributions["manifest"]]
        entries = batch.entries.copy()
        entries["contribution"] += len(self.contributions)
        entries["block"] = self.blocks.numbers(batch.blocks)[batch.entries["block"]]
        first = len(self.entries)
        self.contributions.extend(new)
        self.entries.extend(entries)
        of_batch = batch.contributions["kind"][batch.entries["contribution"]]
        for number, kind in enumerate(kinds):
            rows = np.flatnonzero(of_batch == number) + first
            self.keys[kind].extend(batch.keys[number])
            self.rows[kind].extend(rows)
        self._count(new, batch.entries["contribution"])

    def batch(self) -> Batch:
        """Returns all entries."""
        names = (self.kinds.all, self.searches.all, self.blocks.all, self.manifests.all)
        return Batch(*names, self.contributions.all, self.entries.all, [keys.all for keys in self.keys])

    def drop(self, rows: Integers | Rows) -> None:
        """Removes entries; those after them move up."""
        keep = np.ones(len(self.entries), dtype=bool)
        keep[rows] = False
        moved = np.cumsum(keep) - 1
        for keys, numbers in zip(self.keys, self.rows, strict=True):
            stays = keep[numbers.all]
            keys.replace(keys.all[stays])
            numbers.replace(moved[numbers.all[stays]].astype(np.uint32))
        entries = self.entries.all[keep]
        used = np.zeros(len(self.contributions), dtype=bool)
        used[entries["contribution"]] = True
        entries["contribution"] = (np.cumsum(used) - 1)[entries["contribution"]]
        self.entries.replace(entries)
        self._keep_contributions(used)
        self.held.clear()
        self._count(self.contributions.all, entries["contribution"])

    def of_contribution(self, field: str, rows: Any) -> npt.NDArray[Any]:
        """Returns what the contributions of some entries say."""
        return self.contributions.all[field][self.entries.all["contribution"][rows]]  # type: ignore[no-any-return]

    def source(self, row: int) -> str:
        """Returns `MANIFEST/BLOCK` of an entry."""
        entry = self.entries.all[row]
        manifest = self.contributions.all["manifest"][entry["contribution"]]
        return f"{self.manifests.all[manifest]}/{self.blocks.all[entry['block']]}"

    def _keep_contributions(self, used: npt.NDArray[np.bool_]) -> None:
        contributions = self.contributions.all[used]
        manifests = self.manifests.all
        self.manifests = Names()
        numbers = self.manifests.numbers(manifests[number] for number in contributions["manifest"])
        contributions["manifest"] = numbers
        self.contributions.replace(contributions)

    def _count(self, contributions: npt.NDArray[Any], of: npt.NDArray[Any]) -> None:
        """Adds to `held` the entries of these contributions, each of which is one of `of`."""
        counts = np.bincount(of, minlength=len(contributions)).tolist()
        pairs = zip(contributions["kind"].tolist(), contributions["search"].tolist(), strict=True)
        for pair, count in zip(pairs, counts, strict=True):
            self.held[pair] += count
