"""Whether a setting fits a data set, found out before anything is trained. Free of torch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from store.records.candidates import DataSpec, Named, Proxy, Recipe
from trainers import proxy as settings
from trainers import schedule
from trainers.errors import DataMalformed, ImpossibleSetting
from trainers.fingerprint import torchvision_folder
from trainers.networks.shape import Shape, check_of
from trainers.readers import reader
from trainers.sources import Place

_TORCHVISION = {"cifar10": (3, 32, 10), "cifar100": (3, 32, 100), "fashion_mnist": (1, 28, 10)}
"""Channels, pixels and classes, which do not change: torchvision would have to be imported to read them."""


class Pictures(NamedTuple):
    """What a data set's images are like.

    Attributes:
        channels: colour channels, 1 or 3.
        size: pixels of a side.
        classes: number of classes.
    """

    channels: int
    size: int
    classes: int


def look(spec: DataSpec) -> Pictures:
    """Returns what a data set's images are like, and makes sure that there is a test split of the same kind.

    No image is trained on or scored: of a folder the first image of each split is decoded, if no size is given.

    Raises:
        DataError: if a split is not there or cannot be read, or the two are not of a kind.
    """
    if spec.name in _TORCHVISION:
        torchvision_folder(spec.name, spec.path)
        return Pictures(*_TORCHVISION[spec.name])
    train, test = _split(spec, test=False), _split(spec, test=True)
    if train != test:
        found = f"{test.classes} classes of {test.size} pixels in {test.channels} channels"
        expected = f"as in the training split: {train.classes}, {train.size} and {train.channels}"
        raise DataMalformed(spec.name, spec.path, "test split", found, expected)
    return train


def check(pictures: Pictures, space: Named, proxy: Proxy, recipe: Recipe, *, auxiliary: bool) -> None:
    """Checks that networks of a space can be trained on such images as a recipe says.

    Raises:
        ImpossibleSetting: if they cannot; the error names the key.
    """
    resolution = settings.resolution(proxy, pictures.size)
    shape = Shape.of(
        proxy,
        resolution=resolution,
        classes=pictures.classes,
        input_channels=pictures.channels,
        auxiliary=auxiliary,
    )
    check_of(space.name, shape)
    schedule.check(recipe)
    if (side := settings.cutout(recipe.cutout, resolution, pictures.size)) >= resolution:
        expected = f"less: scaled to {resolution} pixels it erases {side} x {side}, which is the whole image"
        raise ImpossibleSetting("recipe.cutout", recipe.cutout, expected)
    if recipe.padding > pictures.size:
        raise ImpossibleSetting("recipe.padding", recipe.padding, f"at most the images' {pictures.size} pixels")


def _split(spec: DataSpec, *, test: bool) -> Pictures:
    place = Place(spec.name, spec.path, test, spec.image_size, spec.skip_broken or False)
    source = reader(spec.name)(place)
    channels, height, _ = source.shape
    return Pictures(channels, height, len(np.unique(source.labels)))
