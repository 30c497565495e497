"""Arrays of an `.npz` file: read whole if they are small, else a part at a time, since they may not fit in memory."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt

from trainers.errors import DataMalformed, DataPathMissing
from trainers.fingerprint import npz_file
from trainers.sources import Arrays, Decoded, Labels, Pixels, Place, Source, is_of_the_system

COSTLY_BYTES = 1 << 30
"""Images that take more are not read into memory."""

_SHAPES = "(N, H, W), (N, H, W, 3) or (N, 3, H, W), one channel or three"


class _Head(NamedTuple):
    """How an array lies in its member of the archive."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    offset: int

    @property
    def bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


def read(place: Place) -> Source:
    """The arrays `x_train` and `y_train`, or `x_test` and `y_test`; the file's other arrays are not unpacked.

    Raises:
        DataPathMissing: if there is no such file, or it cannot be read just now.
        DataMalformed: if the arrays are not there, or of another kind or shape than images and labels.
    """
    file, split = npz_file(place.name, place.path), "test" if place.test else "train"
    images, answers = f"x_{split}", f"y_{split}"
    head = _head(file, images)
    if head is not None and head.bytes > COSTLY_BYTES:
        _check_images(place, file, images, head.shape, head.dtype)
        return Npz(place, file, images, head, _labels(place, file, answers, head.shape[0]))
    pixels = _array(place, file, images)
    _check_images(place, file, images, pixels.shape, pixels.dtype)
    return Arrays(np.ascontiguousarray(_arranged(pixels)), _labels(place, file, answers, len(pixels)))


class Npz:
    """Images of an `.npz` file that are read a part at a time; going on where the last part ended costs the least."""

    class_names: tuple[str, ...] = ()
    costly = True

    def __init__(self, place: Place, file: Path, key: str, head: _Head, labels: Labels) -> None:
        """Opens nothing before the first part is asked for."""
        self._place, self._file, self._key, self._head, self.labels = place, file, key, head, labels
        self._row = head.bytes // head.shape[0]
        self._member: IO[bytes] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = _arranged(np.zeros((0, *self._head.shape[1:]), np.uint8)).shape[1:]
        return channels, height, width

    def decoded(self, part: range, told: Callable[[int], None]) -> Decoded:
        """See `Source`."""
        with _reading(self._place, self._file, self._key):
            if self._member is None:
                # The archive stays open as long as its member.
                self._member = zipfile.ZipFile(self._file).open(f"{self._key}.npy")
            self._member.seek(self._head.offset + part.start * self._row)
            raw = self._member.read(len(part) * self._row)
            if len(raw) < len(part) * self._row:
                raise EOFError(f"it ends within image {part.start + len(raw) // self._row}")
        pixels = np.frombuffer(raw, np.uint8).reshape(len(part), *self._head.shape[1:])
        told(part.stop - 1)
        return Decoded(_arranged(pixels), np.arange(len(part)))


def _arranged(pixels: npt.NDArray[np.generic]) -> Pixels:
    """Views images as (N, C, H, W)."""
    images = pixels.view(np.uint8)
    if images.ndim == 3:
        return images[:, None]
    return np.moveaxis(images, 3, 1) if images.shape[3] in (1, 3) else images


def _check_images(place: Place, file: Path, key: str, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> None:
    if dtype != np.uint8:
        expected = "uint8 from 0 to 255 (scale and round floating point)"
        raise DataMalformed(place.name, str(file), key, f"{dtype} values", expected)
    if len(shape) != 3 and not (len(shape) == 4 and (shape[3] in (1, 3) or shape[1] in (1, 3))):
        raise DataMalformed(place.name, str(file), key, f"shape {shape}", _SHAPES)


def _labels(place: Place, file: Path, key: str, images: int) -> Labels:
    labels = _array(place, file, key)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        found = f"{labels.dtype} of shape {labels.shape}"
        raise DataMalformed(place.name, str(file), key, found, "one integer from 0 for each image, shape (N,)")
    if len(labels) != images:
        raise DataMalformed(
            place.name, str(file), key, f"{len(labels)} labels for {images} images", "one for each image"
        )
    return labels.astype(np.int64)


def _array(place: Place, file: Path, key: str) -> npt.NDArray[np.generic]:
    with _reading(place, file, key), file.open("rb") as opened, np.load(opened, allow_pickle=False) as archive:
        if key not in archive:
            found = f"not there, the file holds {', '.join(archive.files) or 'nothing'}"
            split = key.partition("_")[2]
            raise DataMalformed(place.name, str(file), key, found, f"the arrays x_{split} and y_{split}")
        array: npt.NDArray[np.generic] = archive[key]
        return array


def _head(file: Path, key: str) -> _Head | None:
    """How an array lies in the file; none if that is unusual or wrong, which reading the whole array finds out."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        with zipfile.ZipFile(file) as archive, archive.open(f"{key}.npy") as member:
            beginning = io.BytesIO(member.read(1 << 16))
        shape, fortran, dtype = readers[np.lib.format.read_magic(beginning)](beginning)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    return None if fortran else _Head(shape, dtype, beginning.tell())


@contextmanager
def _reading(place: Place, file: Path, key: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        if is_of_the_system(error):
            raise DataPathMissing(place.name, str(file), f"a file that can be read ({error})") from error
        raise DataMalformed(place.name, str(file), key, f"cannot be read ({error})", "an array of numbers") from error
