"""Block keys as bits, and exact nearest neighbours among them by the cosine of their expanded embeddings.

An embedding is one-hot for each token (FNAS section 3.1), so for keys with as many tokens the cosine is the share of
tokens that are equal, and that is the number of bits that both keys have, by the number of tokens. A key of 64
dimensions is one machine word, and a comparison is one `&` and one count of bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Piece = npt.NDArray[np.uint32]
Integers = npt.NDArray[np.int64]
Rows = npt.NDArray[np.uint32]

NO_RANK = np.uint64(2**64 - 1)
_WORD = 64
_PIECE = 22
_CHUNK = 1 << 15
_SMALLEST_MERGE = 4096
_TAIL_SHARE = 16
_SCAN_SHARE = 4
_WORTH = 8
"""Where there are not so many times as many keys as values of pieces, comparing with every key is faster."""

_BYTE_WORDS = 3
"""Up to so many words of bits can be counted in one byte."""


def words_of(choices: Sequence[int]) -> int:
    """Returns how many words a key takes."""
    return -(-sum(choices) // _WORD)


def fits(tokens: Sequence[int], choices: Sequence[int]) -> bool:
    """Whether tokens are a key: as many as there are numbers of choices, each below its number."""
    return len(tokens) == len(choices) and all(0 <= token < count for token, count in zip(tokens, choices, strict=True))


def pack(tokens: Sequence[Sequence[int]], choices: Sequence[int]) -> Words:
    """Returns the expanded embeddings of keys (n of them, each of `len(choices)` tokens) as bits, (n, words)."""
    places = np.asarray(tokens, dtype=np.int64).reshape(len(tokens), len(choices))
    places = places + np.cumsum([0, *choices[:-1]], dtype=np.int64)
    packed = np.zeros((len(tokens), words_of(choices)), dtype=np.uint64)
    bits = np.uint64(1) << (_WORD - 1 - places % _WORD).astype(np.uint64)
    np.bitwise_or.at(packed, (np.arange(len(tokens))[:, None], places // _WORD), bits)
    return packed


class Nearest(NamedTuple):
    """For each question the highest number of equal tokens, and the lowest rank of the entries that have it.

    Where no entry has any equal token, the number is 0 and the rank `NO_RANK`.
    """

    equal: Integers
    ranks: Words


class KeyIndex:
    """Keys, each with a rank that settles ties: of equally near entries the one of the lowest rank is the nearest.

    Each third of a word (22 bits) is indexed by itself: its different values, and which keys have them. One-hot bits
    leave a few thousand different values, so a question is compared with all of them. Then the keys are looked at whose
    pieces have most in common with the question's, for as long as a key that was not looked at could still be as near
    as the best (multi-index hashing; Norouzi, Punjani and Fleet, 2012). Where that would be a large share of the keys,
    all are compared one after the other. New keys wait in a tail, which is compared as a whole.

    Args:
        width: words of a key.
        distinct: no key comes twice. Otherwise only the one of the lowest rank is kept of equal keys.
    """

    def __init__(self, width: int, *, distinct: bool = False) -> None:
        self._distinct = distinct
        self._main = _Indexed(np.zeros((width, 0), dtype=np.uint64), np.zeros(0, dtype=np.uint64))
        self._tail: list[tuple[Words, Words]] = []
        self._waiting = 0

    def extend(self, keys: Words, ranks: Words) -> None:
        """Adds keys (n, width) with their ranks (n,)."""
        if len(ranks):
            self._tail.append((np.ascontiguousarray(keys.T), ranks))
            self._waiting += len(ranks)

    def nearest(self, questions: Words) -> Nearest:
        """Returns the nearest entry of each question, (n, width): the same as comparing it with every entry."""
        self._settle()
        found = self._main.nearest(questions)
        for tail in self._tail:
            found = [_scan(*tail, question, best) for question, best in zip(questions, found, strict=True)]
        equal = np.array([best[0] for best in found], dtype=np.int64)
        return Nearest(equal, np.array([best[1] for best in found], dtype=np.uint64))

    def _settle(self) -> None:
        """Joins what was added since the last question, and indexes it when it has grown too long to compare."""
        if len(self._tail) > 1:
            self._tail = [_joined(self._tail)]
        if self._waiting > max(_SMALLEST_MERGE, len(self._main.ranks) // _TAIL_SHARE):
            keys, ranks = _joined([(self._main.keys, self._main.ranks), *self._tail])
            self._main = _Indexed(*((keys, ranks) if self._distinct else _lowest(keys, ranks)))
            self._tail, self._waiting = [], 0


Best = tuple[int, np.uint64]
"""Equal tokens, and the lowest rank of the keys that have as many."""


class _Indexed:
    """Keys (width, n) with an index of each piece."""

    def __init__(self, keys: Words, ranks: Words) -> None:
        # In the order of the first piece: keys that have it in common then lie side by side in memory.
        order = np.argsort(next(_pieces(keys)))
        self.keys, self.ranks = np.ascontiguousarray(keys[:, order]), ranks[order]
        self._parts = [_Part(piece) for piece in _pieces(self.keys)]
        self._pays = len(ranks) >= _WORTH * sum(len(part.values) for part in self._parts)

    def nearest(self, questions: Words) -> list[Best]:
        """Returns the nearest key of each question, (n, width)."""
        if not len(self.ranks):
            return [(0, NO_RANK)] * len(questions)
        pieces = list(_pieces(questions.T))
        found = [
            self._alike(question, each) for question, each in zip(questions, np.stack(pieces, axis=1), strict=True)
        ]
        # Where all tokens are equal no key is nearer, and all that are as near have these pieces.
        whole = np.bitwise_count(questions).sum(axis=1).tolist()
        rest = [number for number, best in enumerate(found) if best[0] < whole[number]]
        common = (
            [part.common(piece[rest]) for part, piece in zip(self._parts, pieces, strict=True)] if self._pays else []
        )
        for row, number in enumerate(rest):
            found[number] = self._search(questions[number], [each[row] for each in common], found[number])
        return found

    def _alike(self, question: Words, pieces: Piece) -> Best:
        """Returns the nearest of the keys that have one piece of a question: the one that the fewest have."""
        having = (part.having(piece) for part, piece in zip(self._parts, pieces, strict=True))
        return self._better(min(having, key=len), question, (0, NO_RANK))

    def _search(self, question: Words, common: list[npt.NDArray[np.uint8]], best: Best) -> Best:
        if not common:
            return _scan(self.keys, self.ranks, question, best)
        asked = [_Asked(part, counts) for part, counts in zip(self._parts, common, strict=True)]
        left = len(self.ranks) // _SCAN_SHARE + _CHUNK
        # A key in none of the groups that were looked at has at most so many bits in common with the question.
        while sum(one.level for one in asked) >= max(best[0], 1):
            cheapest = min(asked, key=lambda one: one.rows)
            left -= cheapest.rows
            if left < 0:
                return _scan(self.keys, self.ranks, question, best)
            best = self._better(cheapest.take(), question, best)
        return best

    def _better(self, rows: Rows, question: Words, best: Best) -> Best:
        """Returns the better of what was found and what is nearest among some of the keys."""
        common = _common([word.take(rows) for word in self.keys], question)
        return _best(common, lambda nearest: self.ranks[rows[nearest]], best)


class _Part:
    """The different values of one piece, and the keys that have each."""

    def __init__(self, piece: Piece) -> None:
        self.order = np.argsort(piece).astype(np.uint32)
        ordered = piece[self.order]
        starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(piece)])
        self.values, self.starts = ordered[starts], starts
        self.lengths = np.diff(starts, append=len(piece))

    def common(self, pieces: Piece) -> npt.NDArray[np.uint8]:
        """Returns how many bits each piece of a question has in common with each value, (questions, values)."""
        common: npt.NDArray[np.uint8] = np.bitwise_count(self.values & pieces[:, None])
        return common

    def having(self, piece: np.uint32) -> Rows:
        """Returns the keys that have a value."""
        group = int(self.values.searchsorted(piece))
        if group == len(self.values) or self.values[group] != piece:
            return self.order[:0]
        return self.order[self.starts[group] : self.starts[group] + self.lengths[group]]


class _Asked:
    """A part that is being looked through, from the groups that have most in common with a question downwards.

    Attributes:
        level: how many bits the next groups have in common with it.
        rows: how many keys they have.
    """

    def __init__(self, part: _Part, common: npt.NDArray[np.uint8]) -> None:
        self._part, self._common = part, common
        self.level = int(common.max()) + 1
        self._next()

    def take(self) -> Rows:
        """Returns the keys of the next groups."""
        lengths = self._part.lengths[self._groups]
        before = np.cumsum(lengths) - lengths
        taken = np.repeat(self._part.starts[self._groups] - before, lengths) + np.arange(self.rows)
        self._next()
        return self._part.order[taken]

    def _next(self) -> None:
        self.level -= 1
        self._groups = (self._common == self.level).nonzero()[0]
        self.rows = int(self._part.lengths[self._groups].sum())


def _pieces(keys: Words) -> Iterator[Piece]:
    for word in keys:
        for start in range(0, _WORD, _PIECE):
            yield (word >> np.uint64(start) & np.uint64((1 << _PIECE) - 1)).astype(np.uint32)


def _joined(pieces: Sequence[tuple[Words, Words]]) -> tuple[Words, Words]:
    return np.concatenate([keys for keys, _ in pieces], axis=1), np.concatenate([ranks for _, ranks in pieces])


def _lowest(keys: Words, ranks: Words) -> tuple[Words, Words]:
    """Returns different keys (width, n), each with the lowest of its ranks."""
    order = np.lexsort((ranks, *keys))
    ordered = keys[:, order]
    first = np.concatenate([[True], (ordered[:, 1:] != ordered[:, :-1]).any(axis=0)])
    return np.ascontiguousarray(ordered[:, first]), ranks[order][first]


def _common(keys: Iterable[Words], question: Words) -> npt.NDArray[Any]:
    """Returns the equal tokens of each key and the question; keys come word by word, (n,) each."""
    counts = (np.bitwise_count(key & word) for key, word in zip(keys, question, strict=True))
    common: npt.NDArray[Any] = next(counts)
    if len(question) > _BYTE_WORDS:
        common = common.astype(np.uint16)
    for more in counts:
        common += more
    return common


def _best(common: npt.NDArray[Any], ranks: Callable[[npt.NDArray[np.bool_]], Words], best: Best) -> Best:
    """Returns the better of what was found and what is nearest among some keys.

    Args:
        common: equal tokens of each.
        ranks: returns the ranks of those of them that are chosen by a mask.
        best: what was found.
    """
    equal = int(common.max(initial=0))
    if equal < max(best[0], 1):
        return best
    lowest = ranks(common == equal).min()
    return equal, lowest if equal > best[0] else min(best[1], lowest)


def _scan(keys: Words, ranks: Words, question: Words, best: Best) -> Best:
    """Compares a question with every key, a piece at a time that stays in the processor's cache."""
    for start in range(0, len(ranks), _CHUNK):
        piece = slice(start, start + _CHUNK)
        best = _best(_common(keys[:, piece], question), ranks[piece].__getitem__, best)
    return best
