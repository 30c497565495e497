"""The network of a cell genotype: stem, cells, head, and the auxiliary head of training (DARTS `cnn/model.py`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from torch import Tensor

from strategies.spaces.genotype import Genotype
from trainers.networks.base import Network
from trainers.networks.cells import Cell, State
from trainers.networks.ends import AuxiliaryHead, StridedStem
from trainers.networks.forms import Form
from trainers.networks.operations import ConvNorm, Linear
from trainers.networks.shape import Shape

STEM_MULTIPLIER = 3


class CellNetwork(Network):
    """A stack of cells; those at one and two thirds of the depth are reductions.

    Args:
        genotype: the two cells.
        shape: see `Shape`.
        form: how operations are carried out.

    Raises:
        ImpossibleSetting: if such networks cannot have the shape.
    """

    def __init__(self, genotype: Genotype, shape: Shape, form: Form) -> None:
        super().__init__(form)
        shape.check()
        self.shape = shape
        self.stem: ConvNorm | StridedStem
        older, last = self._add_stem()
        self._cells: list[str] = []
        self.auxiliary: AuxiliaryHead | None = None
        channels, after_reduction = shape.channels, shape.stem == "imagenet"
        thirds = (shape.cells // 3, 2 * shape.cells // 3)
        for index in range(shape.cells):
            reduction = index in thirds
            channels = 2 * channels if reduction else channels
            cell = Cell(
                genotype.reduce if reduction else genotype.normal,
                genotype.reduce_concat if reduction else genotype.normal_concat,
                channels=channels,
                inputs=(older, last),
                reduction=reduction,
                after_reduction=after_reduction,
            )
            self._cells.append(f"cell{index:02d}")
            self.add_module(self._cells[-1], cell)
            older, last, after_reduction = last, cell.channels, reduction
            if shape.auxiliary and index == thirds[1]:
                self.auxiliary = AuxiliaryHead(last, shape.classes, shape.stem or "cifar")
        self.head = Linear(last, shape.classes)
        self.paths = sum(cell.paths for cell in self.cells())

    def cells(self) -> Iterator[Cell]:
        """Yields the cells in order."""
        return (cast(Cell, self.get_submodule(name)) for name in self._cells)

    def _add_stem(self) -> tuple[int, int]:
        """Adds the stem, or both; returns the channels of the first cell's inputs."""
        inputs, channels = self.shape.input_channels, self.shape.channels
        if self.shape.stem == "imagenet":
            self.stem = StridedStem(inputs, channels)
            self.stem1 = ConvNorm(channels, channels, ((3, 3),), stride=2)
            return channels, channels
        self.stem = ConvNorm(inputs, STEM_MULTIPLIER * channels, ((3, 3),))
        return STEM_MULTIPLIER * channels, STEM_MULTIPLIER * channels

    def _features(self, images: Tensor, form: Form, everything: bool, keep: Tensor | None) -> list[Tensor]:
        if self.training and self.auxiliary is not None:
            self.shape._replace(resolution=images.shape[-1]).check()
        older = last = State(form, [self.stem(form.enter(images), form)])
        if self.shape.stem == "imagenet":
            last = State(form, [self.stem1(older.rectified, form)])
        extra, path = [], 0
        for index, cell in enumerate(self.cells()):
            rows = None if keep is None else keep[path : path + cell.paths]
            path += cell.paths
            older, last = last, cell(older, last, form, everything=everything, keep=rows)
            if self.training and self.auxiliary is not None and index == 2 * self.shape.cells // 3:
                extra.append(self.auxiliary(last.rectified, form))
        return [form.global_mean(last.value), *extra]

    def _auxiliary_scores(self, features: Tensor) -> Tensor:
        scores: Tensor = cast(AuxiliaryHead, self.auxiliary).linear(features)
        return scores
