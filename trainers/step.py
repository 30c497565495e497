"""One training step, and the sums of loss and accuracy over an epoch or a split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from store.records.candidates import Recipe
from trainers.networks.base import Network
from trainers.readers import generator
from trainers.sgd import SGD

AUXILIARY_WEIGHT = 0.4


class Batch(NamedTuple):
    """What a step sees at once.

    Attributes:
        images: (batch, C, r, r) float32.
        labels: (batch,) int64.
        keep: (paths, batch) float32 for path dropout, as `path_masks` draws it; none to drop nothing.
    """

    images: Tensor
    labels: Tensor
    keep: Tensor | None = None


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
        sums = cls.zero(device)
        sums.set(numbers)
        return sums

    def numbers(self) -> dict[str, float]:
        """Returns the sums as plain numbers; waits for the device."""
        return {"loss": float(self.loss), "correct": int(self.correct), "images": self.images}

    def set(self, numbers: Mapping[str, float]) -> None:
        """Takes over what `numbers` gave, in the tensors that there are."""
        self.loss.fill_(numbers["loss"])
        self.correct.fill_(int(numbers["correct"]))
        self.images = int(numbers["images"])

    def clear(self) -> None:
        """Makes them the sums over no images, in the tensors that there are."""
        self.loss.zero_()
        self.correct.zero_()
        self.images = 0

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
    model: Network,
    optimizer: SGD,
    batches: Iterable[Batch],
    count: int,
    rate: float | Tensor,
    recipe: Recipe,
    sums: Sums,
) -> None:
    """Does one step: forward, cross-entropy, backward for each batch, gradient clipped, SGD.

    The loss is the mean over all images of the batches; each batch is normalised by its own statistics. The auxiliary
    head's loss, if there is such a head, counts `auxiliary_weight`, 0.4 if that is absent (DARTS, `train.py`). What is
    added to the sums is the loss of the network's own output, with label smoothing if the recipe has it.

    Args:
        model: in training mode.
        optimizer: of this model.
        batches: of one size; gradients are summed over them.
        count: how many batches there are.
        rate: learning rate, as `SGD.step` takes it.
        recipe: gives label smoothing, auxiliary weight, precision and the largest norm of the gradient.
        sums: loss and correct answers are added to these.
    """
    smoothing = recipe.label_smoothing or 0.0
    weight = AUXILIARY_WEIGHT if recipe.auxiliary_weight is None else recipe.auxiliary_weight
    for images, labels, keep in batches:
        with precision(recipe, images.device):
            logits, auxiliary = model(images, keep=keep)
            loss = functional.cross_entropy(logits, labels, label_smoothing=smoothing)
            total = loss
            if auxiliary is not None:
                total = loss + weight * functional.cross_entropy(auxiliary, labels, label_smoothing=smoothing)
        (total if count == 1 else total / count).backward()  # type: ignore[no-untyped-call]
        sums.add(loss, logits, labels)
    optimizer.step(rate, recipe.gradient_clip)


@torch.no_grad()
def evaluate(
    model: Network, batches: Iterable[tuple[Tensor, Tensor]], device: torch.device, recipe: Recipe | None = None
) -> Sums:
    """Returns the sums over all images of the batches, by running statistics; leaves the model in evaluation mode.

    The loss is the plain cross-entropy, whatever the recipe smooths. The recipe gives the precision, float32 if absent.
    """
    model.eval()
    sums = Sums.zero(device)
    for images, labels in batches:
        score(model, images, labels, sums, recipe)
    return sums


def score(model: Network, images: Tensor, labels: Tensor, sums: Sums, recipe: Recipe | None = None) -> None:
    """Adds a batch's loss and correct answers to the sums; for a model in evaluation mode, without gradients."""
    with precision(recipe, images.device):
        logits = model(images).logits
        loss = functional.cross_entropy(logits, labels)
    sums.add(loss, logits, labels)


def precision(recipe: Recipe | None, device: torch.device) -> AbstractContextManager[object]:
    """Returns the context in which a recipe's networks compute: autocast to bfloat16, or nothing."""
    if recipe is None or recipe.precision != "bfloat16":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def path_masks(probability: float, shape: tuple[int, int], seed: int, epoch: int, batch: int) -> Tensor:
    """Draws which edges' outputs are dropped for which images, from (seed, epoch, batch) and nothing else.

    Args:
        probability: with which each is dropped.
        shape: (paths, batch).
        seed: the candidate's.
        epoch: from 1.
        batch: of the epoch, from 0.

    Returns:
        (paths, batch) float32 on the CPU: 0 where an edge is dropped, else 1 / (1 - probability) (DARTS `drop_path`).
    """
    rng = generator("path dropout", seed, epoch, batch)
    kept = rng.random(shape, dtype=np.float32) >= probability
    return torch.from_numpy(kept.astype(np.float32) / np.float32(1.0 - probability))
