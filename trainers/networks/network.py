"""The whole network of a genotype: stem, cells, head, and the auxiliary head of training (DARTS `cnn/model.py`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from strategies.spaces.genotype import Genotype
from trainers.errors import ImpossibleSetting
from trainers.networks.batch_last import BatchLast
from trainers.networks.cells import Cell, State
from trainers.networks.forms import BatchNorm, Form, Plain
from trainers.networks.initial import initialise
from trainers.networks.operations import ConvNorm, Linear

STEM_MULTIPLIER = 3
AUXILIARY_RESOLUTIONS = range(29, 41)
"""Image sizes for which the auxiliary head's pooling gives the 2 x 2 pixels that its last convolution takes."""

FormName = Literal["plain", "batch_last"]
_FORMS: dict[FormName, type[Form]] = {"plain": Plain, "batch_last": BatchLast}


class Scores(NamedTuple):
    """What a network says of a batch: (N, classes) each; `auxiliary` only in training with that head."""

    logits: Tensor
    auxiliary: Tensor | None


class AuxiliaryHead(nn.Module):
    """A second classifier, on the output of the second reduction cell, for images of 29 to 40 pixels."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.reduce = ConvNorm(channels, 128, ((1, 1),))
        self.spread = nn.Parameter(torch.empty(768, 128, 2, 2))
        self.norm = BatchNorm(768)
        self.linear = Linear(768, classes)

    def forward(self, x: Tensor, form: Form) -> Tensor:
        """Returns features (N, 768) from a rectified tensor of 8 to 10 pixels a side; `linear` makes them logits."""
        x = form.relu_(self.reduce(form.average_pool(x, kernel=5, stride=3, padding=0), form))
        x = form.relu_(form.normalise(form.convolve(x, self.spread), self.norm))
        return form.flatten(x)


class CellNetwork(nn.Module):
    """A network of cells for small images; cells at one and two thirds of the depth are reductions.

    Its convolutions are uninitialised: use `build`. The direct children are the blocks in which weights are stored and
    inherited, so a block's tensors are those whose name in the state_dict starts with the block's name and a dot.

    Args:
        genotype: the two cells.
        channels: initial channels C of the cells; doubled by each reduction.
        cells: number of cells.
        classes: number of classes.
        input_channels: channels of the images.
        auxiliary: whether to have the auxiliary head.
        form: `"batch_last"` (the fast one on CPUs) or `"plain"`; both compute the same function.
    """

    def __init__(
        self,
        genotype: Genotype,
        *,
        channels: int,
        cells: int,
        classes: int,
        input_channels: int = 3,
        auxiliary: bool = False,
        form: FormName = "batch_last",
    ) -> None:
        super().__init__()
        self.form: Form = _FORMS[form]()
        self.stem = ConvNorm(input_channels, STEM_MULTIPLIER * channels, ((3, 3),))
        self._cells: list[str] = []
        older = last = STEM_MULTIPLIER * channels
        after_reduction = False
        self.auxiliary: AuxiliaryHead | None = None
        self._auxiliary_after = 2 * cells // 3
        for index in range(cells):
            reduction = index in (cells // 3, 2 * cells // 3)
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
            if auxiliary and index == self._auxiliary_after:
                self.auxiliary = AuxiliaryHead(last, classes)
        self.head = Linear(last, classes)
        # The form computes up to the linear layers, which are left to autograd.
        outer = {id(each) for layer in self.modules() if isinstance(layer, Linear) for each in layer.parameters()}
        self._inner = [parameter for parameter in self.parameters() if id(parameter) not in outer]

    def forward(self, images: Tensor, *, everything: bool = False) -> Scores:
        """Classifies images.

        Args:
            images: (N, input_channels, H, W).
            everything: also compute what cannot reach the output, as the published code does; for counting.

        Raises:
            ImpossibleSetting: if the network trains with the auxiliary head and the images are too small or large.
        """
        if self.training and self.auxiliary is not None:
            check_auxiliary(images.shape[-1])

        def compute(form: Form) -> list[Tensor]:
            return self._features(images, form, everything)

        features = self.form.run(compute, self._inner)
        auxiliary = self.auxiliary.linear(features[1]) if self.auxiliary is not None and len(features) > 1 else None
        return Scores(self.head(features[0]), auxiliary)

    def _features(self, images: Tensor, form: Form, everything: bool) -> list[Tensor]:
        """Returns what the head reads, and what the auxiliary head's linear layer reads if it is wanted."""
        older = last = State(form, [self.stem(form.enter(images), form)])
        extra = []
        for index, cell in enumerate(self.cells()):
            older, last = last, cell(older, last, form, everything=everything)
            if self.training and self.auxiliary is not None and index == self._auxiliary_after:
                extra.append(self.auxiliary(last.rectified, form))
        return [form.global_mean(last.value), *extra]

    def cells(self) -> Iterator[Cell]:
        """Yields the cells in order."""
        return (cast(Cell, self.get_submodule(name)) for name in self._cells)

    def blocks(self) -> dict[str, dict[str, Tensor]]:
        """Returns the state by block, in the order of computation: `{"stem": {"weights.0": ...}, "cell00": ...}`."""
        return {name: dict(module.state_dict()) for name, module in self.named_children()}


def build(
    genotype: Genotype,
    *,
    channels: int,
    cells: int,
    classes: int,
    seed: int,
    input_channels: int = 3,
    auxiliary: bool = False,
    resolution: int | None = None,
    form: FormName | None = None,
    device: torch.device | str = "cpu",
) -> CellNetwork:
    """Builds and initialises a network.

    Args:
        genotype: the two cells.
        channels: initial channels C.
        cells: number of cells.
        classes: number of classes.
        seed: decides the initial weights; the global random state is neither read nor changed.
        input_channels: channels of the images.
        auxiliary: whether to have the auxiliary head.
        resolution: pixels of the images, if known, to find out at once that the auxiliary head does not fit.
        form: how to compute; the fast form of the device if absent.
        device: where the network lives. The initial weights do not depend on it.

    Raises:
        ImpossibleSetting: if the auxiliary head does not fit the resolution.
    """
    if auxiliary and resolution is not None:
        check_auxiliary(resolution)
    chosen: FormName = form or ("batch_last" if torch.device(device).type == "cpu" else "plain")
    network = CellNetwork(
        genotype,
        channels=channels,
        cells=cells,
        classes=classes,
        input_channels=input_channels,
        auxiliary=auxiliary,
        form=chosen,
    )
    initialise(network, seed)
    return network.to(device)


def check_auxiliary(resolution: int) -> None:
    """Raises `ImpossibleSetting` if the auxiliary head does not fit images of that size."""
    if resolution not in AUXILIARY_RESOLUTIONS:
        low, high = AUXILIARY_RESOLUTIONS[0], AUXILIARY_RESOLUTIONS[-1]
        expected = f"{low} to {high} pixels with the auxiliary head (its 5 x 5 pool must leave 2 x 2), or no such head"
        raise ImpossibleSetting("proxy.resolution", resolution, expected)
