"""Images as bytes, augmented on the device a batch at a time: crop, then resize, flip, colours, normalise, cutout.

The order is that of EcoNAS (appendix A5.2 (3) and the released search): pad and crop at the native resolution, and only
then resize. Both are linear, and so is a flip: each is a small matrix along one axis, so that one product for the rows
and one for the columns do all three. What is random in a batch is drawn by `trainers.epoch` and handed in.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from store.records.candidates import Proxy, Recipe
from trainers import augmentation, datasets, pixels
from trainers import proxy as settings
from trainers.datasets import Images, Split
from trainers.epoch import Draws as Draws
from trainers.epoch import Epoch as Epoch
from trainers.errors import ImpossibleSetting
from trainers.pixels import Resident, Shelf, Streamed
from trainers.readers import Labels

_EVALUATION_BATCH = 500
CENTRE = 0.875
"""Side of the part of an image that is scored where training cuts out boxes: 224 of 256 pixels, as for ImageNet."""


class DeviceData:
    """A data set as one candidate sees it: its share of the training images, and the validation images.

    The pixels lie on the device if they fit there, else batches of them are moved there as they are needed. No bit of
    a batch depends on which of the two it is.

    Attributes:
        images: training images in use, after the sample ratio.
        batch_size: images of a step, the same for all; the recipe's, or `images` if there are fewer.
        steps: batches of an epoch; the images left over by the last full batch are not seen in that epoch.
        native: pixels of a side before resizing.
        size: pixels of a side after resizing.
        boxed: whether training cuts out random boxes (recipe.crop "resized"), and scoring the middle.
        streamed: whether the pixels are not on the device.
        training_images: where the pixels of the training images in use are.
        labels: (images,) int64, theirs, on the device.
    """

    def __init__(
        self,
        images: Images,
        split: Split,
        proxy: Proxy,
        recipe: Recipe,
        seed: int,
        device: torch.device,
        *,
        streamed: bool | None = None,
    ) -> None:
        """Moves the images to the device, if they are to lie there.

        Args:
            images: the training split.
            split: which of its images are for training and for validation.
            proxy: gives resolution and sample ratio.
            recipe: gives batch size and augmentation.
            seed: chooses the subset where the sample ratio is below 1: the data's split seed.
            device: where the batches are made.
            streamed: whether the pixels stay where they are; if absent, whether they do not fit (`pixels.fits`).

        Raises:
            ImpossibleSetting: if the proxy or the recipe cannot be carried out with these images.
        """
        chosen = datasets.subset(split.train, proxy.sample_ratio, seed)
        self.device, self.images = device, len(chosen)
        self.batch_size = min(recipe.batch_size, self.images)
        self.steps = self.images // self.batch_size
        self.native, self.size = images.size, settings.resolution(proxy, images.size)
        self.boxed, self.colour_jitter = recipe.crop == "resized", recipe.colour_jitter or 0.0
        self.padding, self.flip = 0 if self.boxed else recipe.padding, int(recipe.flip)
        self.cutout = settings.cutout(recipe.cutout, self.size, images.size)
        self._check()
        needed = self._bytes(images, len(split.validation))
        self.streamed = not pixels.fits(needed, device) if streamed is None else streamed
        self._scale, self._shift = self._normalisation(split)
        self._row_table, self._column_table = self._tables()
        self.training_images = self._shelf(images, chosen)
        self.labels = torch.from_numpy(images.labels[chosen]).to(device)
        self._images, self._split = images, split
        self._held_out = None if self.streamed else list(self._plain(images, split.validation))

    def batch(self, draws: Draws, pixels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns the images of a step (batch, C, r, r), float32, and their labels (batch,).

        Where pixels lie on the device or are given, it waits for nothing and its shapes depend on no values, so that
        it can be captured in a CUDA graph.

        Args:
            draws: of one step.
            pixels: what `Epoch.pixels` returns for it.
        """
        found = self.training_images.at(draws.indices) if pixels is None else pixels
        images = self.resized(found, draws.rows, draws.columns, draws.colours if self.colour_jitter else None)
        if self.cutout:
            augmentation.erase(images, self.cutout, *draws.centres)
        return images, self.labels[draws.indices]

    def validation(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields the validation images, resized and normalised, in batches; every image once, in a fixed order."""
        yield from self._held_out if self._held_out is not None else self._plain(self._images, self._split.validation)

    def training(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields the training images in use as `validation` does its images: every one once, not augmented."""
        yield from self._plain_of(self.training_images, self.labels)

    def others(self, images: Images) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields all images of another split as `validation` does its images: resized and normalised as those are."""
        yield from self._plain(images, np.arange(len(images.labels)))

    def resized(self, pixels: Tensor, rows: Tensor, columns: Tensor, colours: Tensor | None = None) -> Tensor:
        """Returns (batch, C, r, r) float32: cropped, resized, flipped, of other colours if so asked, normalised.

        Args:
            pixels: (batch, H, C, W) uint8.
            rows: as in `Draws`.
            columns: as in `Draws`.
            colours: as in `Draws`; none to leave them as they are.
        """
        batch, height, channels, width = pixels.shape
        values = pixels.to(torch.float32)
        values = torch.bmm(self._row_weights(rows), values.view(batch, height, channels * width))
        values = torch.bmm(values.view(batch, self.size * channels, width), self._column_weights(columns))
        images = values.view(batch, self.size, channels, self.size).permute(0, 2, 1, 3)
        if colours is not None:
            images = augmentation.jittered(images, colours)
        return torch.addcmul(self._shift, images, self._scale)

    def _row_weights(self, rows: Tensor) -> Tensor:
        return augmentation.box_weights(rows, self.native, self.size) if self.boxed else self._row_table[rows]

    def _column_weights(self, columns: Tensor) -> Tensor:
        if self.boxed:
            return augmentation.box_weights(columns, self.native, self.size).transpose(1, 2)
        return self._column_table[columns]

    def _check(self) -> None:
        if self.batch_size * (self.size // 4) ** 2 < 2:
            raise ImpossibleSetting("recipe.batch_size", self.batch_size, "at least 2, for batch normalisation")
        if self.padding > self.native:
            raise ImpossibleSetting("recipe.padding", self.padding, f"at most the images' {self.native} pixels")

    def _bytes(self, images: Images, validation: int) -> int:
        """What the data set takes on the device if it lies there, the finished validation images included."""
        raw = (self.images + validation) * images.channels * self.native**2
        return raw + 4 * validation * images.channels * self.size**2

    def _shelf(self, images: Images, chosen: Labels) -> Shelf:
        return (Streamed if self.streamed else Resident)(images.pixels, chosen, self.device)

    def _normalisation(self, split: Split) -> tuple[Tensor, Tensor]:
        """Scale and shift, (1, C, 1, 1), that take bytes to zero mean and unit deviation."""
        mean, std = (torch.tensor(each, dtype=torch.float64).view(1, -1, 1, 1) for each in (split.mean, split.std))
        scale, shift = (1 / (255 * std)).float(), (-mean / std).float()
        return scale.to(self.device), shift.to(self.device)

    def _tables(self) -> tuple[Tensor, Tensor]:
        """Rows as (offset, r, H); columns as (offset, W, r), a second time mirrored."""
        table = augmentation.crop_weights(self.native, self.padding, self.size)
        both = np.concatenate([table, table[:, ::-1]]).transpose(0, 2, 1)
        return torch.from_numpy(table).to(self.device), torch.from_numpy(np.ascontiguousarray(both)).to(self.device)

    def _plain(self, images: Images, chosen: Labels) -> Iterator[tuple[Tensor, Tensor]]:
        labels = torch.from_numpy(images.labels[chosen]).to(self.device)
        yield from self._plain_of(self._shelf(images, chosen), labels)

    def _plain_of(self, shelf: Shelf, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields images that are not augmented: whole, or their middle where training cuts out boxes."""
        order = np.arange(len(labels))
        parts = [order[start : start + _EVALUATION_BATCH] for start in range(0, len(order), _EVALUATION_BATCH)]
        feed = shelf.feed(parts)
        for number, part in enumerate(parts):
            chosen = torch.from_numpy(part).to(self.device)
            found = shelf.at(chosen) if feed is None else feed.take(number)
            where = self._unmoved(len(part))
            yield self.resized(found, where, where), labels[chosen]

    def _unmoved(self, count: int) -> Tensor:
        if not self.boxed:
            return torch.full((count,), self.padding, device=self.device)
        side = max(1, round(CENTRE * self.native))
        box = torch.tensor([(self.native - side) // 2, side], dtype=torch.float32, device=self.device)
        return box.expand(count, 2)
