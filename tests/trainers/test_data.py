"""Augmentation on the device against PIL and torchvision, and an epoch that can be entered at any step."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from store.records.candidates import Proxy, Recipe
from trainers.augmentation import crop_weights, resize_weights
from trainers.data import DeviceData, Draws, Epoch
from trainers.datasets import Images, Split
from trainers.errors import ImpossibleSetting
from trainers.vision import import_torchvision

CPU = torch.device("cpu")
MEAN, STD = (0.49, 0.48, 0.44), (0.247, 0.243, 0.261)
ONE_LEVEL = 1 / 255
"""Difference of one step of an 8-bit value; PIL rounds to these after each of its two passes."""


@cache
def _photographs(count: int = 60, size: int = 32) -> Images:
    """Real image content: patches of scikit-learn's two photographs, which are installed with it."""
    rng = np.random.default_rng(0)
    photographs, patches = load_sample_images().images, []
    for number in range(count):
        photograph = photographs[number % 2]
        top, left = (int(rng.integers(0, length - size)) for length in photograph.shape[:2])
        patches.append(photograph[top : top + size, left : left + size])
    pixels = np.ascontiguousarray(np.stack(patches).transpose(0, 3, 1, 2))
    return Images("npz", pixels, np.arange(count) % 10, 10)


def _device_data(images: Images | None = None, *, proxy: dict[str, Any] | None = None, **recipe: Any) -> DeviceData:
    images = images or _photographs()
    held_out = len(images.labels) // 6
    indices = np.arange(len(images.labels))
    split = Split(indices[held_out:], indices[:held_out], MEAN[: images.channels], STD[: images.channels])
    settings = {"batch_size": 16} | recipe
    return DeviceData(images, split, Proxy(**(proxy or {"resolution": 8})), Recipe(**settings), 0, CPU)


@pytest.mark.parametrize(("size", "padding", "offset"), list(product((8, 12, 16, 24, 32), (0, 4), ("first", "last"))))
def test_crop_resize_flip_and_normalise_are_torchvisions_on_pil_images(size: int, padding: int, offset: str) -> None:
    import_torchvision()
    from torchvision.transforms import functional

    images = _photographs(8)
    data = _device_data(images, proxy={"resolution": size}, padding=padding)
    top, left = (0, min(1, 2 * padding)) if offset == "first" else (2 * padding, max(0, 2 * padding - 1))
    for mirrored in (False, True):
        columns = left + mirrored * (2 * padding + 1)
        pixels = torch.from_numpy(images.pixels.transpose(0, 2, 1, 3).copy())
        ours = data.resized(pixels, torch.full((8,), top), torch.full((8,), columns))
        for number in range(8):
            picture = Image.fromarray(np.ascontiguousarray(images.pixels[number].transpose(1, 2, 0)))
            picture = functional.crop(functional.pad(picture, [padding] * 4), top, left, 32, 32)
            picture = functional.resize(picture, [size, size])
            picture = functional.hflip(picture) if mirrored else picture
            theirs = functional.normalize(functional.to_tensor(picture), MEAN, STD)
            tolerance = 1e-5 if size == 32 else 1.01 * ONE_LEVEL / min(STD)
            torch.testing.assert_close(ours[number], theirs, atol=tolerance, rtol=0)


@pytest.mark.parametrize(("source", "target"), [(32, 8), (32, 12), (28, 24), (8, 8), (33, 7)])
def test_a_resize_is_torchs_antialiased_one(source: int, target: int) -> None:
    values = torch.rand(1, 1, source, source, dtype=torch.float64)
    weights = torch.from_numpy(resize_weights(source, target)).double()
    theirs = torch.nn.functional.interpolate(values, (target, target), mode="bilinear", antialias=True)
    torch.testing.assert_close(weights @ values[0, 0] @ weights.T, theirs[0, 0], atol=1e-6, rtol=0)


def test_the_middle_offset_is_the_image_itself_and_beyond_the_edge_is_black() -> None:
    table = crop_weights(8, 2, 8)
    np.testing.assert_array_equal(table[2], np.eye(8))
    np.testing.assert_array_equal(table[0] @ np.arange(1, 9), [0, 0, 1, 2, 3, 4, 5, 6])
    np.testing.assert_array_equal(table[4] @ np.arange(1, 9), [3, 4, 5, 6, 7, 8, 0, 0])


def _seen(data: DeviceData, epoch: Epoch) -> list[bytes]:
    return [image.numpy().tobytes() for step in range(data.steps) for image in epoch.batch(step)[0]]


def test_every_image_is_seen_at_most_once_in_an_epoch_and_the_last_part_batch_is_dropped() -> None:
    data = _device_data(padding=0, flip=False, proxy={"resolution": 32})
    assert (data.images, data.batch_size, data.steps) == (50, 16, 3)
    seen = _seen(data, Epoch(data, 0, 1))
    assert len(seen) == len(set(seen)) == 48
    assert set(seen) != set(_seen(data, Epoch(data, 0, 2)))


def test_images_keep_their_labels() -> None:
    data = _device_data(padding=0, flip=False, proxy={"resolution": 32})
    photographs = _photographs()
    shade = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    known = {image.tobytes(): int(label) for image, label in zip(photographs.pixels, photographs.labels, strict=True)}
    images, labels = Epoch(data, 0, 1).batch(1)
    pixels = ((images * shade[1] + shade[0]) * 255).round().to(torch.uint8).contiguous()
    assert [known[image.numpy().tobytes()] for image in pixels] == labels.tolist()


