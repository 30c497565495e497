"""The critic: equations 3 and 4 in numbers, and what V and U learn from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from strategies.spaces import base
from trainers.agent.appraiser import Appraiser
from trainers.agent.critic import LAYERS, Critic
from trainers.agent.history import History, Scale
from trainers.agent.options import CriticOptions
from trainers.agent.request import Lesson
from trainers.errors import InvalidAgentRequest

CHOICES = (2, 3)
GENES = np.array([[0, 0], [1, 2], [0, 1], [1, 0]], dtype=np.int16)
REWARDS = np.array([0.5, 0.9, 0.6, 0.2], dtype=np.float32)


def lesson(rewards: list[float], trained: list[bool] | None = None) -> Lesson:
    count = len(rewards)
    return Lesson(
        genes=GENES[:count],
        log_probabilities=np.full((count, 2), -0.7, dtype=np.float32),
        rewards=np.array(rewards, dtype=np.float32),
        weights=np.ones(count, dtype=np.float32),
        trained=np.array(trained or [True] * count),
    )


def appraiser(**options: object) -> Appraiser:
    made = Appraiser(CHOICES, CriticOptions.model_validate({"hidden": 8} | options))
    made.begin(np.random.default_rng(0))
    return made


def by_hand() -> Critic:
    """V is 0.1 + 0.2 for the second choice of the first token + 0.3 for the last of the second; U is half of V."""
    critic = Critic(CHOICES, 1)
    for name, values in critic.arrays().items():
        values[...] = 1.0 if name.startswith("weight") else 0.0
    critic.arrays()["weight0"][:, :, 0] = [0.0, 0.2, 0.0, 0.0, 0.3]
    critic.arrays()["bias0"][...] = 0.1
    critic.arrays()["weight3"][1] = 0.5
    return critic


def network(parameters: dict[str, Tensor], embeddings: Tensor) -> Tensor:
    """V and U as they are defined, through autograd: (2, n)."""
    found = embeddings.expand(2, *embeddings.shape)
    for layer in range(LAYERS):
        found = found @ parameters[f"weight{layer}"] + parameters[f"bias{layer}"]
        if layer < LAYERS - 1:
            found = torch.where(found > 0, found, found * parameters[f"slope{layer}"])
    return found.squeeze(2)


def test_equation_3_is_how_wrong_v_is() -> None:
    assert by_hand().predict(GENES).values.tolist() == pytest.approx([0.1, 0.6, 0.1, 0.3])
    told = by_hand().teach(GENES, torch.from_numpy(REWARDS), torch.zeros(4))
    assert told.value == pytest.approx((0.4 + 0.3 + 0.5 + 0.1) / 4)


def test_equation_4_is_how_wrong_u_is_about_that() -> None:
    assert by_hand().predict(GENES).uncertainties.tolist() == pytest.approx([0.05, 0.3, 0.05, 0.15])
    told = by_hand().teach(GENES, torch.from_numpy(REWARDS), torch.tensor([0.4, 0.3, 0.5, 0.1]))
    assert told.uncertainty == pytest.approx((0.35 + 0.0 + 0.45 + 0.05) / 4, abs=1e-6)


def test_the_gradient_is_that_of_both_losses_and_each_moves_its_own_network_only() -> None:
    critic = Critic(CHOICES, 7)
    critic.initialise(np.random.default_rng(3))
    critic.arrays()["slope1"][...] = [[[0.4]], [[-0.3]]]
    rewards, errors = torch.from_numpy(REWARDS), torch.tensor([0.4, 0.3, 0.5, 0.1])
    told = critic.teach(GENES, rewards, errors)
    parameters = {name: torch.from_numpy(values).requires_grad_() for name, values in critic.arrays().items()}
    values, uncertainties = network(parameters, critic.expand(GENES))
    of_value, of_uncertainty = (values - rewards).abs().mean(), (uncertainties - errors).abs().mean()
    assert told == pytest.approx((of_value.item(), of_uncertainty.item()))
    for index, error in ((1, of_value), (0, of_uncertainty)):
        others = torch.autograd.grad(error, parameters["weight0"], retain_graph=True)[0][index]
        assert not others.any()
    expected = torch.autograd.grad(of_value + of_uncertainty, list(parameters.values()))
    torch.testing.assert_close(critic.gradient, torch.cat([each.flatten() for each in expected]))


def test_v_and_u_are_perceptrons_of_four_layers_with_prelu() -> None:
    critic = Critic(CHOICES, 7)
    critic.initialise(np.random.default_rng(1))
    for block, found in zip(critic.split().values(), critic.predict(GENES), strict=True):
        hidden = np.stack([base.expand(genes, CHOICES) for genes in GENES.tolist()])
        for layer in range(LAYERS):
            hidden = hidden @ block[f"weight{layer}"] + block[f"bias{layer}"]
            if layer < LAYERS - 1:
                hidden = np.where(hidden > 0, hidden, block[f"slope{layer}"] * hidden)
        np.testing.assert_allclose(found, hidden[:, 0], atol=1e-6)


def test_errors_are_those_from_before_v_learned_from_the_sample() -> None:
    critic = appraiser(steps=30, learning_rate=0.01)
    critic.learn(lesson([0.5, 0.9]), np.random.default_rng(0))
    told = critic.predict(GENES).values
    told_losses = critic.learn(lesson([0.1, 0.8, 0.3, 0.2]), np.random.default_rng(1))
    expected = np.abs(told - np.array([0.1, 0.8, 0.3, 0.2], dtype=np.float32))
    assert critic.history.errors[2:].tolist() == expected.tolist()
    assert told_losses["value"] == pytest.approx(expected.mean())
    assert np.abs(critic.predict(GENES).values - critic.history.rewards[2:]).mean() < expected.mean()


def test_it_learns_what_it_is_taught_in_units_of_the_reward() -> None:
    critic = appraiser(steps=400, learning_rate=0.01)
    critic.learn(lesson((REWARDS * 1000).tolist()), np.random.default_rng(0))
    values, uncertainties = critic.predict(GENES)
    np.testing.assert_allclose(values, REWARDS * 1000, atol=30)
    np.testing.assert_allclose(uncertainties, critic.history.errors, atol=30)


def test_only_trained_samples_teach_it() -> None:
    critic = appraiser()
    before = critic.predict(GENES)
    assert critic.learn(lesson([0.5, 0.9], [False, False]), np.random.default_rng(0)) == {}
    assert critic.predict(GENES).values.tobytes() == before.values.tobytes()
    critic.learn(lesson([0.5, 0.9, 0.1], [True, False, True]), np.random.default_rng(0))
    assert critic.history.genes.tolist() == GENES[[0, 2]].tolist()
    assert critic.history.rewards.tolist() == np.array([0.5, 0.1], dtype=np.float32).tolist()


def test_the_oldest_samples_leave_a_full_history() -> None:
    critic = appraiser(history=3)
    critic.learn(lesson([0.5, 0.9]), np.random.default_rng(0))
    critic.learn(lesson([0.1, 0.2]), np.random.default_rng(0))
    np.testing.assert_allclose(critic.history.rewards, [0.9, 0.1, 0.2])


def test_rewards_that_are_all_alike_have_a_scale() -> None:
    assert Scale.of(np.full(3, 0.7, dtype=np.float32)).deviation == 1.0
    assert Scale.of(np.zeros(0, dtype=np.float32)) == (0.0, 1.0)
    critic = appraiser()
    critic.learn(lesson([0.7]), np.random.default_rng(0))
    assert np.isfinite(critic.predict(GENES).values).all()


def test_a_history_of_something_else_is_refused() -> None:
    sound = History(GENES, REWARDS, REWARDS)._asdict()
    assert History.read(sound, 2).rewards.tolist() == REWARDS.tolist()
    for name, array in (("genes", GENES[:, :1]), ("errors", REWARDS[:2]), ("rewards", REWARDS.astype(np.float64))):
        with pytest.raises(InvalidAgentRequest, match=r"arrays\.history\."):
            History.read(sound | {name: array}, 2)
