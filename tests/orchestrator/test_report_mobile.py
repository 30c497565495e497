"""The drawing of a mobile network in a report: a box for every layer, nothing cut off, and the same in words."""

from __future__ import annotations

from matplotlib.patches import FancyBboxPatch

from orchestrator.report import cells
from store.records.candidates import Architecture
from strategies.spaces.mnas import MnasSpace
from strategies.spaces.published_mobile import PUBLISHED_MOBILE


def test_a_mobile_network_is_drawn_with_all_layers_and_those_that_halve_the_size_are_dashed() -> None:
    genotype = PUBLISHED_MOBILE["MnasNet-A1"].to_json()
    figure = cells.drawn(genotype)
    assert figure is not None
    boxes = [patch for patch in figure.axes[0].patches if isinstance(patch, FancyBboxPatch)]
    assert [box.get_linestyle() for box in boxes].count("--") == 4
    assert len(boxes) == 1 + 2 + 3 + 4 + 2 + 3 + 1
    labels = [text.get_text() for text in figure.axes[0].texts]
    assert labels[0] == "dconv 3x3, 16 channels"
    assert labels[2] == "MBConv3 5x5 SE, 40 channels, stride 2, skip"
    assert cells.kind(genotype) == "Blocks"


def test_nothing_in_the_widest_drawing_of_the_space_is_cut_off() -> None:
    """Of each block the most layers, the most channels and the longest words."""
    space, genes = MnasSpace(), [3, 1, 1, 0, 2, 1]
    figure = cells.drawn(space.describe(Architecture(space="mnas", genes=tuple(genes * 7))))
    assert figure is not None
    figure.draw_without_rendering()
    width, height = figure.bbox.size
    extents = [text.get_window_extent().extents for text in figure.axes[0].texts]
    assert all(box[0] >= 0 and box[1] >= 0 and box[2] <= width and box[3] <= height for box in extents)


def test_a_mobile_network_is_told_in_words() -> None:
    words = cells.told(PUBLISHED_MOBILE["MnasNet-A1"].to_json())
    assert words.startswith(
        "Block 1: one layer, depthwise separable convolution 3x3, 16 channels; a layer adds nothing. Block 2: 2 layers,"
    )
    assert "Block 3: 3 layers, inverted residual 5x5 of expansion 3, squeeze and excitation, 40 channels, the" in words
