"""The noise model: its formula, its ranks, and that it is the same everywhere."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest, spearmanr

from trainers.noise import Noise, normals

SHARES = st.floats(0, 1)
DEFAULT = Noise(gap=0.5, rate=3.0, sigma=0.15, lasting=0.5, correlation=0.8)


def curves(noise: Noise, finals: list[float], epochs: int = 12, seed: int = 0) -> np.ndarray:
    return np.array([noise.curve(f, epochs, architecture=str(n), seed=seed) for n, f in enumerate(finals)])


@given(
    gap=SHARES, rate=st.floats(0.1, 20), sigma=SHARES, lasting=SHARES, correlation=SHARES, final=SHARES,
    epochs=st.integers(1, 40), seed=st.integers(0, 2**31),
)  # fmt: skip
def test_no_epoch_is_out_of_range_or_above_the_last_which_is_the_tables(
    gap: float, rate: float, sigma: float, lasting: float, correlation: float, final: float, epochs: int, seed: int
) -> None:
    curve = Noise(gap, rate, sigma, lasting, correlation).curve(final, epochs, architecture="a", seed=seed)
    assert curve.shape == (epochs,)
    assert (curve >= 0).all()
    assert curve[:-1].max(initial=0) <= max(final, 1e-9)
    assert curve[-1] == final


def test_without_noise_it_is_the_formula() -> None:
    curve = Noise(gap=0.4, rate=2.0, sigma=0, lasting=0, correlation=0).curve(0.8, 10, architecture="a", seed=1)
    left = [(np.exp(-2 * e / 10) - np.exp(-2)) / (1 - np.exp(-2)) for e in range(1, 11)]
    assert curve == pytest.approx([0.8 * (1 - 0.4 * share) for share in left], abs=1e-9)


def test_ranks_come_ever_closer_to_the_final_ones() -> None:
    finals = np.random.default_rng(0).uniform(0.4, 0.9, 800).tolist()
    found = curves(DEFAULT, finals)
    rho = [float(spearmanr(found[:, epoch], finals).statistic) for epoch in range(12)]
    assert all(later > earlier - 0.01 for earlier, later in pairwise(rho))
    assert rho[0] < 0.8 < rho[6] < 0.999
    assert rho[-1] == 1


def test_part_of_the_noise_is_the_architectures_own_and_the_rest_the_seeds() -> None:
    finals = [0.7] * 600
    own, drawn = (Noise(0.5, 3.0, 0.05, lasting, 0.0) for lasting in (1.0, 0.0))
    assert (curves(own, finals, seed=1) == curves(own, finals, seed=2)).all()
    one, other = (curves(drawn, finals, seed=seed)[:, 0] for seed in (1, 2))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.15
    one, other = (curves(DEFAULT, finals, seed=seed)[:, 0] for seed in (1, 2))
    assert np.corrcoef(one, other)[0, 1] > 0.3


def test_the_rest_is_correlated_along_the_epochs_as_it_says() -> None:
    noise = Noise(gap=0.5, rate=1.0, sigma=0.02, lasting=0.0, correlation=0.7)
    found = curves(noise, [0.7] * 4000, epochs=20)
    for apart in (1, 2, 4):
        assert np.corrcoef(found[:, 0], found[:, apart])[0, 1] == pytest.approx(0.7**apart, abs=0.05)


def test_the_numbers_are_standard_normal() -> None:
    assert kstest(normals("many", 20_000), "norm").pvalue > 0.01
    assert np.corrcoef(normals("one", 5000), normals("other", 5000))[0, 1] == pytest.approx(0, abs=0.05)


def test_a_frozen_curve_is_the_same_on_every_machine_and_version() -> None:
    """A change of these numbers changes the results of every simulated search."""
    curve = DEFAULT.curve(0.8, 4, architecture="|none~0|", seed=3)
    assert curve.tolist() == [0.61925211, 0.728514222, 0.773582191, 0.8]
