"""One training step, and what surrounds it: the learning rate, SGD, sums of loss and accuracy, evaluation.

SGD is written out because building any `torch.optim` optimiser imports torch's compiler: 2 s of a worker's first job
(measured, torch 2.13). The update is torch's, bit for bit, and tested against it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from store.records.candidates import Recipe
from trainers.networks.base import Network

AUXILIARY_WEIGHT = 0.4


def learning_rate(recipe: Recipe, epoch: int) -> float:
    """Returns the learning rate of an epoch, counted from 1: one value an epoch, as in EcoNAS's released search.

    A cosine from the highest value in epoch 1 to (nearly) the lowest in epoch `schedule_epochs`, entered where it was
    left when a candidate is continued. With `cosine_restarts` a new one begins every `schedule_epochs` epochs (EcoNAS
    A5.2 (1)); else the lowest value stays after the end. Without `schedule_epochs` the rate is constant.
    """
    if recipe.schedule_epochs is None:
        return recipe.learning_rate
    done = epoch - 1
    done = done % recipe.schedule_epochs if recipe.schedule == "cosine_restarts" else min(done, recipe.schedule_epochs)
    share = (1 + math.cos(math.pi * done / recipe.schedule_epochs)) / 2
    return recipe.minimum_learning_rate + (recipe.learning_rate - recipe.minimum_learning_rate) * share


class SGD:
    """Stochastic gradient descent with momentum and weight decay; `momentum` has a buffer for each named parameter.

    Parameters that have a gradient are moved into one flat tensor at the first step, and stay views of it, so that a
    step is a handful of operations instead of six for each of a network's 550 tensors. At c4 r4 clipping and update
    take about 10 ms so, 40 ms tensor by tensor, of a step of 400 to 700 ms (one thread, torch 2.13).
    """

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        """Starts with momentum zero."""
        self._recipe = recipe
        self.parameters = dict(model.named_parameters())
        self.momentum = {name: torch.zeros_like(value) for name, value in self.parameters.items()}
        self._joined: list[str] = []

    def forget(self) -> None:
        """Sets the momentum to zero."""
        for buffer in self.momentum.values():
            buffer.zero_()

    @torch.no_grad()
    def step(self, rate: float, clip: float) -> None:
        """Moves every parameter that has a gradient, after scaling the gradient to the norm `clip`; drops gradients."""
        gradients = {name: each.grad for name, each in self.parameters.items() if each.grad is not None}
        if list(gradients) != self._joined:
            self._join(list(gradients))
        gradient = torch.cat([each.reshape(-1) for each in gradients.values()])
        gradient.mul_((clip / (torch.linalg.vector_norm(gradient) + 1e-6)).clamp(max=1.0))
        gradient.add_(self._weights, alpha=self._recipe.weight_decay)
        self._velocity.mul_(self._recipe.momentum).add_(gradient)
        self._weights.sub_(self._velocity, alpha=rate)
        for parameter in self.parameters.values():
            parameter.grad = None

    def _join(self, names: list[str]) -> None:
        """Moves parameters and their momentum into flat tensors; those that get no gradient stay where they are."""
        self._joined = names
        self._weights = torch.cat([self.parameters[name].reshape(-1) for name in names])
        self._velocity = torch.cat([self.momentum[name].reshape(-1) for name in names])
        sizes = [self.parameters[name].numel() for name in names]
        parts = zip(names, torch.split(self._weights, sizes), torch.split(self._velocity, sizes), strict=True)
        for name, weights, velocity in parts:
            parameter = self.parameters[name]
            self.momentum[name] = velocity.view(parameter.shape)
            parameter.data = weights.view(parameter.shape)


@dataclass
class Sums:
    """Running sums of an epoch, kept on the device so that a step waits for nothing.

    Attributes:
        loss: sum over the images of their loss, float64, no dimensions.
        correct: how many were classified correctly, int64, no dimensions.
        images: how many images there were.
    """

    loss: Tensor
    correct: Tensor
    images: int = 0

    @classmethod
    def zero(cls, device: torch.device) -> Sums:
        """Returns the sums over no images."""
        return cls(
            torch.zeros((), dtype=torch.float64, device=device), torch.zeros((), dtype=torch.int64, device=device)
        )

    @classmethod
    def of(cls, numbers: Mapping[str, float], device: torch.device) -> Sums:
        """Returns the sums that `numbers` gave, exactly."""
        loss = torch.tensor(numbers["loss"], dtype=torch.float64, device=device)
        return cls(loss, torch.tensor(int(numbers["correct"]), device=device), int(numbers["images"]))

    def numbers(self) -> dict[str, float]:
        """Returns the sums as plain numbers; waits for the device."""
        return {"loss": float(self.loss), "correct": int(self.correct), "images": self.images}

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Adds a batch with its mean loss."""
        self.loss += loss.detach().double() * len(labels)
        self.correct += (logits.detach().argmax(dim=1) == labels).sum()
        self.images += len(labels)

    @property
    def finite(self) -> bool:
        """Whether every loss so far was finite; waits for the device."""
        return bool(torch.isfinite(self.loss))

    def means(self) -> tuple[float, float]:
        """Returns mean loss and accuracy in [0, 1]; waits for the device."""
        return float(self.loss) / self.images, int(self.correct) / self.images


def train_step(
    model: Network, optimizer: SGD, images: Tensor, labels: Tensor, rate: float, clip: float, sums: Sums
) -> None:
    """Does one step: forward, cross-entropy, backward, gradient clipped to the norm `clip`, SGD.

    The auxiliary head's loss, if there is such a head, counts 0.4 (DARTS, `train.py`); it is not in the sums.

    Args:
        model: in training mode.
        optimizer: of this model.
        images: (batch, C, r, r) float32.
        labels: (batch,) int64.
        rate: learning rate.
        clip: largest norm of the whole gradient.
        sums: the batch's loss and correct answers are added to these.
    """
    logits, auxiliary = model(images)
    loss = functional.cross_entropy(logits, labels)
    total = loss if auxiliary is None else loss + AUXILIARY_WEIGHT * functional.cross_entropy(auxiliary, labels)
    total.backward()  # type: ignore[no-untyped-call]
    optimizer.step(rate, clip)
    sums.add(loss, logits, labels)


@torch.no_grad()
def evaluate(model: Network, batches: Iterable[tuple[Tensor, Tensor]], device: torch.device) -> Sums:
    """Returns the sums over all images of the batches, by running statistics; leaves the model in evaluation mode."""
    model.eval()
    sums = Sums.zero(device)
    for images, labels in batches:
        logits, _ = model(images)
        sums.add(functional.cross_entropy(logits, labels), logits, labels)
    return sums
