"""The policy: its recurrence against plain autograd, what it draws, and what it says about what it drew."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from trainers.agent.adam import Adam
from trainers.agent.lstm import Recurrence
from trainers.agent.policy import SCALE, Policy

CHOICES = (3, 2, 4, 3)


def policy(seed: int = 0, hidden: int = 10, scale: float = 1.0) -> Policy:
    """A policy whose weights are larger than at first, so that it is far from uniform."""
    made = Policy(CHOICES, hidden)
    made.initialise(np.random.default_rng(seed))
    made.weights.mul_(scale)
    return made


def textbook(below: Tensor, weight: Tensor) -> Tensor:
    """An LSTM as it is defined, its gates in the order output, input, forget, candidate."""
    hidden = cell = torch.zeros(below.shape[1], weight.shape[0])
    states = []
    for entering in below:
        outward, inward, forget, candidate = (entering + hidden @ weight).chunk(4, dim=1)
        cell = forget.sigmoid() * cell + inward.sigmoid() * candidate.tanh()
        hidden = outward.sigmoid() * cell.tanh()
        states.append(hidden)
    return torch.stack(states)


def test_the_recurrence_and_its_gradients_are_an_lstm_s() -> None:
    torch.manual_seed(1)
    length, batch, units = 5, 3, 4
    table, weight = (torch.randn(rows, 4 * units, requires_grad=True) for rows in (6, units))
    rows, upward = torch.randint(6, (length, batch)), torch.randn(length, batch, units)
    below = table[rows]
    expected = textbook(below, weight)
    gradients = torch.autograd.grad((expected * upward).sum(), (below, weight))
    memory, of_weight = Recurrence(length, batch, units), torch.empty(units, 4 * units)
    for _ in range(2):  # the memory is used again
        memory.forward(table.detach(), rows, weight.detach())
        torch.testing.assert_close(memory.hidden, expected)
        found = memory.backward(upward, weight.detach(), of_weight)
        torch.testing.assert_close((found, of_weight), gradients)


def test_the_gradient_of_every_parameter_is_right() -> None:
    made, tokens = policy(scale=5.0), torch.tensor([[0, 2], [1, 0], [3, 2], [1, 1]])
    upward, memory = torch.randn(4, 2, 4, generator=torch.Generator().manual_seed(2)), made.memory(2)
    made.log_probabilities(tokens, memory)
    made.back(upward, tokens, memory)
    parameters = {name: torch.from_numpy(values).requires_grad_() for name, values in made.arrays().items()}
    starts = torch.tensor([1, 4, 6])  # of positions 0, 1 and 2 in the embedding's table
    rows = torch.cat([torch.zeros(1, 2, dtype=torch.int64), tokens[:-1] + starts[:, None]])
    below = (parameters["embedding"] @ parameters["input"] + parameters["bias"])[rows]
    logits = textbook(below, parameters["recurrent"]) @ parameters["output"] + parameters["output_bias"]
    expected = torch.autograd.grad((logits * upward).sum(), list(parameters.values()))
    torch.testing.assert_close(made.gradient, torch.cat([each.flatten() for each in expected]))


def test_the_weights_are_uniform_at_first_and_the_biases_zero() -> None:
    arrays = policy(hidden=50).arrays()
    for name in ("embedding", "input", "recurrent", "output"):
        assert np.abs(arrays[name]).max() <= SCALE
        assert arrays[name].std() == pytest.approx(SCALE / 3**0.5, rel=0.1)
    assert not arrays["bias"].any()
    assert not arrays["output_bias"].any()


def test_what_it_says_of_a_draw_is_what_it_says_of_these_tokens_later() -> None:
    made = policy(scale=8.0)
    genes, told = made.sample(50, np.random.default_rng(2))
    tokens = torch.from_numpy(genes.astype(np.int64)).t()
    possible = made.log_probabilities(tokens, made.memory(50))
    chosen = possible.gather(2, tokens.unsqueeze(2)).squeeze(2)
    np.testing.assert_allclose(chosen.t().numpy(), told, rtol=0, atol=1e-5)
    torch.testing.assert_close(possible.exp().sum(dim=2), torch.ones(len(CHOICES), 50))


def test_it_draws_with_its_probabilities_and_only_what_there_is() -> None:
    made = policy(scale=8.0)
    genes, told = made.sample(20_000, np.random.default_rng(3))
    assert (genes >= 0).all()
    assert (genes < np.array(CHOICES)).all()
    found, first, counts = np.unique(genes, axis=0, return_index=True, return_counts=True)
    expected = np.exp(told[first].sum(axis=1, dtype=np.float64))
    assert len(found) > 40
    deviation = np.sqrt(expected * (1 - expected) / len(genes))
    assert np.abs(counts / len(genes) - expected).max() < 5 * deviation.max()
    assert ((counts / len(genes) - expected) ** 2 / deviation**2).mean() == pytest.approx(1.0, abs=0.7)


def test_the_same_generator_draws_the_same() -> None:
    first, second = (policy().sample(8, np.random.default_rng(4)) for _ in range(2))
    assert first.genes.tobytes() == second.genes.tobytes()
    assert first.log_probabilities.tobytes() == second.log_probabilities.tobytes()


def test_a_step_of_adam_is_the_papers() -> None:
    rng = np.random.default_rng(5)
    weights, rate = rng.normal(size=7), 0.01
    ours, adam = torch.tensor(weights, dtype=torch.float32), Adam(7, rate)
    first = second = np.zeros(7)
    for step in range(1, 4):
        gradient = rng.normal(size=7)
        adam.step(ours, torch.tensor(gradient, dtype=torch.float32))
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        weights = weights - rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        np.testing.assert_allclose(ours.numpy(), weights, rtol=1e-4)


def test_adam_goes_on_from_its_arrays() -> None:
    torch.manual_seed(6)
    gradients, once = torch.randn(4, 5), Adam(5, 0.1)
    weights = torch.zeros(5)
    for gradient in gradients[:2]:
        once.step(weights, gradient)
    again, copied = Adam(5, 0.1), weights.clone()
    again.restore(once.arrays(), "optimiser")
    for gradient in gradients[2:]:
        once.step(weights, gradient)
        again.step(copied, gradient)
    assert torch.equal(weights, copied)
