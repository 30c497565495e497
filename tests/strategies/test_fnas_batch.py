"""Batches of FNAS: which part comes from where, and what the agent is told of each sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.experience import Experience
from strategies.fnas import batch
from strategies.fnas.agent import Drawn
from strategies.fnas.batch import Parts, Sample
from strategies.fnas.options import FNASOptions


def options(**given: Any) -> FNASOptions:
    return FNASOptions.model_validate(given)


def answer(trusted: list[bool]) -> Drawn:
    count = len(trusted)
    return Drawn(
        genes=np.arange(2 * count, dtype=np.int16).reshape(count, 2),
        log_probabilities=-np.arange(2 * count, dtype=np.float32).reshape(count, 2),
        values=np.linspace(0.5, 0.75, count, dtype=np.float32),
        uncertainties=np.linspace(0.125, 0.25, count, dtype=np.float32),
        trusted=np.array(trusted),
        threshold=0.2,
        discarded=3,
        losses={},
    )


@pytest.mark.parametrize(
    ("given", "held", "expected"),
    [
        ({"preset": "mnas"}, 10, Parts(0, 20, 0)),
        ({"experience_buffer": False}, 0, Parts(0, 20, 10)),  # UAC alone: half of the batch is trained
        ({"uncertainty_critic": False}, 10, Parts(10, 10, 0)),  # AEB alone: half of it
        ({}, 10, Parts(10, 10, 5)),  # both: a quarter, the 2,000 of 8,000 of Table 4
        ({}, 0, Parts(0, 20, 10)),  # nothing is in the buffer yet
        ({}, 4, Parts(4, 16, 8)),  # no more draws than it holds
        ({"batch": 7}, 10, Parts(3, 4, 2)),  # never more than half
        ({"batch": 7, "exploited_share": 0.0}, 10, Parts(0, 7, 3)),
        ({"trusted_share": 0.8}, 10, Parts(10, 10, 8)),
    ],
)
def test_a_batch_is_at_most_half_exploited_and_its_new_part_at_most_half_trusted(
    given: dict[str, Any], held: int, expected: Parts
) -> None:
    assert batch.parts(options(**given), held) == expected


@given(st.integers(2, 300), st.integers(0, 300), st.booleans(), st.booleans(), st.floats(0, 0.99), st.floats(0, 0.99))
def test_every_batch_has_something_that_is_trained(
    size: int, held: int, critic: bool, buffer: bool, exploited: float, trusted: float
) -> None:
    shares = {"exploited_share": exploited, "trusted_share": trusted}
    found = batch.parts(options(batch=size, uncertainty_critic=critic, experience_buffer=buffer, **shares), held)
    assert found.exploited + found.new == size
    assert found.exploited <= size * exploited
    assert found.most_trusted <= found.new * trusted
    assert found.most_trusted < found.new


def test_trusted_samples_are_told_the_critics_value_and_the_others_are_to_be_trained() -> None:
    trusted, other = batch.drawn(answer([True, False]), critic=True)
    assert (trusted.source, trusted.reward, trusted.value, trusted.uncertainty) == ("trusted", 0.5, 0.5, 0.125)
    assert (other.source, other.value, other.uncertainty) == ("trained", 0.75, 0.25)
    assert other.log_probabilities.tolist() == [-2.0, -3.0]


def test_without_a_critic_there_is_no_value() -> None:
    for sample in batch.drawn(answer([False, False]), critic=False):
        assert sample.value is sample.uncertainty is sample.error is None


def test_exploited_samples_keep_their_old_log_probabilities_and_bring_their_weight() -> None:
    old = np.array([-1.5, -0.25], dtype=np.float32)
    (sample,) = batch.exploited([(Experience((3, 1), old, 0.625, individual=1), 0.5)], costs=[1.0, 2.0])
    assert (sample.source, sample.reward, sample.weight, sample.individual) == ("exploited", 0.625, 0.5, 1)
    assert sample.cost == 2.0
    assert not sample.new, "its reward has taught the critic already"
    assert batch.lesson([sample]).log_probabilities.tolist() == [old.tolist()]


def test_the_error_is_that_of_a_new_reward_alone() -> None:
    """|V - R| of Eq. 3, before V has learnt of it: nothing for what was trained before, trusted or exploited."""
    sample = batch.drawn(answer([False]), critic=True)[0]._replace(reward=0.625)
    assert sample.error is None
    assert sample._replace(new=True).error == 0.125


def test_a_lesson_has_a_row_for_each_sample() -> None:
    samples = batch.drawn(answer([True, False]), critic=True)
    samples[1] = samples[1]._replace(reward=0.9, new=True)
    samples += batch.exploited([(Experience((5, 5), np.zeros(2, dtype=np.float32), 0.3, 0), 0.25)], costs=[None])
    learnt = batch.lesson(samples)
    assert learnt.genes.tolist() == [[0, 1], [2, 3], [5, 5]]
    assert learnt.rewards.tolist() == pytest.approx([0.5, 0.9, 0.3])
    assert learnt.weights.tolist() == [1.0, 1.0, 0.25]
    assert learnt.trained.tolist() == [False, True, False]
    dtypes = {name: array.dtype.name for name, array in vars(learnt).items()}
    assert dtypes == {
        "genes": "int16",
        "log_probabilities": "float32",
        "rewards": "float32",
        "weights": "float32",
        "trained": "bool",
    }


def test_the_critic_holds_back_a_share_of_the_samples_and_none_before_it_can_tell() -> None:
    excesses = [float(value) for value in range(100)]
    assert batch.doubtful_above(excesses, 0.99) == pytest.approx(98.01)
    assert batch.doubtful_above(excesses[:98], 0.99) is None
    assert batch.doubtful_above([], 0.5) is None
    assert batch.doubtful_above([3.0], 0.5) == 3.0


def test_a_samples_defaults_are_those_of_what_is_not_trained_yet() -> None:
    empty = np.zeros(2, dtype=np.int16)
    sample = Sample("trained", empty, empty.astype(np.float32))
    assert (sample.reward, sample.weight, sample.individual, sample.new) == (0.0, 1.0, None, False)