def test_about_half_of_the_images_are_mirrored_and_only_where_the_recipe_says_so() -> None:
    """Without padding an image of a batch is its original or its mirror image, to the bit."""
    settings = {"padding": 0, "proxy": {"resolution": 32}, "batch_size": 50}
    plain, flipped = _device_data(flip=False, **settings), _device_data(flip=True, **settings)
    mirrored = []
    for number in range(1, 9):
        originals, images = Epoch(plain, 0, number).batch(0)[0], Epoch(flipped, 0, number).batch(0)[0]
        for original, image in zip(originals, images, strict=True):
            assert torch.equal(image, original) != torch.equal(image, original.flip(2))
            mirrored.append(torch.equal(image, original.flip(2)))
    assert len(mirrored) == 400
    assert 160 < sum(mirrored) < 240  # four standard deviations either way
    assert len({tuple(mirrored[start : start + 50]) for start in range(0, 400, 50)}) == 8


def test_a_data_set_smaller_than_a_batch_is_one_batch() -> None:
    data = _device_data(batch_size=384)
    assert (data.batch_size, data.steps) == (50, 1)


def test_any_step_of_any_epoch_can_be_entered_again_exactly() -> None:
    data = _device_data(cutout=8)
    whole = [Epoch(data, 7, 3).batch(step) for step in range(data.steps)]
    again = Epoch(_device_data(cutout=8), 7, 3)
    for step in (2, 0, 1):
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(again.batch(step), whole[step], strict=True))


def test_a_batch_is_made_from_a_steps_draws_and_from_nothing_else() -> None:
    """What a captured step relies on: draws of the same shapes at every step, in tensors of its own."""
    data = _device_data(cutout=8)
    epoch = Epoch(data, 7, 3)
    draws = [Draws(*(each.clone() for each in epoch.draws(step))) for step in range(data.steps)]
    assert len({tuple((each.shape, each.dtype) for each in drawn) for drawn in draws}) == 1
    for step, drawn in enumerate(draws):
        assert all(torch.equal(*pair) for pair in zip(data.batch(drawn), epoch.batch(step), strict=True))
        assert torch.equal(data.labels[drawn.indices], epoch.batch(step)[1])


def test_without_held_out_images_there_is_nothing_to_validate_on() -> None:
    images = _photographs()
    split = Split(np.arange(60), np.arange(0), MEAN, STD)
    data = DeviceData(images, split, Proxy(resolution=8), Recipe(batch_size=16), 0, CPU)
    assert (data.images, list(data.validation())) == (60, [])


def _same_order(first: tuple[int, int], second: tuple[int, int]) -> bool:
    data = _device_data()
    return _seen(data, Epoch(data, *first)) == _seen(data, Epoch(data, *second))


def test_seed_and_epoch_decide_the_order_and_nothing_else_does() -> None:
    torch.manual_seed(1)
    assert _same_order((5, 1), (5, 1))
    assert not _same_order((5, 1), (5, 2))
    assert not _same_order((5, 1), (6, 1))


def test_the_order_of_images_does_not_depend_on_the_augmentation() -> None:
    plain, augmented = _device_data(padding=0, flip=False), _device_data(padding=4, cutout=16)
    assert torch.equal(Epoch(plain, 0, 1).batch(0)[1], Epoch(augmented, 0, 1).batch(0)[1])


@pytest.mark.parametrize(("size", "side"), [(32, 16), (24, 12), (16, 8), (12, 6), (8, 4)])
def test_cutout_is_scaled_with_the_resolution_and_zero_after_normalising(size: int, side: int) -> None:
    """The sides for r0 to r4 are those of facts F; a square at the edge is cut off there."""
    data = _device_data(cutout=16, proxy={"resolution": size})
    same = _device_data(proxy={"resolution": size})
    areas = []
    for step in range(data.steps):
        erased = (Epoch(data, 0, 1).batch(step)[0] == 0).all(1)
        left, _ = Epoch(same, 0, 1).batch(step)
        kept = ~erased[:, None].expand_as(left)
        assert torch.equal(Epoch(data, 0, 1).batch(step)[0][kept], left[kept])
        for square in erased:
            rows, columns = square.any(1).sum().item(), square.any(0).sum().item()
            assert square.sum() == rows * columns
            areas.append((rows, columns))
    assert max(areas) == (side, side)
    assert min(min(area) for area in areas) >= side // 2


def test_validation_images_are_all_there_once_resized_and_not_augmented() -> None:
    images = _photographs()
    data = _device_data(images, cutout=16, proxy={"resolution": 32})
    found = torch.cat([batch for batch, _ in data.validation()])
    expected = (torch.from_numpy(images.pixels[:10]) / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(
        3, 1, 1
    )
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert torch.cat([labels for _, labels in data.validation()]).tolist() == images.labels[:10].tolist()


def test_grey_images_have_one_channel() -> None:
    coloured = _photographs()
    grey = Images("npz", np.ascontiguousarray(coloured.pixels[:, :1]), coloured.labels, 10)
    batch, _ = Epoch(_device_data(grey), 0, 1).batch(0)
    assert batch.shape == (16, 1, 8, 8)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: _device_data(proxy={"resolution": 48}), "proxy.resolution is 48: expected at most the 32 pixels"),
        (lambda: _device_data(padding=40), "recipe.padding is 40"),
        (lambda: _device_data(batch_size=1, proxy={"resolution": 4}), "recipe.batch_size is 1: expected at least 2"),
    ],
)
def test_settings_that_cannot_be_are_refused(make: Callable[[], DeviceData], words: str) -> None:
    with pytest.raises(ImpossibleSetting) as raised:
        make()
    assert words in str(raised.value)
