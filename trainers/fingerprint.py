"""The content digest of a data set: the same bytes have the same name, wherever they lie. Loads no torch."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from store.records.candidates import Data, DataSpec
from strategies.spaces import plugins
from trainers.errors import DataMalformed, DataPathMissing, DataVariableUnset, ImpossibleSetting, UnknownDataSet

DIGITS = "scikit-learn-digits-1"
IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
_TEST_NAMES = ("test", "val", "valid", "validation")
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")
_READ_BYTES = 1 << 20

Told = Callable[[int, int], None]
"""Hears how far something is: how much is done, and of how much."""


@dataclass(frozen=True)
class OwnSet:
    """A data set that a distribution registers among the entry points `coldframe.datasets`.

    Attributes:
        fingerprint: returns the digest of the training split's content for a path, without torch: whatever changes an
            image or a label changes it. It may say how many files it has read, of how many.
        reader: `module:function` that returns a split as a `trainers.sources.Source` for a `trainers.sources.Place`.
    """

    fingerprint: Callable[[str | None, Told], str]
    reader: str


@dataclass(frozen=True)
class TorchvisionSet:
    """A data set of torchvision.

    Attributes:
        type: its class.
        folder: where it keeps its files.
        files: those of the training split.
        test_files: those that must be there because torchvision looks for them; they are not used.
        url: where the files can be had.
    """

    type: str
    folder: str
    files: tuple[str, ...]
    test_files: tuple[str, ...]
    url: str


TORCHVISION = {
    "cifar10": TorchvisionSet(
        "CIFAR10",
        "cifar-10-batches-py",
        (*(f"data_batch_{number}" for number in range(1, 6)), "batches.meta"),
        ("test_batch",),
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    ),
    "cifar100": TorchvisionSet(
        "CIFAR100",
        "cifar-100-python",
        ("train", "meta"),
        ("test",),
        "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    ),
    "fashion_mnist": TorchvisionSet(
        "FashionMNIST",
        "FashionMNIST/raw",
        ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
        ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
}


def fingerprint(spec: DataSpec, told: Told | None = None) -> str:
    """Returns the digest of a data set's training split: 64 hexadecimal digits, or a name and version for `digits`.

    Args:
        spec: names the data set and its path.
        told: hears how many of its files are read.

    Raises:
        DataError: if there is no such data set, or its path is missing, of another kind or names an unset variable,
            or the files cannot be read.
    """
    if spec.name == "digits":
        return DIGITS
    try:
        if spec.name in _DIGESTS:
            return _DIGESTS[spec.name](spec.name, spec.path, told or _silent)
        return own(spec.name).fingerprint(spec.path, told or _silent)
    except OSError as error:
        raise DataPathMissing(spec.name, spec.path, f"files that can be read ({error})") from error


def own(name: str) -> OwnSet:
    """Returns a data set that a distribution registers.

    Raises:
        UnknownDataSet: if there is none of that name.
        PluginBroken: if it cannot be used.
    """
    found = plugins.load(plugins.DATASETS, name, OwnSet)
    if found is None:
        raise UnknownDataSet(name, ("digits", *_DIGESTS, *plugins.names(plugins.DATASETS)))
    return found


def fingerprint_of_test(name: str, path: str | None, told: Told | None = None) -> str:
    """Returns the digest of the test split of a folder of images; raises `DataError` as `fingerprint` does."""
    folder = folder_of_test(name, path)
    try:
        return _files_digest(folder, _all_images(folder), told or _silent)
    except OSError as error:
        raise DataPathMissing(name, path, f"files that can be read ({error})") from error


def identity(spec: DataSpec, told: Told | None = None) -> Data:
    """Returns the data set as a candidate carries it.

    Raises:
        DataError: as `fingerprint` does.
        ImpossibleSetting: if it asks for what is done to the images of a folder only.
    """
    if spec.name != "image_folder":
        _only_folders("data.image_size", spec.image_size, "proxy.resolution resizes those of other data sets")
        _only_folders("data.skip_broken", spec.skip_broken, "those of other data sets cannot be told apart")
    return Data(
        name=spec.name,
        fingerprint=fingerprint(spec, told),
        validation_fraction=spec.validation_fraction,
        split_seed=spec.split_seed,
        image_size=spec.image_size,
        skip_broken=spec.skip_broken,
    )


def expand(name: str, path: str) -> Path:
    """Returns a path with `~`, `$NAME` and `${NAME}` put in, made absolute.

    Raises:
        DataVariableUnset: if the environment has no such variable.
    """

    def value(match: re.Match[str]) -> str:
        variable = match[1] or match[2]
        if variable not in os.environ:
            raise DataVariableUnset(name, path, variable)
        return os.environ[variable]

    return Path(_VARIABLE.sub(value, path)).expanduser().absolute()


def npz_file(name: str, path: str | None) -> Path:
    """Returns the path of an existing `.npz` file; raises `DataPathMissing` otherwise."""
    expected = "an .npz file with the arrays x_train and y_train"
    found = None if path is None else expand(name, path)
    if found is None or not found.is_file():
        raise DataPathMissing(name, None if found is None else str(found), expected)
    return found


def train_folder(name: str, path: str | None) -> Path:
    """Returns the folder whose subfolders are the classes: `path/train` if there is one, else `path`.

    Raises:
        DataPathMissing: if it is not a folder.
        DataMalformed: if it has folders for testing and none for training, so that both would be read as classes.
    """
    expected = "a folder of images as train/<class>/<image> or <class>/<image>"
    root = None if path is None else expand(name, path)
    if root is None or not root.is_dir():
        raise DataPathMissing(name, None if root is None else str(root), expected)
    if (root / "train").is_dir():
        return root / "train"
    if held_out := _test_folders(root):
        raise DataMalformed(
            name, str(root), held_out[0].name, "a folder for testing, and there is no folder train", expected
        )
    return root


def folder_of_test(name: str, path: str | None) -> Path:
    """Returns the folder of the test split: beside `train` the first of `test`, `val`, `valid` and `validation`.

    ImageNet has no labels for its test images; what papers report is the accuracy on its folder `val`.

    Raises:
        DataPathMissing: if there is none.
    """
    root = None if path is None else expand(name, path)
    found = _test_folders(root) if root is not None and (root / "train").is_dir() else []
    if not found:
        expected = f"a folder {', '.join(_TEST_NAMES[:-1])} or {_TEST_NAMES[-1]} beside train, with the same classes"
        raise DataPathMissing(name, None if root is None else str(root), expected)
    return found[0]


def _test_folders(root: Path) -> list[Path]:
    """Folders for testing, the one that counts first."""
    found = [entry for entry in root.iterdir() if entry.is_dir() and entry.name.lower() in _TEST_NAMES]
    return sorted(found, key=lambda entry: (_TEST_NAMES.index(entry.name.lower()), entry.name))


def class_images(folder: Path) -> dict[str, list[Path]]:
    """Returns the image files of each class, classes and files in the order of their names, without hidden ones."""
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    return {entry.name: sorted(filter(_is_image, entry.rglob("*"))) for entry in classes}


def torchvision_folder(name: str, path: str | None) -> Path:
    """Returns the root under which the files of a torchvision data set lie, those of the test split included.

    Raises:
        DataPathMissing: if one is not there; says where it was expected and where it can be had.
    """
    known = TORCHVISION[name]
    layout = "torchvision's layout; nothing is downloaded, unpack it there from " + known.url
    if path is None:
        raise DataPathMissing(name, None, f"a folder that holds {known.folder}/{known.files[0]} ({layout})")
    root = expand(name, path)
    for file in (*known.files, *known.test_files):
        if not (root / known.folder / file).is_file():
            raise DataPathMissing(name, str(root), f"the file {root / known.folder / file} ({layout})")
    return root


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _all_images(folder: Path) -> list[Path]:
    return [image for images in class_images(folder).values() for image in images]


def _silent(done: int, total: int) -> None:
    pass


def _only_folders(key: str, value: object, why: str) -> None:
    if value is not None:
        raise ImpossibleSetting(key, value, f"none: it is for the images of an image_folder, {why}")


def _npz_digest(name: str, path: str | None, told: Told) -> str:
    hasher = blake3()
    hasher.update_mmap(npz_file(name, path))
    return hasher.hexdigest()


def _folder_digest(name: str, path: str | None, told: Told) -> str:
    folder = train_folder(name, path)
    return _files_digest(folder, _all_images(folder), told)


def _torchvision_digest(name: str, path: str | None, told: Told) -> str:
    known = TORCHVISION[name]
    folder = torchvision_folder(name, path) / known.folder
    return _files_digest(folder, [folder / file for file in known.files], told)


def _files_digest(folder: Path, files: list[Path], told: Told) -> str:
    """BLAKE3 over each file's relative path, its length and its bytes, in the order given."""
    hasher = blake3()
    for done, file in enumerate(files):
        told(done, len(files))
        relative = os.fsencode(file.relative_to(folder).as_posix())
        hasher.update(len(relative).to_bytes(8, "little") + relative)
        hasher.update(file.stat().st_size.to_bytes(8, "little"))
        for block in _blocks(file):
            hasher.update(block)
    return hasher.hexdigest()


def _blocks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while block := opened.read(_READ_BYTES):
            yield block


_DIGESTS: dict[str, Callable[[str, str | None, Told], str]] = {
    "npz": _npz_digest,
    "image_folder": _folder_digest,
    **dict.fromkeys(TORCHVISION, _torchvision_digest),
}
