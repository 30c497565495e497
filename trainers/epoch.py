"""One pass over a data set: all that is random in it, drawn so that any step can be entered again exactly.

Whatever is random comes from a generator seeded by (seed, epoch), or by (seed, epoch, step) where an epoch has too
much of it to be drawn at once. So the position in the data is (epoch, step) and nothing more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from trainers import augmentation
from trainers.readers import generator

if TYPE_CHECKING:
    from trainers.data import DeviceData


class Draws(NamedTuple):
    """What is random in one step, on the data's device: of the same shapes and element types at every step.

    Attributes:
        indices: (batch,) int64, which of the training images in use.
        rows: (batch,) int64, offsets of the crops from the top; for random boxes (batch, 2) float32, top and height.
        columns: (batch,) int64, offsets from the left, plus `2 * padding + 1` for those to be mirrored; for random
            boxes (batch, 2) float32, left and width, or right and minus the width for those to be mirrored.
        centres: (2, batch) int64, row and column of the middle of the erased square, after resizing.
        colours: (batch, 2, 4) float32 as `augmentation.jittered` takes them; (0,) if the recipe has no colour jitter.
    """

    indices: Tensor
    rows: Tensor
    columns: Tensor
    centres: Tensor
    colours: Tensor


class Epoch:
    """One pass over the training images, all random choices made: any step gives the same batch at any time."""

    def __init__(self, data: DeviceData, seed: int, number: int) -> None:
        """Draws epoch `number`, counted from 1. Random boxes and colours are drawn at their step."""
        rng = generator("epoch", seed, number)
        shape = (data.steps, data.batch_size)
        order = rng.permutation(data.images)[: data.steps * data.batch_size].reshape(shape)
        self._data, self._seeds = data, (seed, number)
        self._feed = data.training_images.feed(list(order))
        self._order = torch.from_numpy(order).to(data.device)
        if data.boxed:
            return
        offsets = rng.integers(0, 2 * data.padding + 1, (2, *shape))
        mirrored = rng.integers(0, 2, shape) * data.flip
        centres = rng.integers(0, data.size, (2, *shape))
        self._rows = torch.from_numpy(offsets[0]).to(data.device)
        self._columns = torch.from_numpy(offsets[1] + mirrored * (2 * data.padding + 1)).to(data.device)
        self._centres = torch.from_numpy(centres).to(data.device)

    def draws(self, step: int) -> Draws:
        """Returns what is random in a step, counted from 0."""
        if self._data.boxed:
            rows, columns, centres = self._boxes(step)
        else:
            rows, columns, centres = self._rows[step], self._columns[step], self._centres[:, step]
        return Draws(self._order[step], rows, columns, centres, self._colours(step))

    def pixels(self, step: int) -> Tensor | None:
        """Returns a step's pixels (batch, H, C, W), uint8, where they are streamed; none where they lie on the device.

        A captured step cannot gather streamed pixels: it takes these.
        """
        return None if self._feed is None else self._feed.take(step)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Returns the images of a step (batch, C, r, r), float32, and their labels (batch,)."""
        return self._data.batch(self.draws(step), self.pixels(step))

    def _boxes(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        data, rng = self._data, generator("boxes", *self._seeds, step)
        rows, columns = augmentation.random_boxes(rng, data.batch_size, data.native)
        mirrored = (rng.integers(0, 2, data.batch_size) * data.flip).astype(bool)
        columns[mirrored, 0] += columns[mirrored, 1]
        columns[mirrored, 1] *= -1
        centres = torch.from_numpy(rng.integers(0, data.size, (2, data.batch_size)))
        boxes = torch.from_numpy(np.stack([rows, columns])).to(data.device)
        return boxes[0], boxes[1], centres.to(data.device)

    def _colours(self, step: int) -> Tensor:
        data = self._data
        if not data.colour_jitter:
            return torch.empty(0, device=data.device)
        rng = generator("colours", *self._seeds, step)
        drawn = augmentation.random_colours(rng, data.batch_size, data.colour_jitter)
        return torch.from_numpy(drawn).to(data.device)
