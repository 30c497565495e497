"""Data sets in memory: the training split only, held-out images, fixed subsets, refusals that say what to change."""

from __future__ import annotations

import errno
import gzip
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from store.records.candidates import Data, DataSpec
from trainers import datasets
from trainers.datasets import Images
from trainers.errors import DataError, DataMalformed, DataPathMissing
from trainers.failures import reason_of
from trainers.fingerprint import TORCHVISION, identity


def _images(count: int = 100, size: int = 8, channels: int = 3) -> Images:
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (count, channels, size, size), dtype=np.uint8)
    return Images("npz", pixels, rng.integers(0, 4, count), 4)


def _data(**changes: Any) -> Data:
    return Data(name="npz", fingerprint="0" * 64, **changes)


def _saved(path: Path, **arrays: Any) -> str:
    np.savez(path / "set.npz", **arrays)
    return str(path / "set.npz")


def test_the_digits_are_bytes_and_those_set_aside_for_testing_are_not_among_them() -> None:
    from sklearn.datasets import load_digits

    images = datasets.read("digits", None)
    assert images.pixels.shape == (1500, 1, 8, 8)
    assert (images.pixels.dtype, images.pixels.min(), images.pixels.max(), images.classes) == (np.uint8, 0, 255, 10)
    every = {raw.tobytes() for raw in np.rint(load_digits().images * (255 / 16)).astype(np.uint8)}
    read = {image.tobytes() for image in images.pixels}
    assert read < every
    assert len(every - read) == 297


@pytest.mark.parametrize("arranged", ["last", "first", "grey"])
def test_an_npz_file_may_hold_its_images_in_three_arrangements(arranged: str, tmp_path: Path) -> None:
    pixels = _images().pixels
    stored = {"last": np.moveaxis(pixels, 1, 3), "first": pixels, "grey": pixels[:, 0]}[arranged]
    images = datasets.read("npz", _saved(tmp_path, x_train=stored, y_train=np.arange(100) % 4))
    np.testing.assert_array_equal(images.pixels, pixels[:, :1] if arranged == "grey" else pixels)
    assert images.labels.tolist() == [number % 4 for number in range(100)]
    assert (images.classes, images.channels, images.size) == (4, 1 if arranged == "grey" else 3, 8)


def test_the_test_split_of_an_npz_file_is_never_unpacked(tmp_path: Path) -> None:
    """`x_test` cannot be read at all: it is an object array, whose unpickling would end the test."""
    poison = np.array([{"not": "an image"}], dtype=object)
    path = _saved(tmp_path, x_train=_images().pixels, y_train=np.arange(100) % 4, x_test=poison, y_test=poison)
    with np.load(path, allow_pickle=False) as archive, pytest.raises(ValueError, match="Object arrays"):
        archive["x_test"]
    assert len(datasets.load(identity(DataSpec(name="npz", path=path)), path).labels) == 100


def test_the_test_split_of_a_folder_is_never_read(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / "train" / label).mkdir(parents=True)
        (tmp_path / "test" / label).mkdir(parents=True)
        (tmp_path / "test" / label / "0.png").write_bytes(b"not an image")
        Image.new("RGB", (8, 6 + 2), (10, 20, 30)).save(tmp_path / "train" / label / "0.png")
    images = datasets.read("image_folder", str(tmp_path))
    assert images.labels.tolist() == [0, 1]
    assert images.pixels[0, :, 0, 0].tolist() == [10, 20, 30]


def test_fashion_mnist_is_read_from_torchvisions_layout(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (12, 28, 28), dtype=np.uint8), (np.arange(12) % 10).astype(np.uint8)
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train", "t10k"):
        images = struct.pack(">IIII", 0x803, 12, 28, 28) + pixels.tobytes()
        (raw / f"{name}-images-idx3-ubyte").write_bytes(images)
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 12) + labels.tobytes())
    found = datasets.load(identity(DataSpec(name="fashion_mnist", path=str(tmp_path))), str(tmp_path))
    np.testing.assert_array_equal(found.pixels[:, 0], pixels)
    assert (found.labels.tolist(), found.classes) == (labels.tolist(), 10)


def test_files_that_are_not_the_published_ones_are_refused_before_they_are_unpickled(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "batches.meta", "test_batch"):
        (folder / name).write_bytes(b"cbuiltins\nexit\n(tR.")  # a pickle that would end the process
    with pytest.raises(DataError, match=r"the published files, from https://www\.cs\.toronto\.edu.*corrupted"):
        datasets.read("cifar10", str(tmp_path))


