"""The rule of trust: the threshold, the cap, what is thrown away, and when drawing ends."""

from __future__ import annotations

from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.agent.trust import choose, median


def test_a_sample_is_trusted_if_its_uncertainty_is_not_above_the_threshold() -> None:
    chosen = choose([0.1, 0.3, 0.2, 0.4], 0.2, count=4, most_trusted=2, most_draws=40)
    assert chosen == ((0, 1, 2, 3), (True, False, True, False), 4)
    assert chosen.discarded == 0


def test_trusted_samples_beyond_the_cap_are_thrown_away_and_drawn_again() -> None:
    chosen = choose([0.1, 0.1, 0.1, 0.9, 0.1, 0.8, 0.7], 0.2, count=4, most_trusted=2, most_draws=40)
    assert chosen == ((0, 1, 3, 5), (True, True, False, False), 6)
    assert chosen.discarded == 2


def test_where_all_are_trusted_the_most_uncertain_fill_the_batch_as_untrusted() -> None:
    uncertainties = [0.10, 0.11, 0.14, 0.12, 0.15, 0.13]
    chosen = choose(cycle(uncertainties), 0.2, count=4, most_trusted=2, most_draws=6)
    assert chosen == ((0, 1, 2, 4), (True, True, False, False), 6)
    assert chosen.discarded == 2


def test_without_a_threshold_none_is_trusted() -> None:
    assert choose([0.0] * 3, None, count=3, most_trusted=3, most_draws=3).trusted == (False,) * 3


def test_none_may_be_trusted() -> None:
    chosen = choose([0.1, 0.9, 0.1, 0.9], 0.2, count=2, most_trusted=0, most_draws=20)
    assert chosen == ((1, 3), (False, False), 4)


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=60),
    st.floats(0, 1) | st.none(),
    st.integers(1, 8),
    st.integers(0, 8),
    st.integers(1, 5),
)
def test_a_batch_is_full_and_keeps_to_the_cap(
    uncertainties: list[float], threshold: float | None, count: int, most_trusted: int, draws: int
) -> None:
    chosen = choose(cycle(uncertainties), threshold, count=count, most_trusted=most_trusted, most_draws=draws * count)
    assert len(set(chosen.numbers)) == len(chosen.numbers) == len(chosen.trusted) == count
    assert sum(chosen.trusted) <= most_trusted
    assert count <= chosen.drawn <= draws * count
    assert max(chosen.numbers) < chosen.drawn
    for number, trusted in zip(chosen.numbers, chosen.trusted, strict=True):
        if trusted:
            assert threshold is not None
            assert uncertainties[number % len(uncertainties)] <= threshold


@pytest.mark.parametrize(("values", "expected"), [([3.0], 3.0), ([3.0, 1.0], 1.0), ([5.0, 1.0, 2.0], 2.0)])
def test_the_median_is_one_of_the_values(values: list[float], expected: float) -> None:
    assert median(values) == expected
