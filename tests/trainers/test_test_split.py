"""The test split: which one it is, that it agrees with the training split, and that a search never opens it."""

from __future__ import annotations

import shutil
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from store.records.candidates import Data, DataSpec, Proxy, Recipe
from store.records.requests import Evaluate, Train
from tests.trainers.desk import Desk, candidate
from tests.trainers.pictures import folder
from trainers import datasets
from trainers.errors import DataMalformed, DataPathMissing
from trainers.fingerprint import identity

_opened: list[str] | None = None


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _opened is not None:
        _opened.append(str(arguments[0]))


sys.addaudithook(_audit)


@contextmanager
def _watched() -> Iterator[list[str]]:
    """Lists the path of every file that this process opens."""
    global _opened
    _opened = []
    try:
        yield _opened
    finally:
        _opened = None


def _data(name: str, path: str | None, **settings: Any) -> Data:
    datasets._loaded.clear()
    return identity(DataSpec(name=name, path=path, **settings))


def _both(root: Path, held_out: str = "test") -> Path:
    folder(root / "train", each=12)
    folder(root / held_out, each=3)
    return root


def test_the_digits_set_aside_are_the_test_split() -> None:
    data = _data("digits", None)
    training, test = datasets.load(data, None), datasets.load_test(data, None)
    assert (len(training.labels), len(test.labels), test.classes) == (1500, 297, 10)
    seen = {image.tobytes() for image in training.pixels}
    assert not any(image.tobytes() in seen for image in test.pixels)


def test_an_npz_file_has_its_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    train, test = (rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8) for count in (30, 9))
    path = tmp_path / "set.npz"
    np.savez_compressed(path, x_train=train, y_train=np.arange(30) % 3, x_test=test, y_test=np.arange(9) % 3)
    found = datasets.load_test(_data("npz", str(path)), str(path))
    np.testing.assert_array_equal(found.pixels, np.moveaxis(test, 3, 1))
    assert found.labels.tolist() == [0, 1, 2] * 3


def test_fashion_mnist_has_the_published_one(tmp_path: Path) -> None:
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    rng, made = np.random.default_rng(0), {}
    for name, count in (("train", 30), ("t10k", 20)):
        pixels, labels = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8), (np.arange(count) % 10).astype(np.uint8)
        (raw / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, count, 28, 28) + pixels.tobytes())
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + labels.tobytes())
        made[name] = pixels
    data = _data("fashion_mnist", str(tmp_path))
    np.testing.assert_array_equal(datasets.load_test(data, str(tmp_path)).pixels[:, 0], made["t10k"])
    np.testing.assert_array_equal(datasets.load(data, str(tmp_path)).pixels[:, 0], made["train"])


@pytest.mark.parametrize("settings", [{}, {"image_size": 8}])
def test_a_folder_has_one_beside_train_and_test_comes_before_val(settings: dict[str, Any], tmp_path: Path) -> None:
    root, store = _both(tmp_path / "set", "val"), tmp_path / "cache"
    data = _data("image_folder", str(root), **settings)
    validation = datasets.load_test(data, str(root), store)
    assert validation.labels.tolist() == [0, 0, 0, 1, 1, 1]
    folder(root / "test", each=4)
    data = _data("image_folder", str(root), **settings)
    assert len(datasets.load_test(data, str(root), store).labels) == 8
    assert len(list(store.glob("*"))) == (3 if settings else 0)  # both test splits, and the training split


def test_without_a_folder_for_testing_there_is_nothing_to_test_on(tmp_path: Path) -> None:
    for root in (folder(tmp_path / "flat"), tmp_path / "set"):
        if root.name == "set":
            folder(root / "train")
        data = _data("image_folder", str(root))
        with pytest.raises(DataPathMissing, match="a folder test, val, valid or validation beside train"):
            datasets.load_test(data, str(root))


def _without_a_class(root: Path) -> None:
    shutil.rmtree(root / "test" / "class1")


def _with_another_class(root: Path) -> None:
    (root / "test" / "class1").rename(root / "test" / "dog")


def _of_another_size(root: Path) -> None:
    for file in (root / "test").rglob("*.png"):
        Image.new("RGB", (9, 9)).save(file)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_without_a_class, "classes: .*one class"),
        (_with_another_class, "classes: 2 in the test split, with 'dog'; expected the 2 of .*with 'class1'"),
        (_of_another_size, "size: test images of 3 x 9 x 9; expected 3 x 12 x 12"),
    ],
)
def test_a_folder_for_testing_of_another_kind_is_refused_naming_both(change: Any, words: str, tmp_path: Path) -> None:
    root = _both(tmp_path / "set")
    change(root)
    with pytest.raises(DataMalformed, match=words):
        datasets.load_test(_data("image_folder", str(root)), str(root))


