"""The made-up learning curves: the same everywhere, in range, and worth searching."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.records.candidates import Architecture
from tests.trainers.harness import candidate
from trainers.curve import Curve, loss, quality
from trainers.options import ScriptedOptions

GENES = st.lists(st.integers(0, 8), min_size=1, max_size=40).map(tuple)


@given(genes=GENES, seed=st.integers(0, 2**31), epoch=st.integers(1, 1000), noise=st.floats(0, 0.5))
def test_every_number_is_in_range(genes: tuple[int, ...], seed: int, epoch: int, noise: float) -> None:
    curve = Curve.of(candidate(genes=genes, seed=seed), ScriptedOptions(noise=noise))
    metrics = curve.metrics(epoch)
    assert 0.3 <= curve.limit <= 0.95
    assert 0 <= metrics.validation_accuracy <= metrics.train_accuracy <= 1
    assert 0 <= metrics.train_loss <= metrics.validation_loss
    assert metrics.epoch == epoch


def test_a_frozen_curve_is_the_same_on_every_machine_and_version() -> None:
    """A change of these numbers changes the results of every stored scripted search."""
    curve = Curve.of(candidate(genes=(1, 0, 3, 2), seed=0), ScriptedOptions())
    assert [round(curve.accuracy(epoch), 6) for epoch in (1, 10, 60)] == [0.111098, 0.667173, 0.867305]


def test_without_noise_it_is_the_formula() -> None:
    of = candidate()
    curve = Curve.of(of, ScriptedOptions(noise=0, rate=0.5))
    assert curve.accuracy(3) == pytest.approx(curve.limit * (1 - np.exp(-1.5)))


def test_the_noise_stays_within_its_bound_and_depends_on_the_seed() -> None:
    options = ScriptedOptions(noise=0.05)
    smooth = Curve.of(candidate(), ScriptedOptions(noise=0))
    curves = [Curve.of(candidate(seed=seed), options) for seed in range(50)]
    deviations = np.array([curve.accuracy(20) - smooth.accuracy(20) for curve in curves])
    assert np.abs(deviations).max() <= 0.05 + 1e-9
    assert len(set(deviations)) == 50


def test_quality_spreads_over_random_architectures() -> None:
    rng = np.random.default_rng(0)
    values = [quality(Architecture(space="cell", genes=tuple(rng.integers(0, 8, 32).tolist()))) for _ in range(2000)]
    assert np.histogram(values, bins=4, range=(0, 1))[0].min() > 300


def test_neighbours_are_alike_so_that_mutation_pays() -> None:
    rng = np.random.default_rng(0)
    steps, jumps = [], []
    for _ in range(300):
        genes = rng.integers(0, 8, 32)
        near = genes.copy()
        near[rng.integers(32)] = rng.integers(8)
        far = rng.integers(0, 8, 32)
        values = [quality(Architecture(space="cell", genes=tuple(g.tolist()))) for g in (genes, near, far)]
        steps.append(abs(values[0] - values[1]))
        jumps.append(abs(values[0] - values[2]))
    assert np.mean(steps) < np.mean(jumps) / 4


def test_no_genes_are_neither_good_nor_bad() -> None:
    assert quality(Architecture(space="cell", genes=())) == 0.5


def test_the_loss_falls_with_the_accuracy_and_is_never_infinite() -> None:
    assert loss(1.0) == 0
    assert loss(0.0) == pytest.approx(np.log(1000))
    assert loss(0.2) > loss(0.3)
