"""The books of FNAS: columns of one length, what each tells, and that nothing is lost through a saved state."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.records import arrays
from store.records.base import canonical
from strategies.fnas.batch import Sample, Source
from strategies.fnas.ledger import SOURCES, Iteration, Ledger

reals = st.none() | st.floats(-2, 2)


def sample(source: Source, reward: float = 0.5, **fields: object) -> Sample:
    made = Sample(source, np.zeros(2, dtype=np.int16), np.zeros(2, dtype=np.float32), reward)
    return made._replace(**fields)


def filled() -> Ledger:
    """Two iterations: one trained and one trusted, then one trained and one exploited."""
    ledger = Ledger()
    first = sample("trained", 0.75, value=0.5, uncertainty=0.1, individual=0, accuracy=0.8, cost=100.0, new=True)
    ledger.add(1, [first, sample("trusted", 0.25, value=0.25, uncertainty=0.05)], Iteration(None, 0, None, None))
    ledger.learnt({"policy": 0.1, "baseline": 0.5})
    second = sample("trained", 0.0, value=0.25, uncertainty=0.3, individual=1)
    ledger.add(2, [second, sample("exploited", 0.75, individual=0, cost=100.0)], Iteration(0.2, 3, 1.0, 0.5))
    return ledger


def test_the_columns_are_those_of_the_report() -> None:
    ledger = filled()
    ledger.learnt({"policy": 0.2, "value": 0.3, "baseline": 0.4})
    assert ledger.curves() == {
        "sample_iteration": [1, 1, 2, 2],
        "sample_source": ["trained", "trusted", "trained", "exploited"],
        "sample_reward": [0.75, 0.25, 0.0, 0.75],
        "sample_accuracy": [0.8, None, None, None],
        "sample_cost": [100.0, None, None, 100.0],
        "sample_value": [0.5, 0.25, 0.25, None],
        "sample_uncertainty": [0.1, 0.05, 0.3, None],
        "sample_error": [0.25, None, None, None],
        "sample_individual": [0, None, 1, 0],
        "iteration_threshold": [None, 0.2],
        "iteration_trained": [1, 1],
        "iteration_discarded": [0, 3],
        "iteration_baseline": [0.5, 0.4],
        "iteration_mean_reward": [0.5, 0.375],
        "iteration_hit_ratio": [None, 1.0],
        "iteration_match_ratio": [None, 0.5],
        "loss_policy": [0.1, 0.2],
        "loss_value": [None, 0.3],
    }
    assert ledger.sources == {"trained": 2, "trusted": 1, "exploited": 1}
    assert ledger.networks == {0, 1}


def test_uncertainties_are_compared_with_the_threshold_of_their_own_batch() -> None:
    ledger = filled()
    ledger.add(
        3, [sample("trained", uncertainty=0.75), sample("trusted", uncertainty=0.25)], Iteration(0.5, 0, 1.0, 1.0)
    )
    assert ledger.excesses(100) == pytest.approx([0.1, 0.25, -0.25])
    assert ledger.excesses(2) == [0.25, -0.25]
    ledger.add(4, [sample("exploited")] * 3, Iteration(0.5, 0, 1.0, 1.0))
    assert ledger.excesses(2) == [0.25, -0.25], "samples without U do not count"


def test_a_loss_that_stops_coming_is_none_from_then_on() -> None:
    ledger = Ledger()
    for losses in ({"policy": 0.1}, {"value": 0.2}, {"policy": 0.3}):
        ledger.add(1, [sample("trained")], Iteration(None, 0, None, None))
        ledger.learnt(losses)
    curves = ledger.curves()
    assert curves["loss_policy"] == [0.1, None, 0.3]
    assert curves["loss_value"] == [None, 0.2, None]


rows = st.builds(
    sample,
    st.sampled_from(SOURCES),
    st.floats(-2, 2),
    value=reals,
    uncertainty=reals,
    accuracy=reals,
    cost=reals,
    individual=st.none() | st.integers(0, 10_000),
    new=st.booleans(),
)
iterations = st.builds(Iteration, reals, st.integers(0, 100), reals, reals)


@given(st.lists(st.tuples(st.lists(rows, min_size=1, max_size=6), iterations), max_size=5), st.booleans())
def test_a_restored_ledger_is_the_same_to_the_bit_and_goes_on_alike(
    batches: list[tuple[list[Sample], Iteration]], known: bool
) -> None:
    ledger, restored = Ledger(), Ledger()
    for number, (samples, row) in enumerate(batches, 1):
        ledger.add(number, samples, row)
        if known or number < len(batches):
            ledger.learnt({"policy": float(number), "baseline": 0.5})
    restored.restore(arrays.unpack(arrays.pack(ledger.state())))
    for one in (ledger, restored):
        one.add(len(batches) + 1, [sample("trained", new=True, value=0.25)], Iteration(0.1, 1, 1.0, 1.0))
        one.learnt({"value": 0.5})
    assert canonical(restored.curves()) == canonical(ledger.curves())
    assert json.dumps(restored.curves()) == json.dumps(ledger.curves())
    assert len(restored) == len(ledger) == sum(len(samples) for samples, _ in batches) + 1
