"""Mobile networks as blocks of equal layers: MnasNet's, EfficientNet's, MobileNetV2's, and those of the space `mnas`.

A block is written as in timm's architecture strings, e.g. `ir_r3_k5_s2_e3_c40_se0.25`: operation, repeats, kernel,
stride of the first layer, expansion, output channels, squeeze and excitation, skip. Operations are `cn`, a convolution;
`ds`, a depthwise convolution and a pointwise one; `ir`, the inverted residual (MBConv): a pointwise convolution to
`expansion` times as many channels, and the two of `ds`. A layer that can adds its input, unless the block says
`noskip`; with `pool` it adds its input averaged over 3 x 3 pixels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast, get_args

from strategies.errors import InvalidGenotype

Operation = Literal["cn", "ds", "ir"]
Skip = Literal["identity", "pool", "none"]
Activation = Literal["relu", "relu6", "silu"]
CONVOLUTIONS: tuple[tuple[Operation, int], ...] = (("cn", 1), ("ds", 1), ("ir", 3), ("ir", 6))
"""MnasNet's choices of operation and expansion, in the order of their genes; so are the next two."""
KERNELS = (3, 5)
SKIPS: tuple[Skip, ...] = ("pool", "identity", "none")
SQUEEZE = 4
"""What a layer's input channels are divided by inside its squeeze and excitation: a ratio of 0.25."""
_BLOCK = re.compile(
    r"(?P<operation>cn|ds|ir)_r(?P<repeats>\d{1,3})_k(?P<kernel>\d{1,2})_s(?P<stride>[12])"
    r"(_e(?P<expansion>\d{1,2}))?_c(?P<channels>\d{1,5})(?P<squeeze>_se0\.25)?(_(?P<skip>noskip|pool))?"
)
_FORM = "e.g. ir_r3_k5_s2_e3_c40_se0.25"
MOST_CHANNELS = 99_999
"""That a genotype can be written with, as in a block's five digits."""


@dataclass(frozen=True)
class MobileBlock:
    """Layers that differ in the first one's stride and input channels only.

    Attributes:
        operation: `cn`, `ds` or `ir`.
        channels: of the output, at the published width.
        repeats: number of layers.
        kernel: side of the convolution that is no pointwise one, odd.
        stride: of the first layer, 1 or 2.
        expansion: of `ir`; 1 for the others. An `ir` with 1 has its first pointwise convolution all the same.
        squeeze: whether there is squeeze and excitation, on what the convolution of `kernel` gives.
        skip: what a layer adds that has as many channels out as in: its input, if its stride is 1; its input
            averaged over 3 x 3 pixels, at its stride; or nothing.

    Raises:
        InvalidGenotype: if a value is none that there can be.
    """

    operation: Operation
    channels: int
    repeats: int = 1
    kernel: int = 3
    stride: int = 1
    expansion: int = 1
    squeeze: bool = False
    skip: Skip = "identity"

    def __post_init__(self) -> None:
        wrong = []
        if self.channels < 1 or self.repeats < 1 or self.expansion < 1:
            wrong.append("expected at least one channel, one layer and an expansion of 1")
        if self.kernel not in (1, 3, 5, 7):
            wrong.append(f"kernel {self.kernel}: expected 1, 3, 5 or 7")
        if self.stride not in (1, 2):
            wrong.append(f"stride {self.stride}: expected 1 or 2")
        if self.operation != "ir" and self.expansion != 1:
            wrong.append(f"expansion {self.expansion}: expected none, for only ir has one")
        if wrong:
            raise InvalidGenotype([f"{self}: {each}" for each in wrong])

    def __str__(self) -> str:
        """The block as `read_block` reads it."""
        expansion = f"_e{self.expansion}" if self.operation == "ir" else ""
        squeeze = "_se0.25" if self.squeeze else ""
        skip = {"identity": "", "pool": "_pool", "none": "_noskip"}[self.skip]
        head = f"{self.operation}_r{self.repeats}_k{self.kernel}_s{self.stride}"
        return f"{head}{expansion}_c{self.channels}{squeeze}{skip}"


class Layer(NamedTuple):
    """One layer of a network of a certain width.

    Attributes:
        name: of the network's block of tensors, e.g. `block3_1`, both counted from 1.
        block: index of its block, from 0.
        place: index in its block, from 0.
        operation: as of the block; so is the kernel.
        kernel: side of its convolution.
        stride: 1 or 2.
        inputs: channels in.
        middle: channels of its depthwise convolution; of a `cn` its outputs.
        outputs: channels out.
        squeeze: channels inside its squeeze and excitation; 0: it has none.
        skip: what it adds, `none` where it can add nothing.
    """

    name: str
    block: int
    place: int
    operation: Operation
    kernel: int
    stride: int
    inputs: int
    middle: int
    outputs: int
    squeeze: int
    skip: Skip


class Ends(NamedTuple):
    """Channels of the stem and of the last convolution, and the stem's stride, at a certain width."""

    stem: int
    features: int
    stride: int


