"""Folders of pictures, and splits that count what is decoded of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from trainers.sources import Arrays, Decoded, Labels


def folder(root: Path, *, classes: int = 2, each: int = 6, sizes: tuple[tuple[int, int], ...] = ((12, 12),)) -> Path:
    """Writes `<root>/<class>/<number>.png` of random pixels, of the given widths and heights in turn."""
    rng = np.random.default_rng(len(root.name))
    for number in range(classes * each):
        label, place = divmod(number, each)
        width, height = sizes[number % len(sizes)]
        (root / f"class{label}").mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"class{label}" / f"{place}.png")
    return root


class Counted:
    """A split in memory that notes which parts of it are decoded; `leave_out` are broken."""

    class_names = ("a", "b", "c")
    costly = True

    def __init__(self, count: int = 22, leave_out: tuple[int, ...] = (), before: Callable[[int], None] | None = None):
        rng = np.random.default_rng(5)
        self.arrays = Arrays(rng.integers(0, 256, (count, 3, 8, 8), dtype=np.uint8), np.arange(count) % 3)
        self.asked: list[int] = []
        self._left_out, self._before = leave_out, before

    @property
    def labels(self) -> Labels:
        """Of all images, the broken ones too."""
        return self.arrays.labels

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.arrays.shape

    def decoded(self, part: range, told: Callable[[int], None]) -> Decoded:
        """Notes the first number of the part."""
        if self._before:
            self._before(part.start)
        self.asked.append(part.start)
        kept = np.array([number for number in part if number not in self._left_out], np.int64)
        for number in part:
            told(number)
        broken = tuple(str(number) for number in part if number in self._left_out)
        return Decoded(self.arrays.pixels[kept], kept - part.start, broken)
