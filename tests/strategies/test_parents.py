from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.records.results import Individual
from strategies.econas.options import EcoNASOptions
from strategies.econas.parents import choose, linear_ranking, shares, softmax, split, tournament
from tests.strategies.builders import individual

DRAWS = 20_000


def rung(count: int, *, first: int = 0, best: float = 0.9) -> list[Individual]:
    return [individual(first + place, best - 0.01 * place) for place in range(count)]


def frequencies(draw: Any, members: list[Individual]) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(0)
    counts = Counter(draw(members, rng).index for _ in range(DRAWS))
    return np.array([counts[one.index] for one in members]) / DRAWS


@pytest.mark.parametrize("n", [1, 3, 4, 8, 20, 50])
def test_a_tournament_is_the_best_of_a_quarter_and_one_draws_with_replacement(n: int) -> None:
    size = n // 4 + 1
    worse = np.arange(n, -1, -1) / n
    expected = worse[:-1] ** size - worse[1:] ** size
    assert np.abs(frequencies(tournament, rung(n)) - expected).max() < 0.015


def test_linear_ranking_gives_the_best_n_times_the_worsts_chance() -> None:
    assert np.abs(frequencies(linear_ranking, rung(4)) - np.array([4, 3, 2, 1]) / 10).max() < 0.015


def test_softmax_follows_the_accuracies() -> None:
    members = [individual(0, 0.9), individual(1, 0.85), individual(2, 0.1)]
    weights = np.exp(np.array([0.9, 0.85, 0.1]) / 0.05)
    drawn = frequencies(lambda one, rng: softmax(one, 0.05, rng), members)
    assert np.abs(drawn - weights / weights.sum()).max() < 0.015


def test_softmax_of_a_low_temperature_does_not_overflow() -> None:
    assert softmax(rung(3), 1e-6, np.random.default_rng(0)).index == 0


def test_the_papers_sixteen_children_have_six_five_and_five_parents() -> None:
    options = EcoNASOptions()
    rungs = [rung(50), rung(20, first=100), rung(10, first=200)]
    chosen = choose(rungs, options, np.random.default_rng(0))
    assert Counter(one.index // 100 for one in chosen) == {0: 6, 1: 5, 2: 5}


@pytest.mark.parametrize(
    ("sizes", "empty", "expected"),
    [
        ((50, 0, 0), "share", {0: 16}),
        ((42, 8, 0), "share", {0: 9, 1: 7}),
        ((42, 0, 3), "share", {0: 9, 2: 7}),
        ((0, 0, 3), "share", {2: 16}),
        ((50, 0, 0), "drop", {0: 6}),
        ((42, 8, 0), "drop", {0: 6, 1: 5}),
        ((0, 0, 0), "share", {}),
    ],
)
def test_the_others_share_an_empty_rungs_children_or_there_are_fewer(
    sizes: tuple[int, int, int], empty: Any, expected: dict[int, int]
) -> None:
    rungs = [rung(size, first=100 * place) for place, size in enumerate(sizes)]
    chosen = choose(rungs, EcoNASOptions(empty_rung=empty), np.random.default_rng(0))
    assert Counter(one.index // 100 for one in chosen) == expected


@pytest.mark.parametrize("way", ["rank_two_stage", "softmax"])
def test_in_two_stages_the_rung_is_drawn_by_its_weight_among_those_not_empty(way: Any) -> None:
    options = EcoNASOptions(parents=way, children=10_000)
    rng = np.random.default_rng(0)
    full = choose([rung(5), rung(5, first=100), rung(5, first=200)], options, rng)
    by_rung = Counter(one.index // 100 for one in full)
    assert [by_rung[place] / 10_000 for place in range(3)] == pytest.approx([1 / 6, 2 / 6, 3 / 6], abs=0.02)
    without = Counter(one.index // 100 for one in choose([rung(5), rung(5, first=100), []], options, rng))
    assert without[1] / 10_000 == pytest.approx(2 / 3, abs=0.02)


@given(st.integers(0, 100), st.sets(st.integers(0, 2), min_size=1))
def test_shares_are_as_even_as_can_be_and_add_up(total: int, rungs: set[int]) -> None:
    divided = shares(total, sorted(rungs), 3)
    given_ = [divided[place] for place in sorted(rungs)]
    assert sum(divided) == sum(given_) == total
    assert max(given_) - min(given_) <= 1
    assert given_ == sorted(given_, reverse=True)


@given(st.tuples(*[st.integers(0, 20)] * 3), st.sets(st.integers(0, 2), min_size=1))
def test_splitting_keeps_the_number_of_children_if_they_are_shared(
    counts: tuple[int, int, int], filled: set[int]
) -> None:
    assert sum(split(counts, sorted(filled), share=True)) == sum(counts)
    dropped = split(counts, sorted(filled), share=False)
    assert dropped == [count if place in filled else 0 for place, count in enumerate(counts)]
