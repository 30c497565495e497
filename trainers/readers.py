"""How each kind of data set is read: bytes (N, C, H, W) and labels (N,) of its training split."""

from __future__ import annotations

import errno
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from store.records.base import digest
from trainers.errors import DataMalformed, DataPathMissing
from trainers.fingerprint import DIGITS, TORCHVISION, class_images, npz_file, torchvision_folder, train_folder

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

_DIGITS_TEST = 297
_DIGITS_SEED = 20200322


def generator(*seeds: str | int) -> np.random.Generator:
    """Returns a generator whose stream depends on these values and on nothing else."""
    return np.random.Generator(np.random.PCG64(int(digest(list(seeds))[:32], 16)))


def read_digits(name: str, path: str | None) -> tuple[Pixels, Labels]:
    """The 1,797 digits of scikit-learn, 8 x 8 values 0 to 16, less 297 that a fixed seed sets aside for testing."""
    from sklearn.datasets import load_digits  # takes half a second, and only this data set needs it

    raw = load_digits()
    kept = np.sort(generator(DIGITS, _DIGITS_SEED).permutation(len(raw.target))[_DIGITS_TEST:])
    pixels = np.rint(raw.images[kept] * (255 / 16)).astype(np.uint8)
    return pixels[:, None], raw.target[kept].astype(np.int64)


def read_npz(name: str, path: str | None) -> tuple[Pixels, Labels]:
    """The arrays `x_train` and `y_train` of an `.npz` file; its other arrays are not unpacked.

    Raises:
        DataPathMissing: if there is no such file, or it cannot be read just now.
        DataMalformed: if the arrays are not there, or of another kind or shape than images and labels.
    """
    file = npz_file(name, path)
    pixels, labels = _array(name, file, "x_train"), _array(name, file, "y_train")
    shapes = "(N, H, W), (N, H, W, 3) or (N, 3, H, W), one channel or three"
    if pixels.dtype != np.uint8:
        found = f"{pixels.dtype} values"
        raise DataMalformed(name, str(file), "x_train", found, "uint8 from 0 to 255 (scale and round floating point)")
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    elif pixels.ndim == 4 and pixels.shape[3] in (1, 3):
        pixels = np.moveaxis(pixels, 3, 1)
    elif pixels.ndim != 4 or pixels.shape[1] not in (1, 3):
        raise DataMalformed(name, str(file), "x_train", f"shape {pixels.shape}", shapes)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        found = f"{labels.dtype} of shape {labels.shape}"
        raise DataMalformed(name, str(file), "y_train", found, "one integer from 0 for each image, shape (N,)")
    return np.ascontiguousarray(pixels), labels.astype(np.int64)


def _array(name: str, file: Path, key: str) -> npt.NDArray[np.generic]:
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as archive:
            if key not in archive:
                found = f"not there, the file holds {', '.join(archive.files) or 'nothing'}"
                raise DataMalformed(name, str(file), key, found, "the arrays x_train and y_train")
            array: npt.NDArray[np.generic] = archive[key]
            return array
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        if _is_of_the_system(error):
            raise DataPathMissing(name, str(file), f"a file that can be read ({error})") from error
        raise DataMalformed(name, str(file), key, f"cannot be read ({error})", "an array of numbers") from error


def read_folder(name: str, path: str | None) -> tuple[Pixels, Labels]:
    """The images of a folder of classes as RGB; the classes are numbered from 0 in the order of their names.

    Raises:
        DataPathMissing: if there is no such folder, or a file of it cannot be read just now.
        DataMalformed: if a class has no image, or an image is broken or of another size than the first.
    """
    folder = train_folder(name, path)
    classes = class_images(folder)
    for label, files in classes.items():
        if not files:
            raise DataMalformed(
                name, str(folder), label, "no image in it", "at least one .jpg, .png, ... in each class"
            )
    paths = [file for files in classes.values() for file in files]
    images = [_decoded(name, file) for file in paths]
    for image, file in zip(images, paths, strict=True):
        if image.shape != images[0].shape:
            (height, width), (first_height, first_width) = image.shape[:2], images[0].shape[:2]
            expected = f"{first_width} x {first_height} as {paths[0]}"
            raise DataMalformed(name, str(file), "size", f"{width} x {height}", expected)
    labels = np.repeat(np.arange(len(classes)), [len(files) for files in classes.values()])
    pixels = np.stack(images) if images else np.zeros((0, 1, 1, 3), np.uint8)
    return np.ascontiguousarray(np.moveaxis(pixels, 3, 1)), labels.astype(np.int64)


def _decoded(name: str, file: Path) -> Pixels:
    try:
        with Image.open(file) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if _is_of_the_system(error):
            raise DataPathMissing(name, str(file), f"a file that can be read ({error})") from error
        raise DataMalformed(name, str(file), "image", f"cannot be decoded ({error})", "a sound image file") from error


def _is_of_the_system(error: Exception) -> bool:
    """Whether the system could not read (EIO, EMFILE, ESTALE, ...), which says nothing of the content.

    What PIL and numpy find wrong in it has no number. EINVAL is what a broken archive's seek to before the start gives.
    """
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)


def read_torchvision(name: str, path: str | None) -> tuple[Pixels, Labels]:
    """Torchvision unpickles CIFAR's files, and before that refuses any whose MD5 is not the published one.

    That check reads the test files of CIFAR too, and of Fashion-MNIST looks whether they are there; they are not used.

    Raises:
        DataPathMissing: if a file is not there, is not the published one, or cannot be read.
    """
    from trainers.vision import import_torchvision

    root = torchvision_folder(name, path)
    try:
        kind = getattr(import_torchvision().datasets, TORCHVISION[name].type)
        found = kind(str(root), train=True, download=False)
    except (OSError, RuntimeError, ValueError) as error:
        expected = f"the published files, from {TORCHVISION[name].url} ({error})"
        raise DataPathMissing(name, str(root), expected) from error
    pixels = np.asarray(found.data)
    arranged = pixels[:, None] if pixels.ndim == 3 else np.moveaxis(pixels, 3, 1)
    return np.ascontiguousarray(arranged), np.asarray(found.targets, dtype=np.int64)


READERS: dict[str, Callable[[str, str | None], tuple[Pixels, Labels]]] = {
    "digits": read_digits,
    "npz": read_npz,
    "image_folder": read_folder,
    **dict.fromkeys(TORCHVISION, read_torchvision),
}
"""What a data set of each name is read by, given that name and the path."""
