"""How the steps of an epoch are made: the interface, and the form that calls one operation after another.

A stepper holds what a training changes (network, momentum, sums) and turns an epoch's draws into steps. The trainer's
loop only says which step comes next, so that the loop is the same for `Eager` and `trainers.capture.Captured`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from store.records.candidates import Recipe
from trainers import schedule
from trainers.data import DeviceData, Epoch
from trainers.networks.base import Network
from trainers.sgd import SGD
from trainers.step import Batch, Sums, evaluate, path_masks, train_step

Alive = Callable[[], None]
"""Says that the job goes on; called before every batch."""


class Stepper(Protocol):
    """Makes the steps of a training, in any order that is asked for; the draws of a step are always the same."""

    @property
    def sums(self) -> Sums:
        """Of the epoch under way, in tensors that stay the same ones."""
        ...

    @property
    def steps(self) -> int:
        """How many an epoch has."""
        ...

    def begin(self, epoch: int) -> None:
        """Draws an epoch, counted from 1. The sums are left as they are."""
        ...

    def step(self, number: int, alive: Alive) -> int:
        """Makes a step of the epoch, counted from 0; returns how many images it saw."""
        ...

    def evaluate(self, batches: Iterable[tuple[Tensor, Tensor]]) -> Sums:
        """Returns the sums over images that are not trained on, by running statistics."""
        ...

    def close(self) -> None:
        """Gives back what it holds on the device beside the network."""
        ...


class Eager:
    """Calls one operation after another.

    Args:
        network: that is trained.
        optimizer: of this network.
        data: of the candidate.
        recipe: how it is trained.
        seed: the candidate's; decides the order of the images, their augmentation, and dropped paths.
        fused: whether the learning rate is a tensor and the update one kernel, as in a captured step; if absent,
            whether it runs on a GPU.
    """

    def __init__(
        self,
        network: Network,
        optimizer: SGD,
        data: DeviceData,
        recipe: Recipe,
        seed: int,
        *,
        fused: bool | None = None,
    ) -> None:
        self.network, self.optimizer, self.data, self.recipe, self.seed = network, optimizer, data, recipe, seed
        self._fused = data.device.type == "cuda" if fused is None else fused
        self.sums = Sums.zero(data.device)
        self.steps = schedule.steps_of(data.steps, recipe)

    def begin(self, epoch: int) -> None:
        """See `Stepper`."""
        self.number, self.epoch = epoch, Epoch(self.data, self.seed, epoch)

    def step(self, number: int, alive: Alive) -> int:
        """See `Stepper`."""
        self.network.train()
        numbers = schedule.batches_of(number, self.data.steps, self.recipe)
        rate = self.rate(number)
        train_step(
            self.network,
            self.optimizer,
            self._batches(numbers, alive),
            len(numbers),
            torch.full((), rate, dtype=torch.float32, device=self.data.device) if self._fused else rate,
            self.recipe,
            self.sums,
        )
        return len(numbers) * self.data.batch_size

    def evaluate(self, batches: Iterable[tuple[Tensor, Tensor]]) -> Sums:
        """See `Stepper`."""
        return evaluate(self.network, batches, self.data.device, self.recipe)

    def close(self) -> None:
        """There is nothing to give back."""

    def rate(self, number: int) -> float:
        """Returns the learning rate of a step of the epoch that was begun."""
        return schedule.learning_rate(self.recipe, self.number, number, self.steps)

    @property
    def drops_paths(self) -> bool:
        """Whether there is anything to drop: a recipe that drops paths, and a network that has some."""
        return self.recipe.path_dropout is not None and self.network.paths > 0

    def keep(self, batch: int) -> Tensor | None:
        """Returns the masks of a batch's paths, on the CPU; none if there is nothing to drop in any epoch.

        While the probability is 0 they keep everything: a captured step has them in every epoch, and a product with 1
        can change the order in which gradients are summed.
        """
        if not self.drops_paths:
            return None
        probability = schedule.path_dropout(self.recipe, self.number)
        shape = (self.network.paths, self.data.batch_size)
        return path_masks(probability, shape, self.seed, self.number, batch)

    def _batches(self, numbers: range, alive: Alive) -> Iterator[Batch]:
        for number in numbers:
            alive()
            keep = self.keep(number)
            yield Batch(*self.epoch.batch(number), None if keep is None else keep.to(self.data.device))