@dataclass(frozen=True)
class MobileGenotype:
    """A mobile network. Equal values are equal networks.

    Attributes:
        blocks: in order.
        stem: output channels of the first convolution at the published width, 3 x 3 of stride 2.
        features: output channels of the last, pointwise convolution at the published width.
        activation: after every convolution that is no projection.
        divisor: channels of another width are rounded to its multiples, as MobileNetV2 does with 8.

    Raises:
        InvalidGenotype: if there are no blocks.
    """

    blocks: tuple[MobileBlock, ...]
    stem: int = 32
    features: int = 1280
    activation: Activation = "relu"
    divisor: int = 8

    def __post_init__(self) -> None:
        if not self.blocks:
            raise InvalidGenotype(["got no blocks, expected at least one"])

    def ends(self, channels: int, *, small: bool) -> Ends:
        """Returns stem and last convolution; `channels` and `small` as for `layers`."""
        return Ends(self._scaled(self.stem, channels), self._scaled(self.features, channels), 1 if small else 2)

    def layers(self, channels: int, *, small: bool) -> Iterator[Layer]:
        """Yields the layers in order.

        Args:
            channels: of the stem, before they are rounded; all others are scaled by the same factor.
            small: for small images, as CIFAR's: the stem and the first block that halves the size keep it, so that
                an image's side is divided by 8 instead of 32.
        """
        inputs, halving = self.stem, False
        for index, block in enumerate(self.blocks):
            first = block.stride if halving or not small else 1
            halving = halving or block.stride == 2
            for place in range(block.repeats):
                yield self._layer(index, place, first if place == 0 else 1, inputs, channels)
                inputs = block.channels

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON-ready map of all that there is."""
        return {
            "blocks": [str(block) for block in self.blocks],
            "stem": self.stem,
            "features": self.features,
            "activation": self.activation,
            "divisor": self.divisor,
        }

    def _layer(self, index: int, place: int, stride: int, inputs: int, channels: int) -> Layer:
        block = self.blocks[index]
        keeps = inputs == block.channels and (stride == 1 or block.skip == "pool")
        narrow, wide = self._scaled(inputs, channels), self._scaled(block.channels, channels)
        return Layer(
            name=f"block{index + 1}_{place + 1}",
            block=index,
            place=place,
            operation=block.operation,
            kernel=block.kernel,
            stride=stride,
            inputs=narrow,
            middle=wide if block.operation == "cn" else block.expansion * narrow,
            outputs=wide,
            squeeze=max(1, narrow // SQUEEZE) if block.squeeze else 0,
            skip=block.skip if keeps else "none",
        )

    def _scaled(self, published: int, channels: int) -> int:
        """Returns channels at another width: the nearest multiple of the divisor, never 10 % less (MobileNetV2)."""
        if channels == self.stem:
            return published
        wanted, divisor = published * channels, self.divisor * self.stem
        nearest = max(1, (2 * wanted + divisor) // (2 * divisor))
        return self.divisor * (nearest + (10 * nearest * divisor < 9 * wanted))


def read_block(text: str) -> MobileBlock:
    """Reads a block in timm's notation.

    Raises:
        InvalidGenotype: if it is none.
    """
    match = _BLOCK.fullmatch(text)
    if match is None:
        raise InvalidGenotype([f"got the block {text!r:.60}, expected {_FORM}"])
    skips: dict[str | None, Skip] = {None: "identity", "pool": "pool", "noskip": "none"}
    return MobileBlock(
        operation=cast(Operation, match["operation"]),
        channels=int(match["channels"]),
        repeats=int(match["repeats"]),
        kernel=int(match["kernel"]),
        stride=int(match["stride"]),
        expansion=int(match["expansion"] or 1),
        squeeze=match["squeeze"] is not None,
        skip=skips[match["skip"]],
    )


def read_blocks(text: str, *, source: str | None = None) -> tuple[MobileBlock, ...]:
    """Reads blocks that are divided by white space, commas or `|`.

    Args:
        text: the blocks.
        source: where they came from, e.g. a file's name, for the error.

    Raises:
        InvalidGenotype: naming every block that is wrong.
    """
    blocks, problems = [], list[str]()
    for part in re.split(r"[\s,|]+", text.strip(" \t\r\n,|")):
        try:
            blocks.append(read_block(part))
        except InvalidGenotype as error:
            problems += error.problems
    if problems:
        raise InvalidGenotype(problems, source)
    return tuple(blocks)


def from_json(value: Any, *, source: str | None = None) -> MobileGenotype:
    """Reads a genotype from its JSON form, as `MobileGenotype.to_json` writes it; all but the blocks may be absent.

    Args:
        value: `{"blocks": ["ds_r1_k3_s1_c16", ...], "stem": 32, "features": 1280, "activation": "relu", "divisor": 8}`.
        source: where it came from, e.g. a file's name, for the error.

    Raises:
        InvalidGenotype: naming every key that is wrong, its value, and what was expected.
    """
    if not isinstance(value, Mapping):
        raise InvalidGenotype([f"got {value!r:.60}, expected an object with the keys {', '.join(_KEYS)}"], source)
    problems = [f"{key}: unknown key, expected {', '.join(_KEYS)}" for key in value if key not in _KEYS]
    for key in ("stem", "features", "divisor"):
        number = value.get(key, 1)
        if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= MOST_CHANNELS:
            problems.append(f"{key}: got {number!r:.60}, expected a number of channels from 1 to {MOST_CHANNELS}")
    if value.get("activation", "relu") not in get_args(Activation):
        problems.append(f"activation: got {value['activation']!r:.60}, expected {', '.join(get_args(Activation))}")
    blocks = value.get("blocks")
    if not isinstance(blocks, list | tuple) or not blocks or not all(isinstance(block, str) for block in blocks):
        problems.append(f"blocks: got {blocks!r:.60}, expected a list of blocks, {_FORM}")
    if problems:
        raise InvalidGenotype(problems, source)
    rest = {key: value[key] for key in _KEYS if key in value and key != "blocks"}
    return MobileGenotype(read_blocks(" ".join(value["blocks"]), source=source), **rest)


_KEYS = ("blocks", "stem", "features", "activation", "divisor")
