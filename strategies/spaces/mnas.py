"""The search space of MnasNet and FNAS: seven blocks of MobileNetV2's skeleton, six choices in each.

Genes: for each block the convolution (`cn`, `ds`, `ir` of expansion 3 and of 6), its kernel (3, 5), squeeze and
excitation (none, 0.25), the skip (pool, identity, none), filters (0.75, 1, 1.25 times MobileNetV2's) and layers (as
MobileNetV2, one more, one less): 432 choices a block (MnasNet section 4.1), 42 tokens, 119 numbers one-hot.

What MnasNet leaves open is read so:

- MBConv3 and MBConv6 are two convolutions; with one there would be 324 choices a block, not 432.
- A block has one layer at least: one less than MobileNetV2's one is one.
- A skip joins tensors of equal shape. `identity` adds the input of every layer of stride 1 with as many channels out as
  in; `pool` adds the input averaged over 3 x 3 pixels, which it can at stride 2 too.
- Strides are MobileNetV2's, the first two of them 1 where `Proxy.stem` is for small images (`MobileGenotype.layers`).
- Filters are not rounded at the published width, and to whole channels at others, so that the three stay different
  where the stem has 8 channels or more.
- Squeeze and excitation acts on what the convolution of the kernel gives; inside are a quarter of the layer's inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from math import prod
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from store.records.base import Config
from store.records.candidates import Architecture, Named, Proxy
from store.records.knowledge import BlockKey
from strategies.errors import InvalidArchitecture, InvalidGenotype
from strategies.spaces.mobile import CONVOLUTIONS, KERNELS, SKIPS, MobileBlock, MobileGenotype
from strategies.spaces.mobile_blocks import mobile_blocks, mobile_format
from strategies.spaces.work import of_mobile

NAME = "mnas"


class Skeleton(NamedTuple):
    """What MobileNetV2 has in place of a block: output channels, layers, stride of the first."""

    channels: int
    repeats: int
    stride: int


SKELETON = (
    Skeleton(16, 1, 1),
    Skeleton(24, 2, 2),
    Skeleton(32, 3, 2),
    Skeleton(64, 4, 2),
    Skeleton(96, 3, 1),
    Skeleton(160, 3, 2),
    Skeleton(320, 1, 1),
)
SQUEEZES = (False, True)
"""The choices that are not of `strategies.spaces.mobile`, in the order of their genes."""
FILTERS = (Fraction(3, 4), Fraction(1), Fraction(5, 4))
LAYERS = (0, 1, -1)
CHOICES = tuple(len(values) for values in (CONVOLUTIONS, KERNELS, SQUEEZES, SKIPS, FILTERS, LAYERS))
GENES = ("convolution", "kernel", "squeeze", "skip", "filters", "layers")
_SHOWN: tuple[tuple[object, ...], ...] = (
    ("conv", "dconv", "MBConv3", "MBConv6"),
    KERNELS,
    ("none", 0.25),
    SKIPS,
    tuple(float(factor) for factor in FILTERS),
    ("+0", "+1", "-1"),
)
_FIRST = MobileBlock("ds", 16, skip="none")
_LAST = MobileBlock("ir", 320, expansion=6, skip="none")
_SKIP, _LAYERS = GENES.index("skip"), GENES.index("layers")


class MnasOptions(Config):
    """Options of the space `mnas`."""

    blocks: Literal[5, 7] = Field(
        default=7, description="blocks that are searched; 5: the first and the last are MnasNet-A1's (MnasNet: B = 5)"
    )


class Size(NamedTuple):
    """How many architectures a space has: encodings, and those that `canonical` tells apart."""

    encodings: int
    distinct: int


@dataclass(frozen=True)
class MnasSpace:
    """All networks of so many blocks, 432 choices each."""

    options: MnasOptions = field(default_factory=MnasOptions)

    @cached_property
    def spec(self) -> Named:
        """The name and all options."""
        return Named(name=NAME, options=self.options.model_dump(mode="json"))

    @cached_property
    def choices(self) -> tuple[int, ...]:
        """Six positions for each block."""
        return CHOICES * self.options.blocks

    @cached_property
    def size(self) -> Size:
        """The number of encodings, 432 to the power of the blocks, and of different networks."""
        rest = prod(CHOICES[:_SKIP]) * len(FILTERS)
        repeats = [{max(1, one.repeats + more) for more in LAYERS} for one in self._skeleton]
        distinct = prod(rest * sum(len(SKIPS) if count > 1 else 1 for count in counts) for counts in repeats)
        return Size(prod(self.choices), distinct)

    def random(self, rng: np.random.Generator) -> Architecture:
        """Returns an architecture drawn uniformly over the encoding."""
        return self._architecture(rng.integers(0, self.choices).tolist())

    def canonical(self, architecture: Architecture) -> Architecture:
        """Returns the encoding in which genes that change nothing have their neutral value.

        One layer less than one is as many, so it becomes none less; and in a block of one layer, whose channels always
        differ from those before, nothing can be skipped, so that gene becomes `none`.

        Raises:
            InvalidArchitecture: if the genes are not of this space.
        """
        genes: list[int] = []
        for skeleton, block in self._blocks(architecture):
            repeats = max(1, skeleton.repeats + LAYERS[block[_LAYERS]])
            layers = LAYERS.index(repeats - skeleton.repeats)
            skip = block[_SKIP] if repeats > 1 else SKIPS.index("none")
            genes += [*block[:_SKIP], skip, block[_SKIP + 1], layers]
        return self._architecture(genes)

    def decode(self, architecture: Architecture) -> MobileGenotype:
        """Returns the network; equivalent architectures have the same.

        Raises:
            InvalidArchitecture: if the genes are not of this space.
        """
        found = [_block(*pair) for pair in self._blocks(self.canonical(architecture))]
        return MobileGenotype((_FIRST, *found, _LAST) if self.options.blocks == 5 else tuple(found), divisor=1)

    def encode(self, genotype: MobileGenotype) -> Architecture:
        """Returns the canonical architecture with the blocks of a genotype; stem, activation and rounding aside.

        Raises:
            InvalidGenotype: naming the blocks that the space does not have, e.g. MnasNet-A1's of 112 channels.
        """
        fixed = 1 if self.options.blocks == 5 else 0
        inner = genotype.blocks[fixed : len(genotype.blocks) - fixed]
        problems = [] if len(genotype.blocks) == len(SKELETON) else [f"expected {len(SKELETON)} blocks"]
        ends = genotype.blocks[0], genotype.blocks[-1]
        if fixed and tuple(replace(end, skip="none") for end in ends) != (_FIRST, _LAST):
            problems.append(f"expected {_FIRST} and {_LAST} at the ends, for they are not searched")
        genes: list[int] = []
        for skeleton, block in zip(self._skeleton, inner, strict=False):
            try:
                genes += _genes(skeleton, block)
            except ValueError:
                near = f"{skeleton.channels} channels, {skeleton.repeats} layers, stride {skeleton.stride}"
                problems.append(f"{block}: no choice of the space where MobileNetV2 has {near}")
        if problems:
            raise InvalidGenotype(problems)
        return self.canonical(self._architecture(genes))

    def describe(self, architecture: Architecture) -> dict[str, Any]:
        """Returns the network as a JSON-ready map, its blocks in timm's notation; `InvalidArchitecture` as `decode`."""
        return self.decode(architecture).to_json()

    def work(self, architecture: Architecture) -> float:
        """Returns the relative time of a step of training (`strategies.spaces.work`).

        Raises:
            InvalidArchitecture: if the genes are not of this space.
        """
        return of_mobile(self.decode(architecture))

    @property
    def block_choices(self) -> tuple[int, ...]:
        """The number of values of each token of a block's key (`strategies.spaces.blocks`)."""
        return mobile_format(len(SKELETON)).choices

    def blocks(self, architecture: Architecture, proxy: Proxy) -> tuple[BlockKey, ...]:
        """Returns the stem, every layer, and the last convolution (`strategies.spaces.mobile_blocks`).

        Raises:
            InvalidArchitecture: if the genes are not of this space.
            InvalidOptions: if the proxy has more channels than keys can tell apart.
        """
        return mobile_blocks(self.decode(architecture), proxy)

    def mutate(
        self, architecture: Architecture, rng: np.random.Generator, weights: Mapping[str, float] | None = None
    ) -> tuple[Architecture, str]:
        """Returns a neighbour: a position, drawn uniformly, gets another value, drawn uniformly among the others.

        Draws that change nothing (see `canonical`) are drawn again.

        Args:
            architecture: the parent.
            rng: source of randomness.
            weights: passed over, for there is one kind of mutation only.

        Raises:
            InvalidArchitecture: if the genes are not of this space.
        """
        parent = self.canonical(architecture)
        while True:
            genes = list(architecture.genes)
            position = int(rng.integers(len(genes)))
            old, count = genes[position], self.choices[position]
            genes[position] = (old + int(rng.integers(1, count))) % count
            child = self._architecture(genes)
            if self.canonical(child) != parent:
                return child, self._words(position, old, genes[position])

    @property
    def _skeleton(self) -> tuple[Skeleton, ...]:
        return SKELETON if self.options.blocks == len(SKELETON) else SKELETON[1:-1]

    def _architecture(self, genes: list[int]) -> Architecture:
        return Architecture(space=NAME, genes=tuple(genes))

    def _blocks(self, architecture: Architecture) -> Iterator[tuple[Skeleton, tuple[int, ...]]]:
        """Yields what MobileNetV2 has for each searched block, and the block's genes."""
        genes, size = self._checked(architecture), len(CHOICES)
        pieces = (genes[start : start + size] for start in range(0, len(genes), size))
        return zip(self._skeleton, pieces, strict=True)

    def _checked(self, architecture: Architecture) -> tuple[int, ...]:
        genes, choices = architecture.genes, self.choices
        if architecture.space != NAME:
            raise InvalidArchitecture(NAME, genes, f"the space's name, got {architecture.space!r}")
        if len(genes) != len(choices):
            raise InvalidArchitecture(NAME, genes, f"{len(choices)} genes, got {len(genes)}")
        for position, (gene, count) in enumerate(zip(genes, choices, strict=True)):
            if not 0 <= gene < count:
                raise InvalidArchitecture(NAME, genes, f"gene {position} in 0 to {count - 1}, got {gene}")
        return genes

    def _words(self, position: int, old: int, new: int) -> str:
        block, gene = divmod(position, len(CHOICES))
        number = block + (2 if self.options.blocks == 5 else 1)
        return f"block {number}: {GENES[gene]} {_SHOWN[gene][old]} -> {_SHOWN[gene][new]}"


def _block(skeleton: Skeleton, genes: tuple[int, ...]) -> MobileBlock:
    convolution, kernel, squeeze, skip, filters, layers = genes
    operation, expansion = CONVOLUTIONS[convolution]
    return MobileBlock(
        operation=operation,
        channels=int(skeleton.channels * FILTERS[filters]),
        repeats=skeleton.repeats + LAYERS[layers],
        kernel=KERNELS[kernel],
        stride=skeleton.stride,
        expansion=expansion,
        squeeze=SQUEEZES[squeeze],
        skip=SKIPS[skip],
    )


def _genes(skeleton: Skeleton, block: MobileBlock) -> list[int]:
    """Returns the genes of a block; raises `ValueError` if the space has no such block in this place."""
    if block.stride != skeleton.stride:
        raise ValueError
    return [
        CONVOLUTIONS.index((block.operation, block.expansion)),
        KERNELS.index(block.kernel),
        SQUEEZES.index(block.squeeze),
        SKIPS.index(block.skip),
        FILTERS.index(Fraction(block.channels, skeleton.channels)),
        LAYERS.index(block.repeats - skeleton.repeats),
    ]