@pytest.mark.parametrize("name", list(TORCHVISION))
def test_test_files_that_torchvision_looks_for_are_named_when_they_are_not_there(name: str, tmp_path: Path) -> None:
    """Guards against a search that starts, and whose every worker then finds the data corrupted."""
    known = TORCHVISION[name]
    (tmp_path / known.folder).mkdir(parents=True)
    for file in known.files:
        (tmp_path / known.folder / file).write_bytes(b"x")
    for file in known.test_files:
        with pytest.raises(DataPathMissing, match=file):
            identity(DataSpec(name=name, path=str(tmp_path)))
        (tmp_path / known.folder / file).write_bytes(b"x")
    before = identity(DataSpec(name=name, path=str(tmp_path)))
    (tmp_path / known.folder / known.test_files[0]).write_bytes(b"y")
    assert identity(DataSpec(name=name, path=str(tmp_path))) == before


def test_a_data_set_stays_loaded_while_its_content_is_the_same(tmp_path: Path) -> None:
    path = _saved(tmp_path, x_train=_images().pixels, y_train=np.arange(100) % 4)
    data = identity(DataSpec(name="npz", path=path))
    first = datasets.load(data, path)
    Path(path).unlink()
    assert datasets.load(data, path) is first


def test_data_that_changed_since_the_search_was_defined_is_refused(tmp_path: Path) -> None:
    path = _saved(tmp_path, x_train=_images(90).pixels, y_train=np.arange(90) % 4)
    data = identity(DataSpec(name="npz", path=path))
    _saved(tmp_path, x_train=_images(90).pixels, y_train=np.arange(90) % 3)
    with pytest.raises(DataError, match="put the old data back"):
        datasets.load(data, path)


@given(count=st.integers(2, 300), fraction=st.floats(0.01, 0.99), seed=st.integers(0, 2**31))
def test_validation_and_training_images_never_overlap(count: int, fraction: float, seed: int) -> None:
    images, data = _images(count), _data(validation_fraction=fraction, split_seed=seed)
    if not 0 < round(fraction * count) < count:
        with pytest.raises(DataError, match="validation_fraction"):
            datasets.split(images, data)
        return
    parts = datasets.split(images, data)
    assert sorted([*parts.train, *parts.validation]) == list(range(count))
    assert len(parts.validation) == round(fraction * count)


def test_with_the_share_0_all_images_are_trained_on() -> None:
    images = _images()
    parts = datasets.split(images, _data(validation_fraction=0.0))
    assert (parts.train.tolist(), parts.validation.tolist()) == (list(range(100)), [])
    np.testing.assert_allclose(parts.mean, images.pixels.mean(axis=(0, 2, 3)) / 255, rtol=1e-12)


def test_the_split_seed_decides_what_is_held_out() -> None:
    first, same, other = (datasets.split(_images(), _data(split_seed=seed)).validation.tolist() for seed in (0, 0, 1))
    assert first == same != other


