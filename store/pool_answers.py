"""Answers from the knowledge pool's entries: who may see which, which may be compared, and the nearest of them."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

from store.pool_keys import KeyIndex, Nearest, pack
from store.pool_table import Kind, PoolTable
from store.records.knowledge import Inheritance, InheritedBlock, PoolQuery

_VIEWS = 4
_ROW_BITS = 40


class Answer(NamedTuple):
    """What the pool has for a network.

    Attributes:
        inheritance: the answer.
        rows: the entries that it names, by number.
        refused: entries that were not compared by why, in general words: there are few of them, whatever was asked.
    """

    inheritance: Inheritance
    rows: list[int]
    refused: dict[str, int]


class _Refused:
    """Counts of entries by why they are not compared, in general and in particular."""

    def __init__(self) -> None:
        self.in_general: Counter[str] = Counter()
        self.in_particular: Counter[str] = Counter()

    def add(self, kind: Kind, query: PoolQuery, iterations: int | None, count: int) -> None:
        """Counts entries of a kind that is another than the question's."""
        general, particular = _why(kind, query, iterations)
        self.in_general[general] += count
        self.in_particular[particular or general] += count


class _View:
    """The entries of one kind that some searches may see, indexed by key."""

    def __init__(self, width: int, *, distinct: bool) -> None:
        self.index = KeyIndex(width, distinct=distinct)
        self.taken = 0


class Answers:
    """Answers questions from a table. Equal questions over equal entries have equal answers.

    Args:
        table: the entries; when some are dropped, `Answers` has to be made anew.
    """

    def __init__(self, table: PoolTable) -> None:
        self._table = table
        self._views: OrderedDict[tuple[int, frozenset[int]], _View] = OrderedDict()

    def match(self, query: PoolQuery, searches: Collection[str]) -> Answer:
        """Returns the nearest visible entry of each block; of equally near ones that of the lowest generation, then the
        one that came first."""
        visible = frozenset(self._table.searches.known(searches))
        kind, refused = self._comparable(query, visible)
        if kind is None or not query.blocks:
            blocks = tuple(InheritedBlock(block=key.name, source="", similarity=0.0) for key in query.blocks)
            return Answer(Inheritance(blocks=blocks, refused=_sorted(refused.in_particular)), [], refused.in_general)
        view = self._view(kind, visible)
        nearest = view.index.nearest(pack([key.tokens for key in query.blocks], query.choices))
        return self._answer(query, nearest, self._table.kinds.all[kind].iterations, refused)

    def _answer(self, query: PoolQuery, nearest: Nearest, iterations: int, refused: _Refused) -> Answer:
        blocks, rows, generations = [], [], [-1]
        for key, equal, rank in zip(query.blocks, nearest.equal.tolist(), nearest.ranks.tolist(), strict=True):
            similarity = equal / len(query.choices)
            source = ""
            if equal and similarity >= query.bar:
                generation, row = divmod(rank, 1 << _ROW_BITS)
                rows.append(row)
                generations.append(generation)
                source = self._table.source(row)
            blocks.append(InheritedBlock(block=key.name, source=source, similarity=similarity))
        compared = iterations if any(block.similarity for block in blocks) else None
        inheritance = Inheritance(
            blocks=tuple(blocks),
            generation=1 + max(generations),
            iterations=compared,
            refused=_sorted(refused.in_particular),
        )
        return Answer(inheritance, rows, refused.in_general)

    def _comparable(self, query: PoolQuery, visible: frozenset[int]) -> tuple[int | None, _Refused]:
        """Returns the kind that a question is compared with, and how many entries of others are refused, and why."""
        held: Counter[int] = Counter()
        for (kind, search), count in self._table.held.items():
            if search in visible:
                held[kind] += count
        alike = {kind: count for kind, count in held.items() if _alike(self._table.kinds.all[kind], query)}
        iterations = query.iterations if query.iterations is not None else self._most_common(alike)
        chosen = next((kind for kind in alike if self._table.kinds.all[kind].iterations == iterations), None)
        refused = _Refused()
        for kind, count in held.items():
            if kind != chosen:
                refused.add(self._table.kinds.all[kind], query, iterations, count)
        return chosen, refused

    def _most_common(self, held: dict[int, int]) -> int | None:
        counts = [(-count, self._table.kinds.all[kind].iterations) for kind, count in held.items()]
        return min(counts)[1] if counts else None

    def _view(self, kind: int, visible: frozenset[int]) -> _View:
        """Returns the index of what may be seen, with all that has come since."""
        width = self._table.keys[kind].all.shape[1]
        view = self._views.pop((kind, visible), None) or _View(width, distinct=len(visible) == 1)
        self._views[kind, visible] = view
        if len(self._views) > _VIEWS:
            self._views.popitem(last=False)
        new = self._table.rows[kind].all[view.taken :]
        seen = np.isin(self._table.of_contribution("search", new), list(visible))
        generations = self._table.of_contribution("generation", new[seen]).astype(np.uint64)
        ranks = generations << np.uint64(_ROW_BITS) | new[seen].astype(np.uint64)
        view.index.extend(self._table.keys[kind].all[view.taken :][seen], ranks)
        view.taken += len(new)
        return view


def _alike(kind: Kind, query: PoolQuery) -> bool:
    return (kind.space, kind.choices, kind.shape) == (query.space, query.choices, query.shape)


def _why(kind: Kind, query: PoolQuery, iterations: int | None) -> tuple[str, str]:
    if kind.space != query.space:
        return "another space", ""
    if kind.choices != query.choices:
        return "keys of another make", ""
    if kind.shape != query.shape:
        why = "images of another shape"
        return why, f"{why}: {kind.shape} instead of {query.shape}"
    return "trained for another number of steps", f"trained for {kind.iterations} steps instead of {iterations}"


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))
