"""Folders of images: resized and cropped as torchvision does, broken ones named or left out, decoded once."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from store import caches
from store.records.candidates import Data, DataSpec
from tests.trainers.pictures import folder
from trainers import cache, datasets
from trainers.datasets import Images
from trainers.errors import DataChanged, DataMalformed, DataPathMissing, ImpossibleSetting
from trainers.fingerprint import identity
from trainers.folders import Folder, fitted
from trainers.sources import Place
from trainers.vision import import_torchvision

SIZES = ((12, 12), (17, 9), (8, 30), (40, 13))


def _data(root: Path, **settings: Any) -> Data:
    return identity(DataSpec(name="image_folder", path=str(root), **settings))


def _loaded(root: Path, store: Path | None = None, told: Any = lambda *far: None, **settings: Any) -> Images:
    """Loads a folder as a worker does that has loaded nothing before."""
    datasets._loaded.clear()
    return datasets.load(_data(root, **settings), str(root), store, told)


@pytest.mark.parametrize("size", [8, 32, 224])
@pytest.mark.parametrize("shape", [(427, 640), (640, 427), (500, 500), (101, 333), (64, 65), (8, 8), (20, 9)])
def test_an_image_is_resized_and_cropped_as_by_torchvision(shape: tuple[int, int], size: int) -> None:
    import_torchvision()
    from torchvision.transforms import CenterCrop, Compose, Resize

    photograph = np.resize(load_sample_image("china.jpg"), (*shape, 3))
    image = Image.fromarray(photograph)
    expected = Compose([Resize(size), CenterCrop(size)])(image)
    np.testing.assert_array_equal(np.asarray(fitted(image, size)), np.asarray(expected))


@pytest.mark.parametrize("cached", [True, False])
def test_a_folder_of_images_of_many_sizes_is_one_array_in_memory_or_mapped(cached: bool, tmp_path: Path) -> None:
    root = folder(tmp_path / "set", classes=3, sizes=SIZES)
    images = _loaded(root, tmp_path / "cache" if cached else None, image_size=10)
    assert isinstance(images.pixels, np.memmap) is cached
    assert (images.pixels.shape, images.class_names) == ((18, 3, 10, 10), ("class0", "class1", "class2"))
    assert images.labels.tolist() == [label for label in range(3) for _ in range(6)]
    for number in range(18):
        with Image.open(root / f"class{number // 6}" / f"{number % 6}.png") as image:
            expected = np.asarray(fitted(image.convert("RGB"), 10))
        np.testing.assert_array_equal(images.pixels[number].transpose(1, 2, 0), expected)


def test_statistics_from_the_cache_are_those_of_the_pixels_to_the_bit(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", sizes=SIZES)
    mapped, resident = _loaded(root, tmp_path / "cache", image_size=10), _loaded(root, image_size=10)
    data = _data(root, image_size=10, validation_fraction=0.25)
    ours, theirs = datasets.split(mapped, data), datasets.split(resident, data)
    assert mapped.sums is not None
    assert resident.sums is None
    assert (ours.mean, ours.std) == (theirs.mean, theirs.std)


def test_small_folders_of_one_size_are_not_kept_and_large_ones_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder(tmp_path / "set")
    assert not isinstance(_loaded(root, tmp_path / "cache").pixels, np.memmap)
    assert not (tmp_path / "cache").exists()
    monkeypatch.setattr("trainers.folders.COSTLY_BYTES", 12 * 12 * 12 * 3 - 1)
    assert isinstance(_loaded(root, tmp_path / "cache").pixels, np.memmap)


def test_what_is_decoded_is_used_without_a_look_at_the_folder(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", sizes=SIZES)
    data = _data(root, image_size=10)
    first = _loaded(root, tmp_path / "cache", image_size=10)
    shutil.rmtree(root)
    datasets._loaded.clear()
    again = datasets.load(data, str(root), tmp_path / "cache")
    np.testing.assert_array_equal(again.pixels, first.pixels)


def test_what_decides_the_pixels_decides_where_they_are_kept(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", sizes=SIZES)
    for settings in ({"image_size": 10}, {"image_size": 11}, {"image_size": 10, "skip_broken": True}):
        _loaded(root, tmp_path / "cache", **settings)
    assert len(list((tmp_path / "cache").iterdir())) == 3
    _loaded(root, tmp_path / "cache", image_size=10, split_seed=4, validation_fraction=0.5)
    assert len(list((tmp_path / "cache").iterdir())) == 3
    Image.new("RGB", (9, 9)).save(root / "class1" / "9.png")
    assert len(_loaded(root, tmp_path / "cache", image_size=10).labels) == 13
    assert len(list((tmp_path / "cache").iterdir())) == 4


def test_a_folder_that_changed_is_not_decoded_under_its_old_name(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", sizes=SIZES)
    data = _data(root, image_size=10)
    Image.new("RGB", (9, 9)).save(root / "class1" / "9.png")
    datasets._loaded.clear()
    with pytest.raises(DataChanged):
        datasets.load(data, str(root), tmp_path / "cache")


def test_it_is_told_how_far_reading_and_decoding_are(tmp_path: Path) -> None:
    heard: list[tuple[str, int, int]] = []
    _loaded(folder(tmp_path / "set"), tmp_path / "cache", lambda *far: heard.append(far), image_size=10)
    assert heard[:12] == [("reading image files", done, 12) for done in range(12)]
    assert heard[12:] == [("decoding images", done, 12) for done in range(1, 13)]


def test_the_files_are_read_under_the_lock_so_that_one_worker_does_it_and_the_others_wait(tmp_path: Path) -> None:
    """They may be hundreds of gigabytes, which their fingerprint is taken of before they are decoded."""
    root = folder(tmp_path / "set")
    data = _data(root, image_size=10)
    place = Place("image_folder", str(root), image_size=10)
    kept = tmp_path / "cache" / datasets._cache_name(place, data.fingerprint)
    waited: list[str] = []

    def refuse() -> None:
        raise BlockingIOError

    def told(what: str, done: int, total: int) -> None:
        with pytest.raises(BlockingIOError), caches.held(kept, refuse):
            pass
        waited.append(what)

    datasets._loaded.clear()
    datasets.load(data, str(root), tmp_path / "cache", told)
    assert set(waited) == {"reading image files", "decoding images"}


def test_images_of_several_sizes_need_a_size_and_the_refusal_says_so(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", sizes=((12, 12), (12, 12), (13, 12)))
    with pytest.raises(DataMalformed, match=r"class0/2\.png: size: 13 x 12; expected 12 x 12 .*data\.image_size"):
        _loaded(root)
    with pytest.raises(DataMalformed, match=r"size: 13 x 12 pixels; expected square images .*data\.image_size"):
        _loaded(folder(tmp_path / "wide", sizes=((13, 12),)), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _truncated(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def _no_image(file: Path) -> None:
    file.write_text("<html>404 Not Found</html>")


BREAK: list[Callable[[Path], None]] = [_empty, _truncated, _no_image]


@pytest.mark.parametrize("breaking", BREAK)
@pytest.mark.parametrize("settings", [{}, {"image_size": 10}])
def test_a_broken_image_is_named(breaking: Callable[[Path], None], settings: dict[str, Any], tmp_path: Path) -> None:
    root = folder(tmp_path / "set")
    breaking(root / "class1" / "3.png")
    words = r"class1/3\.png: image: cannot be decoded .*data\.skip_broken = true"
    for store in (None, tmp_path / "cache"):
        with pytest.raises(DataMalformed, match=words):
            _loaded(root, store, **settings)
    assert [file.name for file in (tmp_path / "cache").glob("*/*")] == (["lock"] if settings else [])


@pytest.mark.parametrize("settings", [{}, {"image_size": 12}])
def test_broken_images_are_left_out_where_that_is_asked_for_and_it_is_said_which(
    settings: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = folder(tmp_path / "set")
    whole = _loaded(root, **settings)
    for breaking, name in zip(BREAK, ("class0/0.png", "class0/4.png", "class1/5.png"), strict=True):
        breaking(root / name)
    words = "left out 3 broken images: class0/0.png, class0/4.png, class1/5.png"
    for store in (None, tmp_path / "cache", tmp_path / "cache"):
        heard: list[tuple[str, int, int]] = []
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            left = _loaded(root, store, lambda *far: heard.append(far), skip_broken=True, **settings)  # noqa: B023
        kept = [number for number in range(12) if number not in (0, 4, 11)]
        np.testing.assert_array_equal(left.pixels, whole.pixels[kept])
        assert left.labels.tolist() == whole.labels[kept].tolist()
        assert (words, 0, 0) in heard
        assert words in caplog.text


def test_a_class_whose_images_are_all_broken_is_refused(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", classes=3, each=2)
    for name in ("0.png", "1.png"):
        _empty(root / "class2" / name)
    with pytest.raises(DataMalformed, match="images of 2 of the 3 classes"):
        _loaded(root, skip_broken=True)
    for file in root.rglob("*.png"):
        _empty(file)
    with pytest.raises(DataMalformed, match="none can be decoded"):
        _loaded(root, skip_broken=True)


def test_a_file_that_cannot_be_read_just_now_is_not_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder(tmp_path / "set")

    def fails(*_: Any, **__: Any) -> Any:
        raise OSError(5, "Input/output error")

    source = Folder(Place("image_folder", str(root), image_size=10, skip_broken=True))
    monkeypatch.setattr(Image, "open", fails)
    with pytest.raises(DataPathMissing, match="Input/output error"):
        source.decoded(range(4), lambda done: None)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"image_size": 64}, r"data\.image_size is 64: expected none: .*image_folder, proxy\.resolution resizes"),
        ({"skip_broken": True}, r"data\.skip_broken is True: expected none: .*image_folder"),
    ],
)
def test_what_is_for_the_images_of_a_folder_is_refused_for_other_data_sets(
    settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(ImpossibleSetting, match=words):
        identity(DataSpec(name="digits", **settings))


def test_a_cache_that_is_damaged_is_mended_from_the_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = folder(tmp_path / "set", sizes=SIZES)
    first = _loaded(root, tmp_path / "cache", image_size=10).pixels.copy()
    (kept,) = (tmp_path / "cache").iterdir()
    with (kept / "pixels").open("r+b") as file:
        file.write(b"\0\1\2\3\4\5\6\7")
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(_loaded(root, tmp_path / "cache", image_size=10).pixels, first)
    assert "chunk 0 is damaged and is decoded anew" in caplog.text
    assert cache.CHUNK_IMAGES == 512