def test_mean_and_deviation_are_those_of_the_images_not_held_out() -> None:
    images = _images()
    parts = datasets.split(images, _data())
    used = images.pixels[parts.train].astype(np.float64) / 255
    np.testing.assert_allclose(parts.mean, used.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(parts.std, used.std(axis=(0, 2, 3)), rtol=1e-9)
    flat = Images("npz", np.full((10, 1, 4, 4), 7, np.uint8), np.arange(10) % 2, 2)
    assert datasets.split(flat, _data()).std == (1.0,)


def test_cifar_has_the_published_mean_and_deviation() -> None:
    images = Images("cifar10", _images().pixels, _images().labels, 4)
    parts = datasets.split(images, _data())
    assert parts.mean == (0.49139968, 0.48215827, 0.44653124)
    assert parts.std == (0.24703233, 0.24348505, 0.26158768)


def test_a_sample_ratio_is_one_fixed_subset_and_smaller_ones_are_part_of_it() -> None:
    train = np.arange(1000, 2000)
    half, quarter = datasets.subset(train, 0.5, 0), datasets.subset(train, 0.25, 0)
    assert (len(half), len(quarter)) == (500, 250)
    assert set(quarter) < set(half) < set(train)
    assert half.tolist() == datasets.subset(train, 0.5, 0).tolist() != datasets.subset(train, 0.5, 1).tolist()
    assert datasets.subset(train, 1.0, 0).tolist() == train.tolist()


def test_the_size_of_a_subset_is_rounded_to_the_nearest() -> None:
    assert len(datasets.subset(np.arange(1350), 0.125, 0)) == 169  # of 168.75
    assert len(datasets.subset(np.arange(1346), 0.125, 0)) == 168  # of 168.25
    assert len(datasets.subset(np.arange(3), 0.125, 0)) == 1


_GOOD = {"x_train": np.zeros((6, 8, 8, 3), np.uint8), "y_train": np.arange(6) % 2}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"y_train": None}, ["y_train", "not there", "the file holds x_train"]),
        ({"x_train": np.zeros((6, 8, 8, 3), np.float32)}, ["x_train", "float32", "uint8"]),
        ({"x_train": np.zeros((6, 8, 8, 2), np.uint8)}, ["x_train", "(6, 8, 8, 2)", "(N, H, W, 3)"]),
        ({"x_train": np.zeros((6, 8, 9, 3), np.uint8)}, ["9 x 8 pixels", "square"]),
        ({"x_train": np.array([None] * 6)}, ["x_train", "cannot be read"]),
        ({"y_train": np.arange(5) % 2}, ["5 labels for 6 images"]),
        ({"y_train": np.zeros(6, np.int64)}, ["one class", "at least two"]),
        ({"y_train": np.arange(6) - 1}, ["the label -1", "from 0"]),
        ({"y_train": np.arange(6) % 2 + 1}, ["no label 0, and a label 2"]),
        ({"y_train": np.array([0, 1, 3, 3, 1, 0])}, ["no label 2, and a label 3", "every label from 0"]),
        ({"y_train": np.array([0, 1, 1, 0, 1, 10**9])}, ["no label 2, and a label 1000000000"]),
        ({"y_train": np.eye(6)}, ["y_train", "(6, 6)", "(N,)"]),
    ],
)
def test_arrays_that_cannot_be_trained_on_are_refused(
    changes: dict[str, Any], words: list[str], tmp_path: Path
) -> None:
    arrays = {key: value for key, value in (_GOOD | changes).items() if value is not None}
    path = _saved(tmp_path, **arrays)
    with pytest.raises(DataError) as raised:
        datasets.read("npz", path)
    assert all(word in str(raised.value) for word in ["set.npz", *words]), raised.value


def test_a_file_that_is_no_npz_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"nonsense", b"PK\x03\x04 and no more", gzip.compress(b"x")):
        (tmp_path / "set.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"set\.npz"):
            datasets.read("npz", str(tmp_path / "set.npz"))


def test_an_image_that_is_broken_or_of_another_size_is_named(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / label / "0.png")
    odd = tmp_path / "b" / "1.png"
    Image.new("RGB", (9, 8)).save(odd)
    with pytest.raises(DataError, match=r"b/1\.png.*9 x 8; expected 8 x 8"):
        datasets.read("image_folder", str(tmp_path))
    odd.write_bytes((tmp_path / "b" / "0.png").read_bytes()[:40])
    with pytest.raises(DataError, match=r"b/1\.png.*cannot be decoded"):
        datasets.read("image_folder", str(tmp_path))
    shutil.rmtree(tmp_path / "b")
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="b: no image in it"):
        datasets.read("image_folder", str(tmp_path))


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.ESTALE])
@pytest.mark.parametrize("name", ["npz", "image_folder"])
def test_a_file_that_cannot_be_read_just_now_is_tried_again_and_not_called_malformed(
    name: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards against candidates that are given up for good, for every search, because a mount was away."""
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / label / "0.png")
    path = {"npz": _saved(tmp_path, **_GOOD), "image_folder": str(tmp_path)}[name]

    def fails(*_: Any, **__: Any) -> Any:
        raise OSError(number, "away")

    monkeypatch.setattr(np, "load", fails)
    monkeypatch.setattr(Image, "open", fails)
    with pytest.raises(DataPathMissing, match=r"can be read.*away") as raised:
        datasets.read(name, path)
    assert reason_of(raised.value) == "error"


@pytest.mark.parametrize("error", [OSError("image file is truncated"), OSError(errno.EINVAL, "a seek to nowhere")])
def test_what_is_wrong_with_the_content_stays_a_matter_of_the_data(
    error: OSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise error

    path = _saved(tmp_path, **_GOOD)
    monkeypatch.setattr(np, "load", fails)
    with pytest.raises(DataMalformed) as raised:
        datasets.read("npz", path)
    assert reason_of(raised.value) == "bad_request"
