"""The statistics of EcoNAS section 3, A2 and A4: by hand, against scipy, and by what must hold for any accuracies."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from strategies.proxy_study import statistics
from strategies.proxy_study.statistics import Pair, Sizes

ORIGINAL = [95.0, 95.1, 94.5, 93.0, 94.9]
REDUCED = [82.1, 82.0, 81.0, 81.05, 80.0]

accuracies = st.integers(0, 40).map(lambda count: count / 40)
"""Few different values, so that ties are common."""


@st.composite
def pairs(draw: st.DrawFn, smallest: int = 3) -> Pair:
    networks = draw(st.integers(smallest, 12))
    column = st.lists(accuracies, min_size=networks, max_size=networks)
    return statistics.paired(draw(column), draw(column))


def pair(original: list[float], reduced: list[float]) -> Pair:
    return statistics.paired(original, reduced)


def test_rho_of_a_vector_worked_by_hand() -> None:
    """Ranks 2 1 4 5 3 and 1 2 4 3 5: d = 1 -1 0 2 -2, sum of squares 10, 1 - 60 / 120 = 0.5."""
    assert statistics.ranks(ORIGINAL).tolist() == [2, 1, 4, 5, 3]
    assert statistics.ranks(REDUCED).tolist() == [1, 2, 4, 3, 5]
    assert statistics.spearman(pair(ORIGINAL, REDUCED)) == pytest.approx(0.5)
    assert statistics.equation_1(pair(ORIGINAL, REDUCED)) == pytest.approx(0.5)


def test_tolerant_rho_of_the_vector_of_the_facts() -> None:
    """Networks 0 and 1 differ by 0.1 in both settings: their term goes, d = 0 0 0 2 -2, 1 - 48 / 120 = 0.6."""
    assert statistics.tolerant(pair(ORIGINAL, REDUCED), 0.15) == pytest.approx(0.6)
    assert statistics.tolerant(pair(ORIGINAL, REDUCED), 0.0) == pytest.approx(0.5)
    assert statistics.tolerant(pair(ORIGINAL, REDUCED), math.inf) == 1.0


def test_the_tolerance_is_in_the_unit_of_the_accuracies_and_includes_its_bound() -> None:
    shares = pair([one / 100 for one in ORIGINAL], [one / 100 for one in REDUCED])
    assert statistics.tolerant(shares) == pytest.approx(0.6)
    # 3 of 2,000 validation images are 0.0015 apart, whichever way the binary difference is rounded
    for first in np.arange(1000, 1990) / 2000:
        reversed_by_three_images = pair([0.1, first, first + 0.0015], [0.1, first + 0.0015, first])
        assert statistics.tolerant(reversed_by_three_images) == 1.0


def test_equal_accuracies_share_the_average_of_their_ranks() -> None:
    assert statistics.ranks([0.5, 0.7, 0.7, 0.1, 0.7]).tolist() == [4, 2, 2, 5, 2]


def test_with_ties_eq_1_and_the_correlation_of_ranks_differ() -> None:
    """Ranks 1.5 1.5 3 and 1 2 3: sum of d^2 is 0.5, Eq. 1 gives 0.875; Pearson gives sqrt(3) / 2."""
    tied = pair([0.9, 0.9, 0.5], [0.9, 0.8, 0.5])
    assert statistics.equation_1(tied) == pytest.approx(0.875)
    assert statistics.spearman(tied) == pytest.approx(math.sqrt(3) / 2)


@given(pairs())
def test_rho_is_scipys(both: Pair) -> None:
    if np.ptp(both.original) == 0 or np.ptp(both.reduced) == 0:
        assert statistics.spearman(both) is None
    else:
        assert statistics.spearman(both) == pytest.approx(stats.spearmanr(*both).statistic)


@given(st.permutations(range(8)))
def test_without_ties_eq_1_is_the_correlation_of_ranks(order: list[int]) -> None:
    both = pair([float(one) for one in range(8)], [float(one) for one in order])
    assert statistics.equation_1(both) == pytest.approx(statistics.spearman(both))


@given(pairs())
def test_a_tolerance_of_zero_gives_eq_1_and_an_endless_one_gives_1(both: Pair) -> None:
    assert statistics.tolerant(both, 0.0) == pytest.approx(statistics.equation_1(both))
    assert statistics.tolerant(both, math.inf) == 1.0


@given(pairs(), st.floats(0, 0.5))
def test_settings_change_places_without_changing_any_rho(both: Pair, tolerance: float) -> None:
    swapped = Pair(both.reduced, both.original)
    assert statistics.equation_1(swapped) == pytest.approx(statistics.equation_1(both))
    assert statistics.tolerant(swapped, tolerance) == pytest.approx(statistics.tolerant(both, tolerance))


@given(pairs())
def test_only_the_order_of_accuracies_counts(both: Pair) -> None:
    assert statistics.spearman(Pair(both.original**3, both.reduced * 10 - 3)) == pytest.approx(
        statistics.spearman(both)
    )


def test_a_network_that_failed_in_either_setting_is_left_out_of_both() -> None:
    both = statistics.paired([0.1, None, 0.3, 0.4], [0.2, 0.3, None, 0.5])
    assert both.original.tolist() == [0.1, 0.4]
    assert both.reduced.tolist() == [0.2, 0.5]
    assert statistics.spearman(both) is None  # of two networks
    assert statistics.equation_1(both) is None
    assert statistics.tolerant(both) is None


def test_entropy_of_the_vector_of_the_facts() -> None:
    assert statistics.entropy([0.5, 0.6, 0.7, 0.65, 0.8]) == pytest.approx(0.9)
    assert statistics.entropy([0.5, 0.4, 0.3]) == -1.0
    assert statistics.entropy([0.5, 0.5]) is None
    assert statistics.entropy([0.5]) is None


@pytest.mark.parametrize(("points", "step"), [(5, 0.1), (4, 0.2), (2, 1.0)])
def test_entropy_of_few_points_takes_few_values(points: int, step: float) -> None:
    for order in permutations(range(points)):
        value = statistics.entropy([float(one) for one in order])
        assert value is not None
        assert value / step == pytest.approx(round(value / step))


def test_good_models_are_counted_with_ties_by_index() -> None:
    both = pair([0.9, 0.8, 0.8, 0.7, 0.6], [0.5, 0.9, 0.9, 0.9, 0.1])
    assert statistics.retained(both, good=2, among=2) == 1  # {0, 1} and {1, 2}
    assert statistics.retained(both, good=2, among=4) == 2
    assert statistics.retained(both, good=10, among=20) == 5


@given(pairs(), st.integers(1, 12), st.integers(1, 12))
def test_all_good_models_are_retained_where_the_ranks_agree(both: Pair, good: int, among: int) -> None:
    same = Pair(both.original, both.original)
    assert statistics.retained(same, good, among) == min(good, among, both.networks)
    assert statistics.retained(both, good, both.networks) == min(good, both.networks)


def test_a_random_order_retains_3_and_4_of_the_papers_50() -> None:
    assert Sizes.of(50) == Sizes.of(80) == (10, (15, 20))
    assert [statistics.retained_by_chance(50, 10, among) for among in (15, 20)] == [3.0, 4.0]
    generator = np.random.default_rng(0)
    orders = [Pair(*generator.permuted(np.tile(np.arange(50.0), (2, 1)), axis=1)) for _ in range(2000)]
    counts = [statistics.retained(both, 10, 15) for both in orders]
    assert np.mean(counts) == pytest.approx(3.0, abs=0.1)


def test_fewer_networks_have_as_large_a_share_of_good_ones() -> None:
    assert Sizes.of(24) == (5, (7, 10))
    assert Sizes.of(12) == (2, (4, 5))
    assert Sizes.of(3) == (1, (1,))


def test_bins_are_of_width_a_tenth() -> None:
    assert statistics.bins([0.3, 0.39, 0.1 + 0.2, 0.7, 1.0, 0.0, -0.05, -0.1]) == [
        0.3, 0.3, 0.3, 0.7, 0.9, 0.0, -0.1, -0.1,
    ]  # fmt: skip
    (low, high) = statistics.means_by_bin([0.85, 0.32, 0.89], [{"15": 6}, {"15": 3}, {"15": 9}])
    assert low == (0.3, 1, {"15": 3.0})
    assert high == (0.8, 2, {"15": 7.5})


def test_a_bootstrap_is_the_same_for_the_same_seed_and_resamples_settings_alike() -> None:
    generator = np.random.default_rng(0)
    original = generator.random(20)
    one, other = Pair(original, generator.random(20)), Pair(original, generator.random(20))
    first = statistics.resampled(one, (7,), 500)
    assert np.array_equal(first, statistics.resampled(one, (7,), 500), equal_nan=True)
    assert not np.array_equal(first, statistics.resampled(one, (8,), 500), equal_nan=True)
    same = statistics.resampled(Pair(original, other.original), (7,), 500)
    assert same == pytest.approx(np.ones(500))  # a setting that is the original one has rho 1 in every resample


def test_a_bootstraps_interval_holds_what_it_should() -> None:
    """Percentile intervals of 40 networks with a known correlation cover it about as often as they say."""
    generator, covered = np.random.default_rng(1), 0
    true = 6 / np.pi * np.arcsin(0.7 / 2)  # Spearman's coefficient of a normal distribution with Pearson's 0.7
    for trial in range(150):
        x, noise = generator.normal(size=(2, 40))
        bounds = statistics.interval(statistics.resampled(Pair(x, 0.7 * x + np.sqrt(0.51) * noise), (trial,), 300))
        assert bounds is not None
        covered += bounds[0] <= true <= bounds[1]
    assert 0.86 <= covered / 150 <= 1.0


@settings(max_examples=30)
@given(pairs(smallest=4))
def test_every_resample_has_the_rho_that_it_should(both: Pair) -> None:
    found = statistics.resampled(both, (3,), 40)
    draws = np.random.Generator(np.random.PCG64([3, both.networks])).integers(both.networks, size=(40, both.networks))
    for value, draw in zip(found, draws, strict=True):
        expected = statistics.spearman(Pair(both.original[draw], both.reduced[draw]))
        assert math.isnan(value) if expected is None else value == pytest.approx(expected)


def test_no_interval_where_no_resample_has_a_rho() -> None:
    assert statistics.interval(statistics.resampled(pair([0.5, 0.5, 0.5], [0.1, 0.2, 0.3]), (0,), 100)) is None
    assert statistics.interval(statistics.resampled(pair([0.5, 0.6], [0.1, 0.2]), (0,), 100)) is None


def test_pearson_needs_two_points_that_differ() -> None:
    assert statistics.pearson([1.0], [2.0]) is None
    assert statistics.pearson([1.0, 1.0], [2.0, 3.0]) is None
    assert statistics.pearson([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]) == 1.0
    assert statistics.pearson([1.0, 2.0, 4.0], [3.0, 1.0, 2.0]) == pytest.approx(
        np.corrcoef([1.0, 2.0, 4.0], [3.0, 1.0, 2.0])[0, 1]
    )
