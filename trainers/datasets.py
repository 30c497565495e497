"""Data sets as arrays of bytes, in memory or memory-mapped: the training split, parted into training and validation.

The test split is read by `load_test` and by nothing else.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL

from store.records.base import digest
from store.records.candidates import Data, DataSpec
from trainers import cache, cache_log
from trainers.errors import DataChanged, DataMalformed
from trainers.fingerprint import fingerprint, fingerprint_of_test
from trainers.images import Images as Images
from trainers.images import check_alike, check_source, checked
from trainers.readers import Labels, generator, reader
from trainers.sources import Place, Source, Told, silent

_CIFAR_MEAN = (0.49139968, 0.48215827, 0.44653124)
_CIFAR_STD = (0.24703233, 0.24348505, 0.26158768)
_PUBLISHED = {"cifar10": (_CIFAR_MEAN, _CIFAR_STD), "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))}
_AT_ONCE = 4096
_NAMED_BROKEN = 5

log = logging.getLogger("coldframe.worker")


@dataclass(frozen=True)
class Split:
    """Indices into the training split, disjoint, and the channels' mean and standard deviation in [0, 1]."""

    train: Labels
    validation: Labels
    mean: tuple[float, ...]
    std: tuple[float, ...]


_loaded: dict[tuple[Data, bool], Images] = {}


def load(data: Data, path: str | None, store: str | Path | None = None, told: Told = silent) -> Images:
    """Returns the training split of a candidate's data set; it stays in memory for the next candidate.

    The test split is never used: `x_test` of an `.npz` file is not unpacked, a folder `test` is not opened; torchvision
    reads CIFAR's test file only to check that it is the published one.

    Args:
        data: the data set by content.
        path: where it lies on this machine; `~` and `$NAME` are put in.
        store: folder for decoded images (`JobSettings.cache`); if absent, all data sets are read into memory. What is
            decoded there already is used without a look at `path`.
        told: hears how far that is.

    Raises:
        DataError: if it cannot be found or used, or is not the content that the candidate was defined with.
        StoreError: if decoded images cannot be kept, e.g. `StoreFull`.
    """
    place = _place(data, path, test=False)

    def opened() -> Source:
        found = fingerprint(DataSpec(name=data.name, path=path), lambda *far: told("reading image files", *far))
        if found != data.fingerprint:
            raise DataChanged(data.name, path, data.fingerprint, found)
        return _opened(place)

    return _remembered(data, False, lambda: _images(place, data.fingerprint, opened, store, told))


def load_test(data: Data, path: str | None, store: str | Path | None = None, told: Told = silent) -> Images:
    """Returns the test split of a candidate's data set. Only what is trained on all other images may be scored on it.

    It is the 297 digits that a fixed seed sets aside; `x_test` and `y_test` of an `.npz` file; beside the folder
    `train` the first of `test`, `val`, `valid` and `validation`; the published one of torchvision's data sets. Nothing
    of it is in the data set's identity.

    Args and errors are those of `load`; besides:

    Raises:
        DataMalformed: if its classes, or the shape of its images, are not those of the training split.
    """
    training = load(data, path, store, told)
    place = _place(data, path, test=True)

    def read() -> Images:
        content = data.fingerprint
        if data.name == "image_folder":
            content = fingerprint_of_test(data.name, path, lambda *far: told("reading image files", *far))
        return _images(place, content, lambda: _opened(place), store, told)

    found = _remembered(data, True, read)
    check_alike(path, training, found)
    return found


def read(name: str, path: str | None) -> Images:
    """Returns a data set's training split from its files, in memory; raises `DataError` as `load` does."""
    place = Place(name, path)
    return _images(place, "", lambda: _opened(place), None, silent)


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
    mean, std = _PUBLISHED.get(images.name) or _statistics(images, train)
    return Split(train, validation, mean, std)


def subset(train: Labels, ratio: float, seed: int) -> Labels:
    """Returns the share `ratio` of the training images: one fixed random subset, the same for every model.

    It is not stratified by class, and a smaller subset is part of every larger one (EcoNAS section 3.1; facts F).
    """
    order = generator("sample ratio", seed).permutation(len(train))
    return train[np.sort(order[: max(1, round(ratio * len(train)))])]


def _statistics(images: Images, chosen: Labels) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Sums whole numbers, so that the result is exact and the same on every machine."""
    if images.sums is not None:
        sums = images.sums[chosen].sum(axis=0)
    else:
        parts = (images.pixels[chosen[start : start + _AT_ONCE]] for start in range(0, len(chosen), _AT_ONCE))
        sums = np.sum([cache.sums(part).sum(axis=0) for part in parts], axis=0)
    values = len(chosen) * images.size**2
    means, deviations = [], []
    for first, second in sums.tolist():
        means.append(first / values / 255)
        deviations.append(math.sqrt((values * second - first * first) / values**2) / 255 or 1.0)
    return tuple(means), tuple(deviations)


def _place(data: Data, path: str | None, *, test: bool) -> Place:
    return Place(data.name, path, test, data.image_size, bool(data.skip_broken))


def _remembered(data: Data, test: bool, make: Callable[[], Images]) -> Images:
    """Keeps the data set of the last call: jobs of one search follow each other, and a data set may be large."""
    content = data.model_copy(update={"validation_fraction": 0.0, "split_seed": 0})
    if (content, test) not in _loaded:
        for key in [key for key in _loaded if key[0] != content]:
            del _loaded[key]
        _loaded[content, test] = make()
    return _loaded[content, test]


def _opened(place: Place) -> Source:
    return reader(place.name)(place)


def _images(place: Place, content: str, opened: Callable[[], Source], store: str | Path | None, told: Told) -> Images:
    """Returns a split: out of a cache that is there or worth making, else decoded into memory."""
    folder = None if store is None else Path(store) / _cache_name(place, content)
    if folder is not None and (folder.is_dir() or place.image_size is not None):
        return _kept(place, folder, opened, told)  # opened under the lock: one worker reads the files, the others wait
    source = opened()
    check_source(place, source)
    if folder is not None and source.costly:
        return _kept(place, folder, lambda: source, told)
    total = len(source.labels)
    decoded = source.decoded(range(total), lambda done: told("decoding images", done + 1, total))
    _tell_broken(place, decoded.broken, told)
    return checked(place, decoded.pixels, source.labels[decoded.kept], source.class_names)


def _kept(place: Place, folder: Path, opened: Callable[[], Source], told: Told) -> Images:
    def fit() -> Source:
        source = opened()
        check_source(place, source)
        return source

    found = cache.stored(folder, fit, told)
    _tell_broken(place, found.broken, told)
    return checked(place, found.pixels, found.labels, found.class_names, found.sums)


def _cache_name(place: Place, content: str) -> str:
    """What decides the decoded bytes, the decoder included."""
    how = [place.name, place.test, content, place.image_size, place.skip_broken]
    return digest(["decoded images", cache_log.VERSION, PIL.__version__, *how])


def _tell_broken(place: Place, broken: tuple[str, ...], told: Told) -> None:
    if broken:
        names = ", ".join(broken[:_NAMED_BROKEN]) + (", ..." if len(broken) > _NAMED_BROKEN else "")
        message = f"left out {len(broken)} broken image{'s' if len(broken) > 1 else ''}: {names}"
        log.warning("data set %r at %s: %s", place.name, place.path, message)
        told(message, 0, 0)
