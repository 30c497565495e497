"""A split of a data set as it lies in its files: how many images there are, what each is, and how they are decoded."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

Told = Callable[[str, int, int], None]
"""Hears how far a preparation is: what is done, how much of it, of how much. It may raise, to end the preparation."""


def silent(what: str, done: int, total: int) -> None:
    """Hears, and does nothing."""


@dataclass(frozen=True)
class Place:
    """Which split of a data set is read, and how.

    Attributes:
        name: of the data set.
        path: where it lies; `~` and `$NAME` are put in.
        test: the test split, not the training split.
        image_size: side to which the images of a folder are resized and cropped.
        skip_broken: leave out the images of a folder that cannot be decoded.
    """

    name: str
    path: str | None
    test: bool = False
    image_size: int | None = None
    skip_broken: bool = False


class Decoded(NamedTuple):
    """Some images of a split, in its order.

    Attributes:
        pixels: (n, C, H, W).
        kept: (n,) int64, their numbers in the part that was asked for, counted from 0.
        broken: names of those that are left out because they cannot be decoded.
    """

    pixels: Pixels
    kept: Labels
    broken: tuple[str, ...] = ()


class Source(Protocol):
    """A split that can be decoded a part at a time, always with the same result.

    Attributes:
        labels: (N,) int64 of all images, also of those that turn out to be broken.
        class_names: names of the classes, if they have any.
        shape: (C, H, W) of every image.
        costly: whether what is decoded is worth keeping on the disk: it is slow to make, or large.
    """

    @property
    def labels(self) -> Labels: ...

    @property
    def class_names(self) -> tuple[str, ...]: ...

    @property
    def shape(self) -> tuple[int, int, int]: ...

    @property
    def costly(self) -> bool: ...

    def decoded(self, part: range, told: Callable[[int], None]) -> Decoded:
        """Returns some consecutive images.

        Args:
            part: their numbers.
            told: hears the number of each image that is done.

        Raises:
            DataError: if one cannot be read, or is not what it should be.
        """
        ...


@dataclass(frozen=True)
class Arrays:
    """A split that is in memory: `pixels` (N, C, H, W) and `labels` (N,)."""

    pixels: Pixels
    labels: Labels
    class_names: tuple[str, ...] = ()
    costly: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width

    def decoded(self, part: range, told: Callable[[int], None]) -> Decoded:
        """There is nothing to decode."""
        return Decoded(self.pixels[part.start : part.stop], np.arange(len(part)))


def is_of_the_system(error: Exception) -> bool:
    """Whether the system could not read (EIO, EMFILE, ESTALE, ...), which says nothing of the content.

    What PIL and numpy find wrong in it has no number. EINVAL is what a broken archive's seek to before the start gives.
    """
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)
