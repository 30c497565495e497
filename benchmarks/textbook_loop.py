"""The peer of `training.py`: the training loop of a paper's script, as EcoNAS's released `search/train.py` has it.

A torchvision DataLoader with PIL transforms (RandomCrop(32, 4), flip, Resize(r), ToTensor, Normalize) in one process
of its own, `torch.optim.SGD`, clipping, the top-1 and top-5 accuracy and `.item()` at each step; validation in batches
half as large. Order and parts are those of the released code; the code is our own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from store.records.candidates import Recipe
from trainers.datasets import Images, Split
from trainers.readers import Labels
from trainers.vision import import_torchvision

Batches = Iterator[tuple[Tensor, Tensor]]


class PilImages(Dataset[tuple[Tensor, int]]):
    """Images as PIL pictures, through transforms, as torchvision's data sets give them."""

    def __init__(self, images: Images, chosen: Labels, transform: Callable[[Image.Image], Tensor]) -> None:
        self._pixels = np.ascontiguousarray(images.pixels[chosen].transpose(0, 2, 3, 1))
        self._labels, self._transform = images.labels[chosen], transform

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(Image.fromarray(self._pixels[index])), int(self._labels[index])


def training_batches(images: Images, split: Split, resolution: int, batch: int, workers: int) -> Batches:
    """Yields augmented batches, epoch after epoch."""
    transforms = import_torchvision().transforms
    augment = [transforms.RandomCrop(images.size, 4), transforms.RandomHorizontalFlip()]
    transform = transforms.Compose([*augment, *_plain(split, resolution)])
    yield from _endless(PilImages(images, split.train, transform), batch, workers, shuffle=True)


def validation_batches(images: Images, split: Split, resolution: int, batch: int, workers: int) -> Batches:
    """Yields whole batches of the validation images, over and over."""
    transforms = import_torchvision().transforms
    pictures = PilImages(images, split.validation, transforms.Compose(_plain(split, resolution)))
    yield from _endless(pictures, batch, workers, shuffle=False)


def _plain(split: Split, resolution: int) -> list[Callable[..., object]]:
    transforms = import_torchvision().transforms
    return [transforms.Resize(resolution), transforms.ToTensor(), transforms.Normalize(split.mean, split.std)]


def _endless(pictures: PilImages, batch: int, workers: int, *, shuffle: bool) -> Batches:
    loader = DataLoader(
        pictures, batch, shuffle=shuffle, drop_last=True, num_workers=workers, persistent_workers=workers > 0
    )
    while True:
        yield from loader


def accuracies(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Returns the top-1 and top-5 accuracy in percent; each waits for the device."""
    _, predicted = logits.topk(5, 1, True, True)
    correct = predicted.t().eq(labels.view(1, -1).expand(5, -1))
    first, fifth = (correct[:k].reshape(-1).float().sum(0).mul_(100.0 / len(labels)).item() for k in (1, 5))
    return first, fifth


def training_step(network: nn.Module, batches: Batches, recipe: Recipe) -> Callable[[], None]:
    """Returns one step of the loop."""
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    criterion = nn.CrossEntropyLoss()
    totals = [0.0, 0.0, 0.0]

    def step() -> None:
        network.train()
        inputs, labels = next(batches)
        optimizer.zero_grad()
        logits = network(inputs)
        loss = criterion(logits, labels)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), recipe.gradient_clip)
        optimizer.step()
        for index, value in enumerate((loss.item(), *accuracies(logits, labels))):
            totals[index] += value * len(labels)

    return step


def validation_step(network: nn.Module, batches: Batches) -> Callable[[], int]:
    """Returns the scoring of one batch, which gives the number of its images."""
    criterion = nn.CrossEntropyLoss()
    totals = [0.0, 0.0, 0.0]

    @torch.no_grad()
    def score() -> int:
        network.eval()
        inputs, labels = next(batches)
        logits = network(inputs)
        for index, value in enumerate((criterion(logits, labels).item(), *accuracies(logits, labels))):
            totals[index] += value * len(labels)
        return len(labels)

    return score
