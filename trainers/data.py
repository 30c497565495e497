"""Images on the device as bytes, augmented there a batch at a time: crop, then resize, flip, normalise, cutout.

The order is that of EcoNAS (appendix A5.2 (3) and the released search): pad and crop at the native resolution, and only
then resize. Both are linear, and so is a flip: each is a small matrix along one axis, so that one product for the rows
and one for the columns do all three. Whatever is random in an epoch is drawn at its start from a generator seeded by
(seed, epoch): a step can be entered again exactly, and the position in the data is (epoch, step) and nothing more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from store.records.candidates import Proxy, Recipe
from trainers import datasets
from trainers import proxy as settings
from trainers.datasets import Images, Split
from trainers.errors import ImpossibleSetting
from trainers.readers import Labels, generator

Weights = npt.NDArray[np.float32]
_EVALUATION_BATCH = 500


def resize_weights(source: int, target: int) -> Weights:
    """Returns the (target, source) matrix of an antialiased bilinear resize along one axis, as PIL's and torch's.

    Output pixel i is a weighted mean of the source pixels within one output pixel's width of its centre.
    """
    scale = source / target
    support = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    distance = np.abs(np.arange(source) + 0.5 - centres[:, None]) / support
    weights = np.clip(1.0 - distance, 0.0, None)
    normalised: Weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return normalised


def crop_weights(native: int, padding: int, target: int) -> Weights:
    """Returns (2 * padding + 1, target, native): for each offset of a crop out of a zero-padded image, crop and resize.

    Offset `padding` is the image itself. What a crop takes from the padding is zero, as in torchvision's RandomCrop.
    """
    resize = resize_weights(native, target)
    table = np.zeros((2 * padding + 1, target, native), np.float32)
    for offset, matrix in enumerate(table):
        shift = offset - padding  # the crop's pixel k is the image's pixel k + shift
        first, last = max(0, -shift), min(native, native - shift)
        matrix[:, first + shift : last + shift] = resize[:, first:last]
    return table


class Draws(NamedTuple):
    """What is random in one step, on the data's device: of the same shapes and element types at every step.

    Attributes:
        indices: (batch,) int64, which of the training images in use.
        rows: (batch,) int64, offsets of the crops from the top.
        columns: (batch,) int64, offsets from the left, plus `2 * padding + 1` for those to be mirrored.
        centres: (2, batch) int64, row and column of the middle of the erased square, after resizing.
    """

    indices: Tensor
    rows: Tensor
    columns: Tensor
    centres: Tensor


class Epoch:
    """One pass over the training images, all random choices made: any step gives the same batch at any time."""

    def __init__(self, data: DeviceData, seed: int, number: int) -> None:
        """Draws epoch `number`, counted from 1."""
        rng = generator("epoch", seed, number)
        shape = (data.steps, data.batch_size)
        order = rng.permutation(data.images)[: data.steps * data.batch_size].reshape(shape)
        offsets = rng.integers(0, 2 * data.padding + 1, (2, *shape))
        mirrored = rng.integers(0, 2, shape) * data.flip
        centres = rng.integers(0, data.size, (2, *shape))
        self._data = data
        self._order = torch.from_numpy(order).to(data.device)
        self._rows = torch.from_numpy(offsets[0]).to(data.device)
        self._columns = torch.from_numpy(offsets[1] + mirrored * (2 * data.padding + 1)).to(data.device)
        self._centres = torch.from_numpy(centres).to(data.device)

    def draws(self, step: int) -> Draws:
        """Returns what is random in a step, counted from 0."""
        return Draws(self._order[step], self._rows[step], self._columns[step], self._centres[:, step])

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Returns the images of a step (batch, C, r, r), float32, and their labels (batch,)."""
        return self._data.batch(self.draws(step))


