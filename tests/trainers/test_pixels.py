"""Pixels that stay where they are: the bits of resident ones, at any step, from a thread that ends and cannot hide."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from store.records.candidates import Proxy, Recipe
from trainers import pixels
from trainers.data import DeviceData, Epoch
from trainers.datasets import Images, Split
from trainers.pixels import AHEAD, Feed, Streamed
from trainers.vision import import_torchvision

CPU = torch.device("cpu")
SECONDS = 20.0

RECIPES: list[dict[str, Any]] = [
    {"cutout": 4},
    {"padding": 0, "flip": False},
    {"crop": "resized"},
    {"crop": "resized", "colour_jitter": 0.4, "cutout": 4},
    {"colour_jitter": 0.4},
]


def _images(count: int = 80, size: int = 12, folder: Path | None = None) -> Images:
    """Random images; in a memory-mapped file, in the order of a decoded cache, if there is a folder."""
    rng = np.random.default_rng(2)
    stored = rng.integers(0, 256, (count, size, 3, size), dtype=np.uint8)
    if folder is not None:
        stored.tofile(folder / "pixels")
        stored = np.memmap(folder / "pixels", np.uint8, "r", shape=stored.shape)
    return Images("npz", stored.transpose(0, 2, 1, 3), np.arange(count) % 4, 4)


def _data(images: Images, streamed: bool | None, **recipe: Any) -> DeviceData:
    order = np.random.default_rng(1).permutation(80)
    split = Split(order[20:], order[:20], (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    settings = Recipe(**({"batch_size": 7} | recipe))
    return DeviceData(images, split, Proxy(resolution=8, sample_ratio=0.9), settings, 0, CPU, streamed=streamed)


def _same(ours: tuple[torch.Tensor, ...], theirs: tuple[torch.Tensor, ...]) -> bool:
    return all(torch.equal(*pair) for pair in zip(ours, theirs, strict=True))


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("coldframe-feed")]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("mapped", [True, False])
def test_streamed_pixels_give_the_bits_of_resident_ones(recipe: dict[str, Any], mapped: bool, tmp_path: Path) -> None:
    resident = _data(_images(), False, **recipe)
    streamed = _data(_images(folder=tmp_path if mapped else None), True, **recipe)
    for number in (1, 2):
        ours, theirs = Epoch(streamed, 5, number), Epoch(resident, 5, number)
        assert all(_same(ours.batch(step), theirs.batch(step)) for step in range(resident.steps))
    for ours_plain, theirs_plain in (
        (streamed.validation(), resident.validation()),
        (streamed.training(), resident.training()),
        (streamed.others(_images()), resident.others(_images())),
    ):
        assert all(_same(*pair) for pair in zip(ours_plain, theirs_plain, strict=True))


@pytest.mark.parametrize("recipe", RECIPES)
def test_streamed_pixels_can_be_entered_at_any_step(recipe: dict[str, Any], tmp_path: Path) -> None:
    data = _data(_images(folder=tmp_path), True, **recipe)
    whole = [Epoch(data, 3, 2).batch(step) for step in range(data.steps)]
    again = Epoch(data, 3, 2)
    for step in (5, 6, 0, 1, 6, 3, 2, 2):
        assert _same(again.batch(step), whole[step])


def test_draws_of_streamed_pixels_are_a_batch_also_without_the_feed(tmp_path: Path) -> None:
    data = _data(_images(folder=tmp_path), True)
    epoch = Epoch(data, 0, 1)
    assert _same(data.batch(epoch.draws(4)), epoch.batch(4))
    assert Epoch(_data(_images(), False), 0, 1).pixels(4) is None


def test_an_epochs_batches_are_different_images_of_different_boxes() -> None:
    """With boxes and colours drawn at each step, no two steps and no two epochs share them."""
    data = _data(_images(), False, crop="resized", colour_jitter=0.4)
    drawn = [Epoch(data, 0, number).draws(step) for number in (1, 2) for step in range(3)]
    for field in ("indices", "rows", "columns", "colours"):
        assert len({getattr(each, field).numpy().tobytes() for each in drawn}) == 6
    assert len({tuple((field.shape, field.dtype) for field in each) for each in drawn}) == 1


def test_half_of_the_boxes_are_mirrored_where_the_recipe_says_so() -> None:
    settings = {"crop": "resized", "batch_size": 54}
    mirrored = [
        (Epoch(_data(_images(), False, flip=flip, **settings), 0, number).draws(0).columns[:, 1] < 0)
        for flip in (False, True)
        for number in range(1, 9)
    ]
    assert torch.cat(mirrored[:8]).sum() == 0
    assert 160 < torch.cat(mirrored[8:]).sum() < 272  # of 432


def test_what_is_scored_is_the_middle_of_an_image_where_training_cuts_out_boxes() -> None:
    import_torchvision()
    from torchvision.transforms.v2 import functional

    images = _images(size=32)
    data = _data(images, False, crop="resized")
    scored = torch.cat([batch for batch, _ in data.others(images)])
    middle = functional.center_crop(torch.from_numpy(images.pixels.copy()).float(), [28, 28])
    resized = functional.resize(middle, [8, 8], antialias=True) / 255
    mean, std = torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1), torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1)
    torch.testing.assert_close(scored, (resized - mean) / std, atol=1e-4, rtol=0)


def test_what_fits_lies_on_the_device_and_what_does_not_is_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    images = _images()
    assert not _data(images, None).streamed
    needed = (54 + 20) * 3 * 12 * 12 + 20 * 3 * 8 * 8 * 4
    for free, streamed in ((needed * 8, False), (needed * 8 - 8, True)):
        monkeypatch.setattr(pixels, "free_bytes", lambda device, free=free: free)
        assert _data(images, None).streamed is streamed


def test_a_control_groups_limit_counts_as_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 << 20 < pixels.free_bytes(CPU) < 1 << 50
    (tmp_path / "memory.max").write_text("5000000\n")
    (tmp_path / "memory.stat").write_text("file 4000000\nanon 1000000\n")
    monkeypatch.setattr(pixels, "_CONTROL_GROUP", tmp_path)
    assert pixels.free_bytes(CPU) == 4_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert pixels.free_bytes(CPU) > 4_000_000


class _Gathers:
    """Counts what is gathered, and fails where it is told to."""

    def __init__(self, broken: int | None = None) -> None:
        self.asked: list[int] = []
        self.done = threading.Semaphore(0)
        self._broken = broken

    def __call__(self, indices: np.ndarray) -> torch.Tensor:
        self.asked.append(int(indices[0]))
        self.done.release()
        if indices[0] == self._broken:
            raise OSError("the disk went away")
        return torch.from_numpy(indices)


def _feed(gathers: _Gathers, count: int = 20) -> Feed:
    return Feed(gathers, [np.array([number]) for number in range(count)], CPU)  # type: ignore[arg-type]


def test_batches_are_gathered_ahead_and_each_only_once() -> None:
    gathers = _Gathers()
    feed = _feed(gathers)
    assert [feed.take(number).item() for number in range(3)] == [0, 1, 2]
    for _ in range(3 + AHEAD):
        assert gathers.done.acquire(timeout=SECONDS)
    assert gathers.asked == list(range(3 + AHEAD))
    assert [feed.take(number).item() for number in range(3, 20)] == list(range(3, 20))
    assert gathers.asked == list(range(20))


def test_an_error_in_the_thread_is_raised_in_the_step_that_it_concerns() -> None:
    feed = _feed(_Gathers(broken=2))
    assert [feed.take(number).item() for number in range(2)] == [0, 1]
    with pytest.raises(OSError, match="the disk went away"):
        feed.take(2)
    assert feed.take(3).item() == 3


def test_the_thread_ends_with_the_epoch(tmp_path: Path) -> None:
    data = _data(_images(folder=tmp_path), True)
    epoch = Epoch(data, 0, 1)
    epoch.batch(0)
    (thread,) = _threads()
    del epoch
    gc.collect()
    thread.join(SECONDS)
    assert not thread.is_alive()


def test_a_training_that_is_left_in_the_middle_leaves_no_thread(tmp_path: Path) -> None:
    def train() -> None:
        epoch = Epoch(_data(_images(folder=tmp_path), True), 0, 1)
        epoch.batch(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as raised:
        train()
    threads = _threads()
    del raised
    gc.collect()
    for thread in threads:
        thread.join(SECONDS)
    assert _threads() == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("recipe", RECIPES)
def test_streamed_pixels_give_the_bits_of_resident_ones_on_a_gpu(recipe: dict[str, Any], tmp_path: Path) -> None:
    device = torch.device("cuda")
    images, order = _images(folder=tmp_path), np.arange(80)
    split = Split(order[20:], order[:20], (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    settings = Recipe(**({"batch_size": 7} | recipe))
    resident, streamed = (
        DeviceData(images, split, Proxy(resolution=8), settings, 0, device, streamed=each) for each in (False, True)
    )
    ours, theirs = Epoch(streamed, 5, 1), Epoch(resident, 5, 1)
    assert all(_same(ours.batch(step), theirs.batch(step)) for step in range(resident.steps))
    assert Streamed(images.pixels, order, device).at(torch.tensor([3], device=device)).is_cuda
    assert all(_same(*pair) for pair in zip(streamed.validation(), resident.validation(), strict=True))
