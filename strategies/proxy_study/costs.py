"""What a study's settings cost, as it was measured and as Table 1 has it (EcoNAS 3.1 and 4.1). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from store.records import reduction
from strategies.proxy_study.readings import Readings
from strategies.proxy_study.settings import Grid, Planned

ORIGINAL = -1
"""The index of the original setting, as for `Readings.column`."""


@dataclass(frozen=True)
class Costs:
    """The costs of a grid's settings by their index; `ORIGINAL` is the original one.

    Attributes:
        grid: the settings.
        readings: what their trainings told.
    """

    grid: Grid
    readings: Readings

    def multiply_adds(self, index: int) -> float | None:
        """Returns the mean multiply-adds of one image over the networks that told them."""
        known = [one.multiply_adds for one in self.readings.column(index) if one.multiply_adds is not None]
        return float(np.mean(known)) if known else None

    def images(self, index: int) -> int | None:
        """Returns the images of an epoch as the trainer tells them, else by the share of another setting's."""
        told = self._told[index]
        if told is None and self._full is not None:
            return round(self._full * self._planned(index).proxy.sample_ratio)
        return told

    def original(self) -> float | None:
        """Returns MACs x images x epochs of the original setting, the mean over the networks; none if not known."""
        macs, images = self.multiply_adds(ORIGINAL), self.images(ORIGINAL)
        return None if macs is None or images is None else macs * images * self.grid.reference.epochs

    def acceleration(self, index: int) -> float | None:
        """Returns (MACs x images x epochs) of the original setting over those of a reduced one; none without MACs.

        MACs are summed over the networks that have them in both settings: what the whole zoo costs. Where the trainer
        tells no images, the ratio of images is that of the settings' sample ratios.
        """
        both = [
            (one.multiply_adds, other.multiply_adds)
            for one, other in zip(self.readings.column(ORIGINAL), self.readings.column(index), strict=True)
            if one.multiply_adds and other.multiply_adds
        ]
        if not both:
            return None
        macs, reduced = (sum(side) for side in zip(*both, strict=True))
        original, planned = self.grid.reference, self.grid.settings[index]
        images = self.images(ORIGINAL), self.images(index)
        share = original.proxy.sample_ratio / planned.proxy.sample_ratio
        share = images[0] / images[1] if images[0] and images[1] else share
        return float(macs / reduced * share * original.epochs / planned.epochs)

    @cached_property
    def _told(self) -> Sequence[int | None]:
        """Images as the trainers told them by setting; the original's at the end, so that its index finds it."""
        columns = [self.readings.column(index) for index in (*range(len(self.grid.settings)), ORIGINAL)]
        return [next((one.images for one in column if one.images), None) for column in columns]

    @cached_property
    def _full(self) -> float | None:
        """Images of an epoch with a sample ratio of 1, by the first setting that tells its own."""
        for index, told in enumerate(self._told[:-1]):
            if told is not None:
                return told / self._planned(index).proxy.sample_ratio
        return None

    def _planned(self, index: int) -> Planned:
        return self.grid.reference if index == ORIGINAL else self.grid.settings[index]


def nominal(reference: Planned, planned: Planned) -> float | None:
    """Returns 2^(a+b+c) times the ratio of epochs (3.1, 4.1); none outside Table 1, or with another depth or stem."""
    at, original = reduction.indices(planned.proxy), reduction.indices(reference.proxy)
    kind = planned.proxy.cells, planned.proxy.stem
    if at is None or original is None or kind != (reference.proxy.cells, reference.proxy.stem):
        return None
    return 2.0 ** (sum(at) - sum(original)) * reference.epochs / planned.epochs
