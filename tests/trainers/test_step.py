"""The learning rate, SGD against torch's, and sums that wait for nothing."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from store.records.candidates import Recipe
from strategies.spaces.published import PUBLISHED
from trainers.networks.network import build
from trainers.networks.shape import Shape
from trainers.step import SGD, Sums, learning_rate, train_step


def test_one_cosine_goes_from_the_highest_rate_in_epoch_1_and_is_continued_at_e_and_2e() -> None:
    recipe = Recipe(learning_rate=0.1, minimum_learning_rate=0.0, schedule_epochs=60)
    assert learning_rate(recipe, 1) == 0.1
    assert learning_rate(recipe, 21) == pytest.approx(0.1 * (1 + math.cos(math.pi / 3)) / 2)
    assert learning_rate(recipe, 31) == pytest.approx(0.05)
    assert learning_rate(recipe, 41) == pytest.approx(0.1 * (1 + math.cos(2 * math.pi / 3)) / 2)
    assert learning_rate(recipe, 60) == pytest.approx(0.1 * (1 + math.cos(math.pi * 59 / 60)) / 2)
    assert learning_rate(recipe, 61) == learning_rate(recipe, 90) == 0.0


def test_the_rates_are_those_of_torchs_scheduler() -> None:
    recipe = Recipe(learning_rate=0.1, minimum_learning_rate=0.001, schedule_epochs=12)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 12, eta_min=0.001)
    for epoch in range(1, 13):
        assert learning_rate(recipe, epoch) == pytest.approx(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()


def test_restarts_begin_a_new_cosine_each_period() -> None:
    recipe = Recipe(learning_rate=0.1, minimum_learning_rate=0.0, schedule="cosine_restarts", schedule_epochs=20)
    for epoch in (1, 21, 41):
        assert learning_rate(recipe, epoch) == 0.1
    assert learning_rate(recipe, 5) == learning_rate(recipe, 25) == learning_rate(recipe, 45)


def test_without_a_length_the_rate_is_constant() -> None:
    assert {learning_rate(Recipe(learning_rate=0.025), epoch) for epoch in range(1, 100)} == {0.025}


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 3e-4])
def test_sgd_is_torchs_bit_for_bit(momentum: float, weight_decay: float) -> None:
    def network() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))

    ours, theirs = network(), network()
    sgd = SGD(ours, Recipe(momentum=momentum, weight_decay=weight_decay))
    torchs = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=momentum, weight_decay=weight_decay, foreach=False)
    generator = torch.Generator().manual_seed(1)
    for step in range(5):
        inputs = torch.randn(4, 5, generator=generator)
        torchs.zero_grad()
        ours(inputs).square().sum().backward()
        theirs(inputs).square().sum().backward()
        torchs.param_groups[0]["lr"] = 0.1 / (step + 1)
        torchs.step()
        sgd.step(0.1 / (step + 1), clip=1e9)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_the_gradients_norm_is_clipped_as_by_torch() -> None:
    ours, theirs = nn.Linear(3, 2), nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    inputs = torch.arange(12.0).view(4, 3)
    for model in (ours, theirs):
        (100 * model(inputs).square().sum()).backward()
    SGD(ours, Recipe(weight_decay=0.0)).step(1.0, clip=5.0)
    norm = nn.utils.clip_grad_norm_(theirs.parameters(), 5.0)
    assert norm > 5.0
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.detach(), (other - other.grad).detach())


def test_a_parameter_without_gradient_stays_and_forgotten_momentum_is_zero() -> None:
    model = nn.Linear(2, 2)
    before = model.weight.detach().clone()
    sgd = SGD(model, Recipe())
    model.bias.sum().backward()
    sgd.step(0.1, clip=5.0)
    assert torch.equal(model.weight, before)
    assert sgd.momentum["bias"].abs().sum() > 0
    sgd.forget()
    assert all(not buffer.any() for buffer in sgd.momentum.values())


def test_sums_give_the_mean_over_images_and_notice_what_is_not_finite() -> None:
    sums = Sums.zero(torch.device("cpu"))
    logits = torch.tensor([[2.0, 1.0], [0.0, 3.0], [5.0, 1.0]])
    sums.add(torch.tensor(0.5), logits, torch.tensor([0, 1, 1]))
    sums.add(torch.tensor(2.0), logits[:1], torch.tensor([0]))
    assert sums.means() == ((0.5 * 3 + 2.0) / 4, 3 / 4)
    assert sums.finite
    sums.add(torch.tensor(math.nan), logits, torch.tensor([0, 1, 1]))
    assert not sums.finite


def test_a_step_is_plain_autograds_with_the_auxiliary_loss_counted_0_4() -> None:
    """The peer is the plain form with torch's clipping and SGD, and the weight of DARTS written as a number."""
    generator = torch.Generator().manual_seed(0)
    images, labels = torch.randn(8, 3, 32, 32, generator=generator), torch.arange(8) % 10
    shape = Shape(4, 3, 10, 32, auxiliary=True)
    ours, theirs = (build(PUBLISHED["DARTS_V2"], shape, seed=0, form=form) for form in ("batch_last", "plain"))
    ours.load_state_dict(theirs.state_dict())
    sums = Sums.zero(torch.device("cpu"))
    recipe = Recipe(momentum=0.9, weight_decay=3e-4)
    train_step(ours.train(), SGD(ours, recipe), images, labels, 0.1, 5.0, sums)

    sgd = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9, weight_decay=3e-4)
    logits, auxiliary = theirs.train()(images)
    loss = nn.functional.cross_entropy(logits, labels)
    (loss + 0.4 * nn.functional.cross_entropy(auxiliary, labels)).backward()
    nn.utils.clip_grad_norm_(theirs.parameters(), 5.0)
    sgd.step()
    assert sums.means()[0] == pytest.approx(loss.item(), rel=1e-5)
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, atol=2e-5, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}")
