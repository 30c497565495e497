"""Draws a mobile network: a row for each block of layers, a box for each layer, wider for more channels."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from orchestrator.report import style
from strategies.spaces.mobile import MobileBlock, read_block

HEIGHT, GAP = 0.42, 0.16
COLOURS: Final = {"cn": "#F3D9B1", "ds": "#CFE8F6", "ir": "#D5EBDD"}
_NAMES: Final = {"cn": "convolution", "ds": "depthwise separable convolution", "ir": "inverted residual"}
_SKIPS: Final = {"identity": "adds its input", "pool": "adds its pooled input", "none": "adds nothing"}


def drawn(blocks: Sequence[str]) -> Figure:
    """Draws blocks in timm's notation, from the stem down; a box that is dashed halves the size."""
    figure = style.figure(7.4, 0.5 + (HEIGHT + GAP) * len(blocks))
    axes = figure.add_subplot()
    axes.set(xlim=(-0.1, 7.3), ylim=((HEIGHT + GAP) * len(blocks), -GAP))
    axes.set_axis_off()
    for row, text in enumerate(blocks):
        _row(axes, (HEIGHT + GAP) * row, read_block(text))
    return figure


def told(blocks: Sequence[str]) -> str:
    """The network in words, for those who cannot see it."""
    return " ".join(f"Block {number}: {_told(read_block(text))}." for number, text in enumerate(blocks, start=1))


def short(block: MobileBlock) -> str:
    """What a block's layers are, e.g. `MBConv6 5x5 SE, 40 channels, stride 2, skip`."""
    kind = {"cn": "conv", "ds": "dconv", "ir": f"MBConv{block.expansion}"}[block.operation]
    squeeze = " SE" if block.squeeze else ""
    skip = {"identity": ", skip", "pool": ", pooled skip", "none": ""}[block.skip]
    stride = f", stride {block.stride}" if block.stride > 1 else ""
    return f"{kind} {block.kernel}x{block.kernel}{squeeze}, {block.channels} channels{stride}{skip}"


def _told(block: MobileBlock) -> str:
    layers = "one layer" if block.repeats == 1 else f"{block.repeats} layers"
    expansion = f" of expansion {block.expansion}" if block.operation == "ir" else ""
    squeeze = ", squeeze and excitation" if block.squeeze else ""
    stride = ", the first halves the size" if block.stride > 1 else ""
    what = f"{_NAMES[block.operation]} {block.kernel}x{block.kernel}{expansion}{squeeze}"
    return f"{layers}, {what}, {block.channels} channels{stride}; a layer {_SKIPS[block.skip]}"


def _row(axes: Axes, top: float, block: MobileBlock) -> None:
    width, left = 0.09 * log2(1 + block.channels), 0.0
    for place in range(block.repeats):
        halves = place == 0 and block.stride > 1
        box = FancyBboxPatch(
            (left, top),
            width,
            HEIGHT,
            "round,pad=0,rounding_size=0.06",
            facecolor=COLOURS[block.operation],
            edgecolor=style.BLACK,
            linestyle="--" if halves else "-",
            linewidth=1.6 if halves else 0.8,
        )
        axes.add_patch(box)
        left += width + 0.08
    axes.text(left + 0.1, top + HEIGHT / 2, short(block), ha="left", va="center", fontsize=9, color=style.BLACK)
