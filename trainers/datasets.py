"""Data sets as arrays of bytes in memory: the training split only, parted into training and validation images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from store.records.candidates import Data, DataSpec
from trainers.errors import DataChanged, DataMalformed, UnknownDataSet
from trainers.fingerprint import fingerprint
from trainers.readers import READERS, Labels, Pixels, generator

_CIFAR_MEAN = (0.49139968, 0.48215827, 0.44653124)
_CIFAR_STD = (0.24703233, 0.24348505, 0.26158768)
_PUBLISHED = {"cifar10": (_CIFAR_MEAN, _CIFAR_STD), "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))}
_SMALLEST = 4


@dataclass(frozen=True)
class Images:
    """A training split: `pixels` (N, C, H, W) with H = W, `labels` (N,) from 0 to `classes` - 1, and its name."""

    name: str
    pixels: Pixels
    labels: Labels
    classes: int

    @property
    def channels(self) -> int:
        """Colour channels, 1 or 3."""
        return int(self.pixels.shape[1])

    @property
    def size(self) -> int:
        """Height and width in pixels."""
        return int(self.pixels.shape[2])


@dataclass(frozen=True)
class Split:
    """Indices into the training split, disjoint, and the channels' mean and standard deviation in [0, 1]."""

    train: Labels
    validation: Labels
    mean: tuple[float, ...]
    std: tuple[float, ...]


_loaded: dict[tuple[str, str], Images] = {}


def load(data: Data, path: str | None) -> Images:
    """Returns the training split of a candidate's data set; it stays in memory for the next candidate.

    The test split is never used: `x_test` of an `.npz` file is not unpacked, a folder `test` is not opened; torchvision
    reads CIFAR's test file only to check that it is the published one.

    Args:
        data: the data set by content.
        path: where it lies on this machine; `~` and `$NAME` are put in.

    Raises:
        DataError: if it cannot be found or used, or is not the content that the candidate was defined with.
    """
    key = (data.name, data.fingerprint)
    if key not in _loaded:
        found = fingerprint(DataSpec(name=data.name, path=path))
        if found != data.fingerprint:
            raise DataChanged(data.name, path, data.fingerprint, found)
        _loaded.clear()  # one at a time: jobs of one search follow each other, and a data set may be large
        _loaded[key] = read(data.name, path)
    return _loaded[key]


def read(name: str, path: str | None) -> Images:
    """Returns a data set's training split from its files; raises `DataError` as `load` does."""
    if name not in READERS:
        raise UnknownDataSet(name, READERS)
    pixels, labels = READERS[name](name, path)
    return _checked(name, path, pixels, labels)


def split(images: Images, data: Data) -> Split:
    """Returns which images are held out for validation, and the statistics of the others.

    With the share 0 none is held out, and all images are trained on. Any other share is drawn without regard to class
    by a generator seeded by `split_seed`. Mean and standard deviation are the published ones for CIFAR, else computed
    over the images that are not held out.

    Raises:
        DataMalformed: if the share leaves no image on one side.
    """
    order = generator("validation split", data.split_seed).permutation(len(images.labels))
    held_out = round(data.validation_fraction * len(order))
    if not 0 <= held_out < len(order) or (held_out == 0) != (data.validation_fraction == 0):
        found = f"{data.validation_fraction} of {len(order)} images is {held_out}"
        raise DataMalformed(images.name, None, "data.validation_fraction", found, "a share that leaves images to both")
    train, validation = np.sort(order[held_out:]), np.sort(order[:held_out])
    mean, std = _PUBLISHED.get(images.name) or _statistics(images.pixels[train])
    return Split(train, validation, mean, std)


def subset(train: Labels, ratio: float, seed: int) -> Labels:
    """Returns the share `ratio` of the training images: one fixed random subset, the same for every model.

    It is not stratified by class, and a smaller subset is part of every larger one (EcoNAS section 3.1; facts F).
    """
    order = generator("sample ratio", seed).permutation(len(train))
    return train[np.sort(order[: max(1, round(ratio * len(train)))])]


def _statistics(pixels: Pixels) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Sums whole numbers, so that the result is exact and the same on every machine."""
    means, deviations = [], []
    for channel in range(pixels.shape[1]):
        values = pixels[:, channel]
        first = int(values.sum(dtype=np.int64))
        second = int(np.square(values, dtype=np.uint16).sum(dtype=np.int64))
        variance = (values.size * second - first * first) / values.size**2
        means.append(first / values.size / 255)
        deviations.append(math.sqrt(variance) / 255 or 1.0)
    return tuple(means), tuple(deviations)


def _checked(name: str, path: str | None, pixels: Pixels, labels: Labels) -> Images:
    """Refuses what no network could be trained on."""

    def refuse(key: str, found: str, expected: str) -> DataMalformed:
        return DataMalformed(name, path, key, found, expected)

    if len(pixels) != len(labels):
        raise refuse("labels", f"{len(labels)} labels for {len(pixels)} images", "one for each image")
    if len(pixels) < 2:
        raise refuse("images", f"{len(pixels)} of them", "at least two")
    present = np.unique(labels)
    if present[0] < 0:
        raise refuse("labels", f"the label {present[0]}", "labels from 0")
    if present[-1] != (classes := len(present)) - 1:
        missing = int(np.argmax(present != np.arange(classes)))
        raise refuse("labels", f"no label {missing}, and a label {present[-1]}", "every label from 0 to the highest")
    if classes < 2:
        raise refuse("classes", "one class", "at least two")
    height, width = pixels.shape[2:]
    if height != width or height < _SMALLEST:
        raise refuse("size", f"{width} x {height} pixels", f"square images of at least {_SMALLEST} pixels")
    return Images(name, pixels, labels, classes)
