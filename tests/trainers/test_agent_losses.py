"""What the policy learns by, in numbers that were computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from trainers.agent import losses

OLD = torch.log(torch.tensor([[0.5, 0.5], [0.25, 0.4]]))  # two tokens of two samples
NEW = torch.log(torch.tensor([[0.75, 0.5], [0.20, 0.3]]))
"""Ratios 1.5 and 1 of the first token, 0.8 and 0.75 of the second."""


def test_the_clipped_objective_counts_the_ratio_no_further_than_the_clip() -> None:
    # The first sample is good: 1.5 counts as 1.2, and 0.8 as it is. The second is bad: of 0.75, the clipped 0.8 counts.
    advantages, ones = torch.tensor([2.0, -1.0]), torch.ones(2)
    expected = -(1.2 * 2 + 1.0 * -1 + 0.8 * 2 + 0.8 * -1) / 4
    assert losses.clipped(NEW, OLD, advantages, ones, 0.2).item() == pytest.approx(expected)
    wide = -(1.5 * 2 + 1.0 * -1 + 0.8 * 2 + 0.75 * -1) / 4
    assert losses.clipped(NEW, OLD, advantages, ones, 0.6).item() == pytest.approx(wide)


def test_what_is_clipped_has_no_gradient() -> None:
    new = NEW.clone().requires_grad_()
    losses.clipped(new, OLD, torch.tensor([2.0, -1.0]), torch.ones(2), 0.2).backward()
    assert new.grad is not None
    # d/dlog p of -ratio * advantage / 4 where it is not clipped.
    torch.testing.assert_close(new.grad, torch.tensor([[0.0, 0.25], [-0.8 * 2 / 4, 0.0]]))


@pytest.mark.parametrize("kind", ["ppo", "reinforce"])
def test_a_weight_multiplies_its_sample_s_part(kind: str) -> None:
    def loss(weights: list[float]) -> float:
        given = NEW, OLD, torch.tensor([2.0, -1.0]), torch.tensor(weights)
        return (losses.clipped(*given, 0.2) if kind == "ppo" else losses.reinforce(*given)).item()

    first, second = loss([1.0, 0.0]), loss([0.0, 1.0])
    assert loss([0.5, 0.25]) == pytest.approx(0.5 * first + 0.25 * second)


def test_reinforce_follows_the_log_probabilities_and_trusts_old_samples_no_more_than_fresh_ones() -> None:
    # The sequences' ratios: 1.5 * 0.8 = 1.2, which counts as 1, and 1 * 0.75.
    new = NEW.clone().requires_grad_()
    loss = losses.reinforce(new, OLD, torch.tensor([2.0, -1.0]), torch.ones(2))
    expected = -(2 * (math.log(0.75) + math.log(0.2)) - 0.75 * (math.log(0.5) + math.log(0.3))) / 4
    assert loss.item() == pytest.approx(expected)
    loss.backward()
    torch.testing.assert_close(new.grad, torch.tensor([[-2.0, 0.75], [-2.0, 0.75]]) / 4)


def test_entropy_is_that_of_a_token_s_choices() -> None:
    uniform, certain = [0.25] * 4, [1.0, 1e-30, 1e-30, 1e-30]
    found = losses.entropy(torch.log(torch.tensor([[uniform], [certain]])))
    assert found.item() == pytest.approx(math.log(4) / 2)
