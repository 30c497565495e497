"""How each kind of data set is read: the training split, or the one set aside for testing."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np

from store.records.base import digest
from trainers import npz
from trainers.errors import DataPathMissing
from trainers.fingerprint import DIGITS, TORCHVISION, own, torchvision_folder
from trainers.folders import Folder
from trainers.sources import Arrays, Place, Source
from trainers.sources import Labels as Labels
from trainers.sources import Pixels as Pixels

_DIGITS_TEST = 297
_DIGITS_SEED = 20200322


def generator(*seeds: str | int) -> np.random.Generator:
    """Returns a generator whose stream depends on these values and on nothing else."""
    return np.random.Generator(np.random.PCG64(int(digest(list(seeds))[:32], 16)))


def read_digits(place: Place) -> Source:
    """The 1,797 digits of scikit-learn, 8 x 8 values 0 to 16; a fixed seed sets 297 of them aside for testing."""
    from sklearn.datasets import load_digits  # takes half a second, and only this data set needs it

    raw = load_digits()
    order = generator(DIGITS, _DIGITS_SEED).permutation(len(raw.target))
    chosen = np.sort(order[:_DIGITS_TEST] if place.test else order[_DIGITS_TEST:])
    pixels = np.rint(raw.images[chosen] * (255 / 16)).astype(np.uint8)
    return Arrays(pixels[:, None], raw.target[chosen].astype(np.int64))


def read_torchvision(place: Place) -> Source:
    """Torchvision unpickles CIFAR's files, and before that refuses any whose MD5 is not the published one.

    Where the training split is read, that check reads the test files of CIFAR too, and of Fashion-MNIST looks whether
    they are there; they are not used.

    Raises:
        DataPathMissing: if a file is not there, is not the published one, or cannot be read.
    """
    from trainers.vision import import_torchvision

    root, known = torchvision_folder(place.name, place.path), TORCHVISION[place.name]
    try:
        kind = getattr(import_torchvision().datasets, known.type)
        found = kind(str(root), train=not place.test, download=False)
    except (OSError, RuntimeError, ValueError) as error:
        expected = f"the published files, from {known.url} ({error})"
        raise DataPathMissing(place.name, str(root), expected) from error
    pixels = np.asarray(found.data)
    arranged = pixels[:, None] if pixels.ndim == 3 else np.moveaxis(pixels, 3, 1)
    return Arrays(np.ascontiguousarray(arranged), np.asarray(found.targets, dtype=np.int64))


def reader(name: str) -> Callable[[Place], Source]:
    """Returns what reads a split of a data set.

    Raises:
        UnknownDataSet: if there is no data set of that name.
        PluginBroken: if it is a distribution's, and cannot be used.
    """
    if name in READERS:
        return READERS[name]
    module, _, attribute = own(name).reader.partition(":")
    found: Callable[[Place], Source] = getattr(importlib.import_module(module), attribute)
    return found


READERS: dict[str, Callable[[Place], Source]] = {
    "digits": read_digits,
    "npz": npz.read,
    "image_folder": Folder,
    **dict.fromkeys(TORCHVISION, read_torchvision),
}
"""What a split of a data set of each name is read by."""
