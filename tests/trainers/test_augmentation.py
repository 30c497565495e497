"""Random boxes and colours against torchvision's, on real photographs."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.datasets import load_sample_images
from torch import Tensor

from trainers.augmentation import BRIGHTNESS, CONTRAST, HUE, SATURATION, box_weights, jittered, random_boxes
from trainers.augmentation import random_colours as drawn_colours
from trainers.vision import import_torchvision


@cache
def _photographs(count: int = 6, size: int = 48) -> Tensor:
    rng = np.random.default_rng(0)
    photographs, patches = load_sample_images().images, []
    for number in range(count):
        photograph = photographs[number % 2]
        top, left = (int(rng.integers(0, length - size)) for length in photograph.shape[:2])
        patches.append(photograph[top : top + size, left : left + size])
    return torch.from_numpy(np.stack(patches).transpose(0, 3, 1, 2).astype(np.float32))


def _cut(images: Tensor, rows: Tensor, columns: Tensor, size: int) -> Tensor:
    native = images.shape[2]
    down, across = box_weights(rows, native, size), box_weights(columns, native, size)
    return torch.einsum("bih,bchw,bjw->bcij", down, images, across)


@pytest.mark.parametrize("size", [8, 24, 48])
@pytest.mark.parametrize("box", [(0, 0, 48, 48), (3, 7, 31, 22), (40, 1, 8, 12), (47, 47, 1, 1)])
def test_a_box_is_torchvisions_resized_crop(box: tuple[int, int, int, int], size: int) -> None:
    import_torchvision()
    from torchvision.transforms.v2 import functional

    images = _photographs()
    top, left, height, width = box
    theirs = functional.resized_crop(images, top, left, height, width, [size, size], antialias=True)
    rows, columns = (torch.tensor([pair] * 6, dtype=torch.float32) for pair in ((top, height), (left, width)))
    torch.testing.assert_close(_cut(images, rows, columns, size), theirs, atol=2e-3, rtol=0)  # of 255
    mirrored = torch.tensor([(left + width, -width)] * 6, dtype=torch.float32)
    torch.testing.assert_close(_cut(images, rows, mirrored, size), theirs.flip(3), atol=2e-3, rtol=0)


def _boxes(count: int, native: int, seed: int = 0) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    return random_boxes(np.random.default_rng(seed), count, native)


def test_random_boxes_lie_in_the_image_and_are_as_large_as_torchvisions() -> None:
    import_torchvision()
    from torchvision.transforms import RandomResizedCrop

    rows, columns = _boxes(4000, 64)
    for each in (rows, columns):
        assert (each == np.floor(each)).all()
        assert each[:, 0].min() == 0
        assert each[:, 1].min() >= 1
        assert each.sum(axis=1).max() == 64
    torch.manual_seed(0)
    image = torch.zeros(3, 64, 64)
    theirs = np.array([RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(4000)])
    for ours, other in ((rows, theirs[:, [0, 2]]), (columns, theirs[:, [1, 3]])):
        for quantity in (0, 1):
            np.testing.assert_allclose(ours[:, quantity].mean(), other[:, quantity].mean(), atol=1.2)
            np.testing.assert_allclose(ours[:, quantity].std(), other[:, quantity].std(), atol=1.0)
    share, ratio = rows[:, 1] * columns[:, 1] / 64**2, columns[:, 1] / rows[:, 1]
    assert 0.06 < share.min() < share.max() <= 1
    assert 0.6 < ratio.min() < ratio.max() < 1.6


def test_colours_are_torchvisions_operations_in_the_order_that_was_drawn() -> None:
    import_torchvision()
    from torchvision.transforms import functional

    named = {
        BRIGHTNESS: functional.adjust_brightness,
        CONTRAST: functional.adjust_contrast,
        SATURATION: functional.adjust_saturation,
        HUE: functional.adjust_hue,
    }
    images = _photographs()
    colours = drawn_colours(np.random.default_rng(3), len(images), 0.4)
    ours = jittered(images, torch.from_numpy(colours))
    for image, (order, factors), found in zip(images, colours, ours, strict=True):
        expected = image / 255
        for operation in order.astype(int):
            expected = named[operation](expected, float(factors[operation]))
        torch.testing.assert_close(found / 255, expected, atol=2e-4, rtol=0)
    assert len({tuple(order) for order, _ in colours}) > 1


def test_colours_are_as_strong_as_asked_for() -> None:
    colours = drawn_colours(np.random.default_rng(0), 2000, 0.4)
    factors, shifts = colours[:, 1, :3], colours[:, 1, 3]
    assert 0.6 <= factors.min() < 0.61
    assert 1.39 < factors.max() <= 1.4
    assert -0.2 <= shifts.min() < -0.195
    assert 0.195 < shifts.max() <= 0.2
    orders, counts = np.unique(colours[:, 0], axis=0, return_counts=True)
    assert len(orders) == 24
    assert counts.min() > 40  # of about 83


def test_grey_images_have_brightness_and_contrast_only() -> None:
    grey = _photographs()[:, :1]
    colours = np.zeros((6, 2, 4), np.float32)
    colours[:, 0] = [SATURATION, HUE, BRIGHTNESS, CONTRAST]
    colours[:, 1] = [1.0, 1.0, 0.3, 0.4]
    torch.testing.assert_close(jittered(grey, torch.from_numpy(colours)), grey, atol=1e-3, rtol=0)
    colours[:, 1, BRIGHTNESS] = 0.5
    torch.testing.assert_close(jittered(grey, torch.from_numpy(colours)), grey / 2, atol=1e-3, rtol=0)
