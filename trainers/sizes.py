"""What the networks of NAS-Bench-201 cost, by formula: for what must not load torch to count them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

CONV_3X3, CONV_1X1 = "nor_conv_3x3", "nor_conv_1x1"
_WIDTHS, _SIDES, _CELLS = (16, 32, 64), (32, 16, 8), 5
_PARAMETERS, _MULTIPLY_ADDS = 73_306, 7_783_040


class Size(NamedTuple):
    """What a network costs: its parameters, and the multiply-adds of one image."""

    parameters: int
    multiply_adds: int


def nasbench201(operations: Sequence[str]) -> Size:
    """Returns the size of a cell's network as the benchmark has it: 16 channels, 5 cells a stage, CIFAR-10's images.

    Without any convolution in its cells a network has 73,306 parameters and 7,783,040 multiply-adds (facts C). A
    convolution of k x k at C channels adds k² C² + 2 C parameters, the two of its normalisation among them, and k² C²
    multiply-adds for each of its pixels, in each cell; the other operations add nothing.

    Args:
        operations: of the cell's edges.
    """
    return _size(operations.count(CONV_3X3), operations.count(CONV_1X1))


@lru_cache(maxsize=64)
def _size(threes: int, ones: int) -> Size:
    parameters, multiply_adds = _PARAMETERS, _MULTIPLY_ADDS
    for edges, taps in ((threes, 9), (ones, 1)):
        parameters += edges * _CELLS * sum(taps * width**2 + 2 * width for width in _WIDTHS)
        work = sum(taps * width**2 * side**2 for width, side in zip(_WIDTHS, _SIDES, strict=True))
        multiply_adds += edges * _CELLS * work
    return Size(parameters, multiply_adds)
