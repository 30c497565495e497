"""The step against plain autograd and torch's SGD, and sums that wait for nothing."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from store.records.candidates import Recipe
from strategies.spaces.published import PUBLISHED
from trainers.networks.base import Network
from trainers.networks.network import FormName, build
from trainers.networks.shape import Shape
from trainers.recipe import UNCLIPPED
from trainers.sgd import SGD
from trainers.step import Batch, Sums, evaluate, path_masks, train_step


@pytest.mark.parametrize("on_device", [False, True], ids=["number", "tensor"])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
@pytest.mark.parametrize("weight_decay", [0.0, 3e-4])
def test_sgd_is_torchs(momentum: float, nesterov: bool, weight_decay: float, on_device: bool) -> None:
    """To the bit of the one that goes tensor by tensor; with the rate a tensor, of the fused one but for rounding."""

    def network() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))

    ours, theirs = network(), network()
    sgd = SGD(ours, Recipe(momentum=momentum, weight_decay=weight_decay, nesterov=nesterov))
    options = {"momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov, "fused": on_device}
    torchs = torch.optim.SGD(theirs.parameters(), lr=0.1, foreach=False, **options)
    generator = torch.Generator().manual_seed(1)
    for step in range(5):
        inputs = torch.randn(4, 5, generator=generator)
        torchs.zero_grad()
        ours(inputs).square().sum().backward()
        theirs(inputs).square().sum().backward()
        torchs.param_groups[0]["lr"] = 0.1 / (step + 1)
        torchs.step()
        rate = 0.1 / (step + 1)
        sgd.step(torch.tensor(rate) if on_device else rate, clip=UNCLIPPED)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-6 if on_device else 0.0, atol=1e-7 if on_device else 0.0)


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


SHAPE = Shape(4, 3, 10, 32, auxiliary=True)
RECIPE = Recipe(momentum=0.9, weight_decay=3e-4)
CPU = torch.device("cpu")


def _batches(count: int, size: int = 8) -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(size) % 10
    return [Batch(torch.randn(size, 3, 32, 32, generator=generator), labels) for _ in range(count)]


def _network(form: FormName = "plain") -> Network:
    return build(PUBLISHED["DARTS_V2"], SHAPE, seed=0, form=form).train()


def _by_hand(network: Network, batches: list[Batch], weight: float, smoothing: float = 0.0) -> float:
    """A step of torch's clipping and SGD on the mean loss over the batches; returns that of the network's output."""
    sgd = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=3e-4)
    criterion = nn.CrossEntropyLoss(label_smoothing=smoothing)
    losses = []
    for images, labels, keep in batches:
        logits, auxiliary = network(images, keep=keep)
        losses.append(criterion(logits, labels))
        ((losses[-1] + weight * criterion(auxiliary, labels)) / len(batches)).backward()
    nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    sgd.step()
    return sum(loss.item() for loss in losses) / len(losses)


def _agree(ours: Network, theirs: Network) -> None:
    for (name, mine), other in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, other, atol=2e-5, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize(
    ("count", "changes", "weight"),
    [
        (1, {}, 0.4),
        (3, {"accumulate": 3}, 0.4),
        (1, {"label_smoothing": 0.1}, 0.4),
        (1, {"auxiliary_weight": 1.5}, 1.5),
        (1, {"auxiliary_weight": 0.0}, 0.0),
    ],
)
def test_a_step_is_plain_autograds(count: int, changes: dict[str, float], weight: float) -> None:
    """The peer is the plain form with torch's clipping and SGD, and the auxiliary weight of DARTS as a number."""
    batches = _batches(count)
    ours, theirs, sums = _network("batch_last"), _network(), Sums.zero(CPU)
    recipe = RECIPE.model_copy(update=changes)
    train_step(ours, SGD(ours, recipe), batches, count, 0.1, recipe, sums)
    loss = _by_hand(theirs, batches, weight, changes.get("label_smoothing", 0.0))
    assert sums.means()[0] == pytest.approx(loss, rel=1e-5)
    assert sums.images == 8 * count
    _agree(ours, theirs)


def test_the_loss_of_a_split_is_not_smoothed() -> None:
    (batch,) = _batches(1)
    network = _network().eval()
    found = evaluate(network, [(batch.images, batch.labels)], CPU, Recipe(label_smoothing=0.5))
    with torch.no_grad():
        expected = nn.functional.cross_entropy(network(batch.images).logits, batch.labels)
    assert found.means()[0] == pytest.approx(expected.item())


def test_masks_of_paths_are_drawn_by_seed_epoch_and_batch_and_change_the_step_as_by_hand() -> None:
    masks = path_masks(0.25, (_network().paths, 8), seed=1, epoch=2, batch=3)
    assert torch.equal(masks, path_masks(0.25, masks.shape, seed=1, epoch=2, batch=3))
    others = [path_masks(0.25, masks.shape, *each) for each in ((2, 2, 3), (1, 3, 3), (1, 2, 4))]
    assert not any(torch.equal(masks, other) for other in others)
    assert masks.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    (batch,) = _batches(1)
    dropping = batch._replace(keep=masks)
    ours, theirs, undropped = _network("batch_last"), _network(), _network()
    train_step(ours, SGD(ours, RECIPE), [dropping], 1, 0.1, RECIPE, Sums.zero(CPU))
    _by_hand(theirs, [dropping], 0.4)
    _agree(ours, theirs)
    _by_hand(undropped, [batch], 0.4)
    with pytest.raises(AssertionError):
        _agree(ours, undropped)


def test_so_many_paths_are_dropped_as_the_probability_says() -> None:
    masks = path_masks(0.2, (500, 400), seed=0, epoch=1, batch=0)
    assert (masks == 0).float().mean().item() == pytest.approx(0.2, abs=0.005)
    assert masks.mean().item() == pytest.approx(1.0, abs=0.01)


def test_bfloat16_computes_otherwise_and_keeps_weights_and_statistics_in_float32() -> None:
    """On a CPU the trainer refuses it as slow; the step can do it in the plain form, as on a GPU."""
    batches = _batches(1)
    exact, rounded, sums = _network(), _network(), Sums.zero(CPU)
    train_step(exact, SGD(exact, RECIPE), batches, 1, 0.1, RECIPE, Sums.zero(CPU))
    recipe = RECIPE.model_copy(update={"precision": "bfloat16"})
    train_step(rounded, SGD(rounded, recipe), batches, 1, 0.1, recipe, sums)
    assert sums.finite
    assert {value.dtype for value in rounded.state_dict().values()} == {torch.float32}
    differences = [
        (a - b).abs().max().item()
        for a, b in zip(exact.state_dict().values(), rounded.state_dict().values(), strict=True)
    ]
    assert 0 < max(differences) < 0.2
