"""The experience buffer: priorities, weights and draws on hand-computed values, what it keeps, and what it survives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.experience import Experience, ExperienceBuffer, annealed
from store.records import arrays

rewards = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)


def sample(gene: int, reward: float = 0.5, individual: int = 0) -> Experience:
    return Experience((gene, 1), np.array([-0.1 * gene, -0.25], dtype=np.float32), reward, individual)


def filled(*rewards: float, capacity: int = 10) -> ExperienceBuffer:
    buffer = ExperienceBuffer(capacity)
    for gene, reward in enumerate(rewards):
        buffer.add(sample(gene, reward, individual=gene))
    return buffer


def test_priorities_are_the_softmax_of_the_rewards() -> None:
    """Equation 5 for rewards of ln 1, ln 2 and ln 5: shares of 1, 2 and 5 in 8."""
    assert filled(0.0, math.log(2), math.log(5)).priorities == pytest.approx([1 / 8, 2 / 8, 5 / 8], abs=1e-15)


def test_accuracies_as_rewards_are_drawn_nearly_uniformly() -> None:
    """exp(0.7) / exp(0.5) is 1.2214, the caution of the paper's scale."""
    first, second = filled(0.5, 0.7).priorities
    assert second / first == pytest.approx(1.221402758, abs=1e-9)


@pytest.mark.parametrize(("beta", "expected"), [(0.0, [1, 1, 1]), (0.5, [1, 0.5**0.5, 0.2**0.5]), (1.0, [1, 0.5, 0.2])])
def test_weights_are_the_power_of_the_priorities_over_their_maximum(beta: float, expected: list[float]) -> None:
    """S_i = (3 P_i)^-beta of 3/8, 6/8, 15/8, over the largest, which is that of the first."""
    by_hand = [(3 * p) ** -beta for p in (1 / 8, 2 / 8, 5 / 8)]
    weights = filled(0.0, math.log(2), math.log(5)).weights(beta)
    assert weights == pytest.approx(expected, abs=1e-15)
    assert weights == pytest.approx([one / max(by_hand) for one in by_hand], abs=1e-15)


def test_beta_rises_from_nothing_to_one_and_stays() -> None:
    assert [annealed(samples, 8000) for samples in (0, 2000, 8000, 9000)] == [0.0, 0.25, 1.0, 1.0]


def test_draws_follow_the_priorities() -> None:
    """Of 20,000 draws with shares of 1/8, 2/8 and 5/8 each is within five standard deviations."""
    drawn = filled(0.0, math.log(2), math.log(5)).draw(20_000, 1.0, np.random.default_rng(3))
    for gene, share in enumerate((1 / 8, 2 / 8, 5 / 8)):
        count = sum(one.genes[0] == gene for one, _ in drawn)
        assert abs(count - 20_000 * share) < 5 * math.sqrt(20_000 * share * (1 - share))


def test_a_draw_comes_with_its_own_weight_and_its_old_log_probabilities() -> None:
    buffer = filled(0.0, math.log(2), math.log(5))
    weight = dict(zip((one.genes for one in buffer.held), buffer.weights(1.0), strict=True))
    for drawn, given_weight in buffer.draw(50, 1.0, np.random.default_rng(0)):
        assert given_weight == weight[drawn.genes]
        assert np.array_equal(drawn.log_probabilities, sample(drawn.genes[0]).log_probabilities)


def test_the_oldest_leaves_when_it_is_full() -> None:
    assert [one.genes[0] for one in filled(*[0.5] * 13).held] == list(range(3, 13))


def test_a_new_sample_of_an_architecture_takes_the_old_ones_place() -> None:
    buffer = filled(0.1, 0.2, 0.3, capacity=3)
    again = Experience((1, 0), np.array([-2.0, -3.0], dtype=np.float32), 0.9, individual=0)
    buffer.add(again)
    assert [one.individual for one in buffer.held] == [1, 2, 0], "it is the newest now"
    assert buffer.held[-1] is again
    assert len(buffer) == 3


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_never_enters(bad: float) -> None:
    buffer = filled(0.5)
    with pytest.raises(ValueError, match="finite"):
        buffer.add(sample(1, bad, individual=1))
    with pytest.raises(ValueError, match="finite"):
        buffer.add(sample(1, individual=1)._replace(log_probabilities=np.array([0.0, bad], dtype=np.float32)))
    assert len(buffer) == 1


def test_an_empty_buffer_has_nothing_to_draw() -> None:
    empty = ExperienceBuffer()
    assert empty.draw(10, 0.5, np.random.default_rng(0)) == []
    assert empty.priorities.size == empty.weights(0.5).size == 0


def test_a_buffer_holds_something() -> None:
    with pytest.raises(ValueError, match="at least one"):
        ExperienceBuffer(0)


@given(rewards, st.floats(0, 1))
def test_priorities_add_up_and_weights_fall_with_the_reward(values: list[float], beta: float) -> None:
    buffer = filled(*values, capacity=30)
    priorities, weights = buffer.priorities, buffer.weights(beta)
    assert priorities.sum() == pytest.approx(1.0)
    assert weights.max() == 1.0
    assert ((weights >= 0) & np.isfinite(weights)).all()
    order = np.argsort(values)
    assert (np.diff(weights[order]) <= 0).all()
    assert (np.diff(priorities[order]) >= 0).all()


@given(rewards, st.integers(1, 12), st.integers(0, 20))
def test_a_restored_buffer_goes_on_to_the_bit(values: list[float], capacity: int, count: int) -> None:
    """Through the very bytes that `run.save` keeps: the same samples, weights and draws; the same one leaves next."""
    buffer, restored = filled(*values, capacity=capacity), ExperienceBuffer(capacity)
    restored.restore(arrays.unpack(arrays.pack(buffer.state())))
    for one in (buffer, restored):
        one.add(sample(99, 0.25, individual=99))
    drawn = [one.draw(count, 0.4, np.random.default_rng(1)) for one in (buffer, restored)]
    assert [_plain(one) for one in drawn[0]] == [_plain(one) for one in drawn[1]]
    assert arrays.pack(buffer.state()) == arrays.pack(restored.state())
    assert len(restored) == min(capacity, len(values) + 1)


def test_an_empty_buffer_is_restored_too() -> None:
    restored = filled(0.5)
    restored.restore(arrays.unpack(arrays.pack(ExperienceBuffer().state())))
    assert len(restored) == 0


def _plain(drawn: tuple[Experience, float]) -> tuple[object, ...]:
    one, weight = drawn
    return one.genes, one.log_probabilities.tobytes(), one.reward, one.individual, weight
