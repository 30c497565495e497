"""Arrays that are too large for the memory: read a part at a time, with the bytes and the refusals of small ones."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from store.records.candidates import DataSpec
from trainers import cache, datasets, npz
from trainers.errors import DataMalformed
from trainers.fingerprint import identity
from trainers.npz import Npz
from trainers.sources import Place

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(40) % 4


@pytest.fixture(autouse=True)
def _everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "COSTLY_BYTES", 100)
    monkeypatch.setattr(cache, "CHUNK_IMAGES", 7)
    datasets._loaded.clear()


def _saved(folder: Path, save: Any = np.savez, **changes: Any) -> str:
    save(folder / "set.npz", **({"x_train": PIXELS, "y_train": LABELS} | changes))
    return str(folder / "set.npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("arranged", ["last", "first", "grey"])
def test_large_arrays_are_kept_and_mapped_and_are_the_bytes_of_small_ones(
    save: Any, arranged: str, tmp_path: Path
) -> None:
    pixels = {"last": PIXELS, "first": np.moveaxis(PIXELS, 3, 1).copy(), "grey": PIXELS[..., 0].copy()}[arranged]
    path = _saved(tmp_path, save, x_train=pixels)
    found = datasets.load(identity(DataSpec(name="npz", path=path)), path, tmp_path / "cache")
    assert isinstance(found.pixels, np.memmap)
    expected = np.moveaxis(PIXELS, 3, 1)
    np.testing.assert_array_equal(found.pixels, expected[:, :1] if arranged == "grey" else expected)
    assert found.labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_parts_can_be_read_in_any_order(save: Any, tmp_path: Path) -> None:
    source = npz.read(Place("npz", _saved(tmp_path, save)))
    assert isinstance(source, Npz)
    for first, last in ((0, 3), (3, 9), (30, 40), (10, 12), (0, 40), (39, 40)):
        found = source.decoded(range(first, last), lambda done: None)
        np.testing.assert_array_equal(found.pixels, np.moveaxis(PIXELS[first:last], 3, 1))
        assert found.kept.tolist() == list(range(last - first))


def test_large_arrays_without_a_place_to_keep_them_are_read_into_memory(tmp_path: Path) -> None:
    path = _saved(tmp_path)
    found = datasets.load(identity(DataSpec(name="npz", path=path)), path)
    assert not isinstance(found.pixels, np.memmap)
    np.testing.assert_array_equal(found.pixels, np.moveaxis(PIXELS, 3, 1))


def test_an_array_in_fortrans_order_is_read_whole(tmp_path: Path) -> None:
    path = _saved(tmp_path, x_train=np.asfortranarray(PIXELS))
    np.testing.assert_array_equal(datasets.read("npz", path).pixels, np.moveaxis(PIXELS, 3, 1))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x_train": PIXELS.astype(np.float32)}, "x_train: float32 values; expected uint8"),
        ({"x_train": np.zeros((40, 8, 8, 2), np.uint8)}, r"x_train: shape \(40, 8, 8, 2\)"),
        ({"x_train": np.zeros((40, 8, 9), np.uint8)}, "9 x 8 pixels"),
        ({"y_train": LABELS[:-1]}, "39 labels for 40 images"),
        ({"y_train": LABELS * 2}, "no label 1, and a label 6"),
    ],
)
def test_large_arrays_are_refused_as_small_ones_are(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = _saved(tmp_path, **changes)
    with pytest.raises(DataMalformed, match=words):
        datasets.load(identity(DataSpec(name="npz", path=path)), path, tmp_path / "cache")


def test_an_array_that_ends_too_soon_is_named(tmp_path: Path) -> None:
    """Its header promises more images than follow."""
    path, header = tmp_path / "set.npz", io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (90, 8, 8, 3)})
    np.savez(path, y_train=np.arange(90) % 4)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x_train.npy", header.getvalue() + PIXELS.tobytes())
    with pytest.raises(DataMalformed, match=r"x_train: cannot be read \(it ends within image 40\)"):
        datasets.load(identity(DataSpec(name="npz", path=str(path))), str(path), tmp_path / "cache")