@pytest.mark.parametrize(
    ("labels", "shape", "words"),
    [
        ([0, 1, 2, 0, 1, 2], (8, 8), "classes: 3 in the test split; expected the 4 of the training split"),
        ([0, 1, 2, 3, 4, 5], (8, 8), "classes: 6 in the test split; expected the 4 of the training split"),
        ([0, 1, 2, 3, 0, 1], (9, 9), "size: test images of 1 x 9 x 9; expected 1 x 8 x 8"),
        ([0, 1, 2, 4, 0, 1], (8, 8), "labels: no label 3, and a label 4"),
    ],
)
def test_test_arrays_of_another_kind_are_refused(
    labels: list[int], shape: tuple[int, int], words: str, tmp_path: Path
) -> None:
    path = str(tmp_path / "set.npz")
    training = {"x_train": np.zeros((12, 8, 8), np.uint8), "y_train": np.arange(12) % 4}
    np.savez(path, **training, x_test=np.zeros((6, *shape), np.uint8), y_test=np.array(labels))
    with pytest.raises(DataMalformed, match=words):
        datasets.load_test(_data("npz", path), path)


def test_test_arrays_that_are_not_there_are_named(tmp_path: Path) -> None:
    path = str(tmp_path / "set.npz")
    np.savez(path, x_train=np.zeros((12, 8, 8), np.uint8), y_train=np.arange(12) % 4)
    with pytest.raises(DataMalformed, match=r"x_test: not there, .*expected the arrays x_test and y_test"):
        datasets.load_test(_data("npz", path), path)


def _trained(desk: Desk, data: Data, path: Path, **settings: Any) -> None:
    """Trains and scores a candidate as a search does."""
    recipe = {"batch_size": 4, "padding": 1, "schedule_epochs": 1}
    made = candidate(data=data, proxy=Proxy(channels=4, cells=3, resolution=8), recipe=recipe)
    trained = desk.do(Train(candidate=made, epochs=1), data_path=str(path), **settings)
    for split in ("validation", "train"):
        scored = desk.do(
            Evaluate(candidate=made, checkpoint=trained.checkpoint, split=split), data_path=str(path), **settings
        )
        assert scored.images > 0


@pytest.mark.parametrize("settings", [{}, {"image_size": 8}])
def test_a_search_opens_no_file_of_a_folder_for_testing(settings: dict[str, Any], tmp_path: Path) -> None:
    root = _both(tmp_path / "set")
    for file in (root / "test").rglob("*.png"):
        file.write_bytes(b"not an image")
    data = _data("image_folder", str(root), **settings)
    with Desk(tmp_path) as desk, _watched() as opened:
        _trained(desk, data, root, cache=str(tmp_path / "cache"))
    assert any(str(root / "train") in path for path in opened)
    assert not any(str(root / "test") in path for path in opened)


def test_a_search_unpacks_no_array_for_testing(tmp_path: Path) -> None:
    """They are object arrays, which cannot be read without unpickling them."""
    poison, path = np.array([{"not": "an image"}], dtype=object), tmp_path / "set.npz"
    pixels = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), dtype=np.uint8)
    np.savez(path, x_train=pixels, y_train=np.arange(24) % 2, x_test=poison, y_test=poison)
    data = _data("npz", str(path))
    with Desk(tmp_path) as desk:
        _trained(desk, data, path)
    with pytest.raises(DataMalformed, match="x_test: cannot be read"):
        datasets.load_test(data, str(path))


def test_retrained_networks_are_normalised_as_they_were_trained() -> None:
    """Scoring test images takes mean and deviation from the training images, all of them."""
    import torch

    from trainers.data import DeviceData

    data = _data("digits", None, validation_fraction=0.0)
    training, test = datasets.load(data, None), datasets.load_test(data, None)
    parts = datasets.split(training, data)
    held = DeviceData(training, parts, Proxy(), Recipe(), 0, torch.device("cpu"))
    scored = torch.cat([images for images, _ in held.others(test)])
    np.testing.assert_allclose(scored, (test.pixels / 255 - parts.mean) / parts.std, atol=1e-5)
    assert parts.mean[0] == pytest.approx(training.pixels.mean() / 255, rel=1e-12)
