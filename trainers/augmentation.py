"""What augmentation does to a batch: crops and resizes as matrices, colours, erased squares. Nothing here is random.

Cropping, resizing and mirroring are linear and separable, so each is a small matrix along one axis.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Weights = npt.NDArray[np.float32]
Boxes = npt.NDArray[np.float32]

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
_GREY = (0.2989, 0.587, 0.114)
_SCALES, _RATIOS = (0.08, 1.0), (3 / 4, 4 / 3)
_ATTEMPTS = 10


def resize_weights(source: int, target: int) -> Weights:
    """Returns the (target, source) matrix of an antialiased bilinear resize along one axis, as PIL's and torch's.

    Output pixel i is a weighted mean of the source pixels within one output pixel's width of its centre.
    """
    scale = source / target
    support = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    distance = np.abs(np.arange(source) + 0.5 - centres[:, None]) / support
    weights = np.clip(1.0 - distance, 0.0, None)
    normalised: Weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return normalised


def crop_weights(native: int, padding: int, target: int) -> Weights:
    """Returns (2 * padding + 1, target, native): for each offset of a crop out of a zero-padded image, crop and resize.

    Offset `padding` is the image itself. What a crop takes from the padding is zero, as in torchvision's RandomCrop.
    """
    resize = resize_weights(native, target)
    table = np.zeros((2 * padding + 1, target, native), np.float32)
    for offset, matrix in enumerate(table):
        shift = offset - padding  # the crop's pixel k is the image's pixel k + shift
        first, last = max(0, -shift), min(native, native - shift)
        matrix[:, first + shift : last + shift] = resize[:, first:last]
    return table


def box_weights(boxes: Tensor, native: int, target: int) -> Tensor:
    """Returns (batch, target, native): along one axis, the part of each image that a box cuts out, resized.

    Args:
        boxes: (batch, 2) float32, start and length in whole pixels. A negative length counts from the box's other
            end, which mirrors it.
        native: pixels of the images along the axis.
        target: pixels after resizing.
    """
    start, length = boxes[:, 0, None, None], boxes[:, 1, None, None]
    scale = length / target
    places = torch.arange(native, dtype=torch.float32, device=boxes.device) + 0.5
    centres = start + (torch.arange(target, dtype=torch.float32, device=boxes.device)[:, None] + 0.5) * scale
    weights = (1 - (places - centres).abs() / scale.abs().clamp(min=1)).clamp(min=0)
    weights = weights * (
        (places > torch.minimum(start, start + length)) & (places < torch.maximum(start, start + length))
    )
    return weights / weights.sum(dim=2, keepdim=True)


def random_boxes(rng: np.random.Generator, count: int, native: int) -> tuple[Boxes, Boxes]:
    """Draws boxes in square images as torchvision's RandomResizedCrop does, in rows and columns, each (count, 2).

    The area is 0.08 to 1 of the image, the ratio of width to height 3/4 to 4/3, evenly on a logarithmic scale; of ten
    draws the first that fits counts, and where none does, the whole image.
    """
    area = native**2 * rng.uniform(*_SCALES, (count, _ATTEMPTS))
    ratio = np.exp(rng.uniform(math.log(_RATIOS[0]), math.log(_RATIOS[1]), (count, _ATTEMPTS)))
    sides = np.rint(np.sqrt(np.stack([area / ratio, area * ratio])))
    places = rng.random((2, count))
    fits = np.all((sides > 0) & (sides <= native), axis=0)
    first = sides[:, np.arange(count), fits.argmax(axis=1)]
    lengths = np.where(fits.any(axis=1), first, native)
    starts = np.floor(places * (native - lengths + 1))
    rows, columns = np.stack([starts, lengths], axis=2).astype(np.float32)
    return rows, columns


def random_colours(rng: np.random.Generator, count: int, strength: float) -> Weights:
    """Draws what `jittered` is told, (count, 2, 4), as torchvision's ColorJitter with a hue of half the strength.

    DARTS on ImageNet has 0.4 for brightness, contrast and saturation and 0.2 for hue: a strength of 0.4.
    """
    order = rng.permuted(np.tile(np.arange(4.0), (count, 1)), axis=1)
    factors = rng.uniform(max(0.0, 1 - strength), 1 + strength, (count, 3))
    shift = rng.uniform(-strength / 2, strength / 2, (count, 1))
    return np.stack([order, np.concatenate([factors, shift], axis=1)], axis=1).astype(np.float32)


def jittered(values: Tensor, colours: Tensor) -> Tensor:
    """Returns images of other brightness, contrast, saturation and hue, each in the order of its own.

    Args:
        values: (batch, C, r, r) float32 from 0 to 255. In grey images saturation and hue change nothing.
        colours: (batch, 2, 4) float32: the order of the four operations, and the factor of each (of hue, the shift as
            a share of the circle).
    """
    for operation in colours[:, 0].unbind(1):
        factor = colours[:, 1].gather(1, operation.long()[:, None])[..., None, None]
        kind = operation[:, None, None, None]
        grey = _grey(values)
        partner = torch.where(kind == CONTRAST, grey.mean(dim=(1, 2, 3), keepdim=True), grey) * (kind != BRIGHTNESS)
        blended = (factor * values + (1 - factor) * partner).clamp(0, 255)
        values = torch.where(kind == HUE, _turned(values, factor), blended)
    return values


def erase(images: Tensor, length: int, centre_y: Tensor, centre_x: Tensor) -> None:
    """Zeroes one square an image, in place, after normalising; what lies outside is cut off (DARTS `Cutout`)."""
    line = torch.arange(images.shape[2], device=images.device)

    def inside(centre: Tensor) -> Tensor:
        start = (centre - length // 2)[:, None]
        return (line >= start) & (line < start + length)

    images.masked_fill_((inside(centre_y)[:, :, None] & inside(centre_x)[:, None, :])[:, None], 0.0)


def _grey(values: Tensor) -> Tensor:
    """Luma, (batch, 1, r, r)."""
    if values.shape[1] == 1:
        return values
    red, green, blue = values.unbind(1)
    return (_GREY[0] * red + _GREY[1] * green + _GREY[2] * blue)[:, None]


def _turned(values: Tensor, shift: Tensor) -> Tensor:
    """Turns the hue by a share of the circle, (batch, 1, 1, 1), and keeps value and saturation (HSV)."""
    if values.shape[1] == 1:
        return values
    highest = values.amax(dim=1, keepdim=True)
    chroma = highest - values.amin(dim=1, keepdim=True)
    red, green, blue = values[:, :1], values[:, 1:2], values[:, 2:]
    divisor = chroma.clamp(min=1e-6)
    sixth = torch.where(
        highest == red,
        (green - blue) / divisor,
        torch.where(highest == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    phase = 5 - 2 * torch.arange(3, dtype=torch.float32, device=values.device).view(1, 3, 1, 1)
    place = (phase + sixth + 6 * shift) % 6
    return highest - chroma * torch.minimum(place, 4 - place).clamp(0, 1)
