"""The shape of a network: all that decides its layers beside the genotype. Free of torch, to check specs with."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from store.records.candidates import Proxy
from strategies.spaces import mnas, nasbench201
from trainers.errors import ImpossibleSetting

CELLS = "cell"
"""The registered name of the space of cell networks."""
UNSAID_CELLS: int = Proxy.model_fields["cells"].default
"""The depth of a setting that says none."""
Stem = Literal["cifar", "imagenet"]
SMALLEST: Mapping[Stem, int] = MappingProxyType({"cifar": 4, "imagenet": 32})
"""What a network divides an image's side by: two reductions, and three strided convolutions of the ImageNet stem."""
AUXILIARY_RESOLUTIONS: Mapping[Stem, range] = MappingProxyType({"cifar": range(29, 41), "imagenet": range(193, 257)})
"""Image sizes for which the auxiliary head's pooling gives the 2 x 2 pixels that its last convolution takes."""


class Shape(NamedTuple):
    """How wide, how deep and for which images.

    Attributes:
        channels: initial channels C of the cells; doubled by each of the two reductions. Of mobile networks those of
            the stem: 32 are the published width, and all layers are in proportion.
        cells: number of cells, the reductions included: 3N + 2 for N normal cells a stage. Of mobile networks as
            absent: their genotype says how many layers there are.
        classes: number of classes.
        resolution: pixels of an image's side.
        input_channels: channels of an image.
        stem: `"imagenet"` for the two stems that divide the size by eight; else one convolution that keeps it. Of
            mobile networks `"imagenet"` for the published strides, that divide it by 32; else those that do by 8.
        auxiliary: whether there is an auxiliary head, a second classifier of training.
    """

    channels: int
    cells: int
    classes: int
    resolution: int
    input_channels: int = 3
    stem: Stem | None = None
    auxiliary: bool = False

    @classmethod
    def of(
        cls, proxy: Proxy, *, resolution: int, classes: int, input_channels: int = 3, auxiliary: bool = False
    ) -> Shape:
        """Returns the shape of a reduced setting for given images."""
        return cls(proxy.channels, proxy.cells, classes, resolution, input_channels, proxy.stem, auxiliary)

    def check(self) -> None:
        """Raises `ImpossibleSetting` if a network of cells cannot have this shape; the error names the key."""
        stem = self.stem or "cifar"
        if self.resolution < SMALLEST[stem]:
            expected = f"at least {SMALLEST[stem]} pixels, for the {stem} network divides the size by as much"
            raise ImpossibleSetting("proxy.resolution", self.resolution, expected)
        if stem == "imagenet" and self.channels % 2:
            expected = "an even number with the imagenet stem, which begins with half as many"
            raise ImpossibleSetting("proxy.channels", self.channels, expected)
        fitting = AUXILIARY_RESOLUTIONS[stem]
        if self.auxiliary and self.resolution not in fitting:
            expected = (
                f"{fitting[0]} to {fitting[-1]} pixels with the auxiliary head (its 5 x 5 pool must leave 2 x 2), or "
                "no such head"
            )
            raise ImpossibleSetting("proxy.resolution", self.resolution, expected)


def check_bench(shape: Shape) -> None:
    """Raises `ImpossibleSetting` if NAS-Bench-201's networks cannot have a shape; the error names the key."""
    check_bench_size(shape.resolution)
    if shape.cells < 5 or shape.cells % 3 != 2:
        expected = "3N + 2, three stages of N = 1, 2, ... cells and the two reductions between them (published: 17)"
        raise ImpossibleSetting("proxy.cells", shape.cells, expected)
    if shape.stem == "imagenet":
        raise ImpossibleSetting("proxy.stem", shape.stem, "cifar, the only one that NAS-Bench-201's networks have")
    if shape.auxiliary:
        raise ImpossibleSetting("trainer.auxiliary", True, "false: NAS-Bench-201's networks have no such head")


def check_mobile(shape: Shape) -> None:
    """Raises `ImpossibleSetting` if mobile networks cannot have a shape; the error names the key."""
    if shape.cells != UNSAID_CELLS:
        expected = "nothing: mobile networks have no cells, their depth is their architecture's"
        raise ImpossibleSetting("proxy.cells", shape.cells, expected)
    if shape.auxiliary:
        raise ImpossibleSetting("trainer.auxiliary", True, "false: mobile networks have no such head")


def check_bench_size(resolution: int) -> None:
    """Raises `ImpossibleSetting` if images of that size cannot be halved twice."""
    if resolution < 4 or resolution % 4:
        expected = "a multiple of 4 pixels, which NAS-Bench-201's two reductions halve twice"
        raise ImpossibleSetting("proxy.resolution", resolution, expected)


def check_proxy(space: str, proxy: Proxy, *, auxiliary: bool) -> None:
    """Checks a reduced setting before any data are read; where it leaves the resolution to the images, all but that.

    Args:
        space: registered name; spaces of which no networks are known here are passed over.
        proxy: the setting.
        auxiliary: whether the networks have the auxiliary head.

    Raises:
        ImpossibleSetting: if networks of that space cannot have the setting; the error names the key.
    """
    usual = 224 if proxy.stem == "imagenet" else 32
    check_of(space, Shape.of(proxy, resolution=proxy.resolution or usual, classes=1, auxiliary=auxiliary))


def check_of(space: str, shape: Shape) -> None:
    """Checks a shape for the networks of a space, by its registered name; other spaces are passed over.

    Raises:
        ImpossibleSetting: if networks of that space cannot have the shape; the error names the key.
    """
    if space == CELLS:
        shape.check()
    elif space == nasbench201.NAME:
        check_bench(shape)
    elif space == mnas.NAME:
        check_mobile(shape)
