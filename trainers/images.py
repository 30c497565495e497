"""A split of a data set as it is trained on, and what it has to be for that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainers.errors import DataMalformed
from trainers.sources import Labels, Pixels, Place, Source

_SMALLEST = 4
_NAMED = 5


@dataclass(frozen=True)
class Images:
    """A split of a data set.

    Attributes:
        name: of the data set.
        pixels: (N, C, H, W) with H = W; they may be memory-mapped.
        labels: (N,) from 0 to `classes` - 1.
        classes: how many classes there are.
        class_names: their names, if they have any.
        sums: (N, C, 2), for each image and channel the sum of the bytes and of their squares, if it is known.
    """

    name: str
    pixels: Pixels
    labels: Labels
    classes: int
    class_names: tuple[str, ...] = ()
    sums: npt.NDArray[np.int64] | None = None

    @property
    def channels(self) -> int:
        """Colour channels, 1 or 3."""
        return int(self.pixels.shape[1])

    @property
    def size(self) -> int:
        """Height and width in pixels."""
        return int(self.pixels.shape[2])


def check_source(place: Place, source: Source) -> None:
    """Refuses, before anything is decoded, what no network could be trained on.

    Raises:
        DataMalformed: if there are too few images, or they are not square or too small.
    """
    _, height, width = source.shape
    if len(source.labels) < 2:
        raise _refusal(place, "images", f"{len(source.labels)} of them", "at least two")
    if height != width or height < _SMALLEST:
        expected = f"square images of at least {_SMALLEST} pixels"
        if place.name == "image_folder":
            expected += ", or data.image_size to resize and crop all"
        raise _refusal(place, "size", f"{width} x {height} pixels", expected)


def checked(
    place: Place,
    pixels: Pixels,
    labels: Labels,
    class_names: tuple[str, ...],
    sums: npt.NDArray[np.int64] | None = None,
) -> Images:
    """Returns a split, unless no network could be trained on it.

    Args:
        place: what was read.
        pixels: (N, C, H, W).
        labels: (N,), one for each image.
        class_names: names of the classes, if they have any.
        sums: as of `Images`.

    Raises:
        DataMalformed: if a class has no image, or there are fewer than two classes or images.
    """
    if len(pixels) < 2:
        raise _refusal(place, "images", f"{len(pixels)} of them", "at least two")
    present = np.unique(labels)
    if present[0] < 0:
        raise _refusal(place, "labels", f"the label {present[0]}", "labels from 0")
    if present[-1] != (classes := len(present)) - 1:
        missing = int(np.argmax(present != np.arange(classes)))
        found = f"no label {missing}, and a label {present[-1]}"
        raise _refusal(place, "labels", found, "every label from 0 to the highest")
    if classes < max(2, len(class_names)):
        found = "one class" if classes == 1 else f"images of {classes} of the {len(class_names)} classes"
        raise _refusal(place, "classes", found, "at least two classes, and a sound image of each")
    return Images(place.name, pixels, labels, classes, class_names, sums)


def check_alike(path: str | None, training: Images, test: Images) -> None:
    """Refuses a test split that is not of the training split's kind.

    Raises:
        DataMalformed: if its classes are others, or its images of another shape.
    """
    name = training.name
    if test.classes != training.classes or test.class_names != training.class_names:
        only = [sorted(set(a) - set(b)) for a, b in _both_ways(training.class_names, test.class_names)]
        found = f"{test.classes} in the test split{_such_as(only[1])}"
        expected = f"the {training.classes} of the training split{_such_as(only[0])}"
        raise DataMalformed(name, path, "classes", found, expected)
    if test.pixels.shape[1:] != training.pixels.shape[1:]:
        shapes = (" x ".join(map(str, images.pixels.shape[1:])) for images in (test, training))
        found, expected = next(shapes), next(shapes)
        raise DataMalformed(name, path, "size", f"test images of {found}", f"{expected} as the training images have")


def _both_ways(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    return (first, second), (second, first)


def _such_as(names: list[str]) -> str:
    return f", with {', '.join(map(repr, names[:_NAMED]))}" if names else ""


def _refusal(place: Place, key: str, found: str, expected: str) -> DataMalformed:
    return DataMalformed(place.name, place.path, key, found, expected)