class DeviceData:
    """A data set on a device as one candidate sees it: its share of the training images, and the validation images.

    Attributes:
        images: training images in use, after the sample ratio.
        batch_size: images of a step, the same for all; the recipe's, or `images` if there are fewer.
        steps: batches of an epoch; the images left over by the last full batch are not seen in that epoch.
        size: pixels after resizing.
    """

    def __init__(
        self, images: Images, split: Split, proxy: Proxy, recipe: Recipe, seed: int, device: torch.device
    ) -> None:
        """Moves the images to the device.

        Args:
            images: the training split.
            split: which of its images are for training and for validation.
            proxy: gives resolution and sample ratio.
            recipe: gives batch size and augmentation.
            seed: chooses the subset where the sample ratio is below 1: the data's split seed.
            device: where they are kept.

        Raises:
            ImpossibleSetting: if the proxy or the recipe cannot be carried out with these images.
        """
        chosen = datasets.subset(split.train, proxy.sample_ratio, seed)
        self.device, self.images = device, len(chosen)
        self.batch_size = min(recipe.batch_size, self.images)
        self.steps = self.images // self.batch_size
        self.size = settings.resolution(proxy, images.size)
        self.padding, self.flip = recipe.padding, int(recipe.flip)
        self.cutout = settings.cutout(recipe.cutout, self.size, images.size)
        self._check(images)
        self.pixels, self.labels = self._moved(images, chosen)
        self._scale, self._shift = self._normalisation(split)
        self._row_table, self._column_table = self._tables(images.size)
        self._validation = list(self._plain(*self._moved(images, split.validation)))

    def batch(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """Returns the images of a step (batch, C, r, r), float32, and their labels (batch,).

        It waits for nothing and its shapes depend on no values, so that it can be captured in a CUDA graph.
        """
        images = self.resized(self.pixels[draws.indices], draws.rows, draws.columns)
        if self.cutout:
            self._erase(images, *draws.centres)
        return images, self.labels[draws.indices]

    def validation(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields the validation images, resized and normalised, in batches; every image once, in a fixed order."""
        yield from self._validation

    def training(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields the training images in use as `validation` does its images: every one once, not augmented."""
        yield from self._plain(self.pixels, self.labels)

    def resized(self, pixels: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Returns (batch, C, r, r) float32: cropped, resized, flipped, normalised.

        Args:
            pixels: (batch, H, C, W) uint8.
            rows: (batch,) offsets of the crops from the top.
            columns: (batch,) offsets from the left, plus `2 * padding + 1` for those to be mirrored.
        """
        batch, height, channels, width = pixels.shape
        values = pixels.to(torch.float32)
        values = torch.bmm(self._row_table[rows], values.view(batch, height, channels * width))
        values = torch.bmm(values.view(batch, self.size * channels, width), self._column_table[columns])
        images = values.view(batch, self.size, channels, self.size).permute(0, 2, 1, 3)
        return torch.addcmul(self._shift, images, self._scale)

    def _erase(self, images: Tensor, centre_y: Tensor, centre_x: Tensor) -> None:
        """Zeroes one square an image, after normalising; what lies outside is cut off (DARTS `Cutout`)."""
        line = torch.arange(self.size, device=images.device)

        def inside(centre: Tensor) -> Tensor:
            start = (centre - self.cutout // 2)[:, None]
            return (line >= start) & (line < start + self.cutout)

        images.masked_fill_((inside(centre_y)[:, :, None] & inside(centre_x)[:, None, :])[:, None], 0.0)

    def _check(self, images: Images) -> None:
        if self.batch_size * (self.size // 4) ** 2 < 2:
            raise ImpossibleSetting("recipe.batch_size", self.batch_size, "at least 2, for batch normalisation")
        if self.padding > images.size:
            raise ImpossibleSetting("recipe.padding", self.padding, f"at most the images' {images.size} pixels")

    def _moved(self, images: Images, chosen: Labels) -> tuple[Tensor, Tensor]:
        """Bytes as (N, H, C, W), the order in which the two products need no rearranging."""
        pixels = np.ascontiguousarray(images.pixels[chosen].transpose(0, 2, 1, 3))
        return torch.from_numpy(pixels).to(self.device), torch.from_numpy(images.labels[chosen]).to(self.device)

    def _normalisation(self, split: Split) -> tuple[Tensor, Tensor]:
        """Scale and shift, (1, C, 1, 1), that take bytes to zero mean and unit deviation."""
        mean, std = (torch.tensor(each, dtype=torch.float64).view(1, -1, 1, 1) for each in (split.mean, split.std))
        scale, shift = (1 / (255 * std)).float(), (-mean / std).float()
        return scale.to(self.device), shift.to(self.device)

    def _tables(self, native: int) -> tuple[Tensor, Tensor]:
        """Rows as (offset, r, H); columns as (offset, W, r), a second time mirrored."""
        table = crop_weights(native, self.padding, self.size)
        both = np.concatenate([table, table[:, ::-1]]).transpose(0, 2, 1)
        return torch.from_numpy(table).to(self.device), torch.from_numpy(np.ascontiguousarray(both)).to(self.device)

    def _plain(self, pixels: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(labels), _EVALUATION_BATCH):
            part = slice(start, start + _EVALUATION_BATCH)
            offsets = torch.full((len(labels[part]),), self.padding, device=self.device)
            yield self.resized(pixels[part], offsets, offsets), labels[part]
