"""The nearest keys by an index are those that comparing with every key finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store import pool_keys
from store.pool_keys import NO_RANK, KeyIndex, fits, pack

CHOICES = st.lists(st.integers(1, 70), min_size=1, max_size=6) | st.just([4] * 16) | st.just([2, 9, 64, 3, 31])


def one_hot(tokens: npt.NDArray[np.int64], choices: list[int]) -> npt.NDArray[np.float64]:
    """The expanded embeddings by their definition."""
    parts = [np.eye(count)[tokens[:, place]] for place, count in enumerate(choices)]
    return np.concatenate(parts, axis=1)


def naive(
    keys: npt.NDArray[np.float64], ranks: npt.NDArray[Any], questions: npt.NDArray[np.float64], tokens: int
) -> list[tuple[int, int]]:
    """For each question the highest cosine, as equal tokens, and the lowest rank of the keys that have it."""
    found = []
    for question in questions:
        cosines = keys @ question / np.maximum(np.linalg.norm(keys, axis=1) * np.linalg.norm(question), 1e-9)
        equal = np.rint(cosines * tokens).astype(int)
        best = int(equal.max(initial=0))
        found.append((best, int(ranks[equal == best].min()) if best else int(NO_RANK)))
    return found


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the index use all of its parts for a few hundred keys."""
    monkeypatch.setattr(pool_keys, "_SMALLEST_MERGE", 16)
    monkeypatch.setattr(pool_keys, "_CHUNK", 32)
    monkeypatch.setattr(pool_keys, "_WORTH", 0)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("distinct", [False, True])
def test_the_index_finds_what_comparing_with_every_key_finds(distinct: bool) -> None:
    @settings(max_examples=60, deadline=None)
    @given(choices=CHOICES, pieces=st.lists(st.integers(0, 60), max_size=6), seed=st.integers(0, 1 << 16))
    def check(choices: list[int], pieces: list[int], seed: int) -> None:
        rng = np.random.default_rng(seed)
        index = KeyIndex(pack([], choices).shape[1], distinct=distinct)
        tokens = np.zeros((0, len(choices)), dtype=np.int64)
        ranks = rng.permutation(sum(pieces)).astype(np.uint64)
        for piece in pieces:
            # Half of the keys use few of the choices, so that there are ties, and keys that come twice.
            limits = np.minimum(choices, rng.choice([2, 70]))
            new = rng.integers(0, limits, (piece, len(choices)))
            if distinct:
                new = np.array([key for key in np.unique(new, axis=0).tolist() if key not in tokens.tolist()])
                new = new.reshape(-1, len(choices)).astype(np.int64)
            index.extend(pack(new.tolist(), choices), ranks[len(tokens) : len(tokens) + len(new)])
            tokens = np.concatenate([tokens, new])
            asked = np.concatenate([rng.integers(0, choices, (3, len(choices))), tokens[-2:]])
            found = index.nearest(pack(asked.tolist(), choices))
            expected = naive(one_hot(tokens, choices), ranks[: len(tokens)], one_hot(asked, choices), len(choices))
            assert list(zip(found.equal.tolist(), found.ranks.tolist(), strict=True)) == expected

    check()


def test_a_question_that_is_far_from_most_keys_finds_the_nearest_too() -> None:
    """Keys that use half of the choices only: most are equally far, and all of them are compared."""
    rng = np.random.default_rng(0)
    choices = [4] * 16
    tokens = rng.integers(0, 2, (60_000, 16))
    ranks = rng.permutation(len(tokens)).astype(np.uint64)
    index = KeyIndex(1)
    index.extend(pack(tokens.tolist(), choices), ranks)
    asked = rng.integers(0, 4, (8, 16))
    found = index.nearest(pack(asked.tolist(), choices))
    expected = naive(one_hot(tokens, choices), ranks, one_hot(asked, choices), 16)
    assert list(zip(found.equal.tolist(), found.ranks.tolist(), strict=True)) == expected


def test_keys_of_very_many_tokens_are_counted_right() -> None:
    choices = [2] * 300
    tokens = np.zeros((3, 300), dtype=np.int64)
    tokens[1, :10] = tokens[2, :5] = 1
    index = KeyIndex(pack([], choices).shape[1])
    index.extend(pack(tokens.tolist(), choices), np.arange(3, dtype=np.uint64))
    assert index.nearest(pack([[1] * 8 + [0] * 292], choices)).equal.tolist() == [298]


@pytest.mark.parametrize(
    ("tokens", "is_key"),
    [((0, 2), True), ((1, 0), True), ((2, 0), False), ((0, -1), False), ((0,), False), ((), False)],
)
def test_tokens_are_a_key_if_there_is_one_below_each_number_of_choices(tokens: tuple[int, ...], is_key: bool) -> None:
    assert fits(tokens, (2, 3)) is is_key
