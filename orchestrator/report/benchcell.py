"""Draws a cell of NAS-Bench-201: four nodes in a row, and an arc with its operation for every pair of them."""

from __future__ import annotations

from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch
from matplotlib.path import Path

from orchestrator.report import style
from strategies.spaces.nasbench201 import BenchGenotype

RADIUS = 0.26
STEP = 2.1
LIFTS: Final = {(1, 0): 0.0, (2, 1): 0.0, (3, 2): 0.0, (2, 0): 1.15, (3, 1): -1.15, (3, 0): 2.1}
"""How high the arc into a node from an earlier one rises, so that no two cross: 0 to 2 above, 1 to 3 below."""
COLOURS: Final = {
    "skip_connect": style.GREY,
    "nor_conv_1x1": style.ORANGE,
    "nor_conv_3x3": style.BLUE,
    "avg_pool_3x3": style.GREEN,
    "none": "#B8B8B8",
}
NAMES: Final = {
    "skip_connect": "skip",
    "nor_conv_1x1": "conv 1x1",
    "nor_conv_3x3": "conv 3x3",
    "avg_pool_3x3": "avg pool 3x3",
    "none": "none",
}


def drawn(text: str) -> Figure:
    """Draws the cell that the benchmark's string stands for; an edge `none` is dotted."""
    figure = style.figure(7.4, 3.9)
    axes = figure.add_subplot()
    axes.set(xlim=(-0.5, 3 * STEP + 0.5), ylim=(-1.2, 2.35), aspect="equal")
    axes.set_axis_off()
    for node, edges in enumerate(BenchGenotype.from_string(text).nodes, start=1):
        for operation, source in edges:
            _arc(axes, source, node, operation)
    for node in range(4):
        _node(axes, node)
    return figure


def told(text: str) -> str:
    """The cell in words, for those who cannot see it: what each node adds up."""
    nodes = BenchGenotype.from_string(text).nodes
    sums = [[f"{NAMES[name]} of node {source}" for name, source in edges if name != "none"] for edges in nodes]
    parts = [f"node {node} adds {' and '.join(found) or 'nothing'}" for node, found in enumerate(sums, start=1)]
    return f"Node 0 is the input, node 3 the output; {'; '.join(parts)}."


def _node(axes: Axes, node: int) -> None:
    inner = 0 < node < 3
    axes.add_patch(
        Circle((STEP * node, 0), RADIUS, facecolor="#DCEBF5" if inner else "#E3F1E6", edgecolor="#333333", zorder=3)
    )
    axes.text(STEP * node, 0, str(node), ha="center", va="center", fontsize=11, color=style.BLACK, zorder=4)


def _arc(axes: Axes, source: int, node: int, operation: str) -> None:
    lift, none = LIFTS[node, source], operation == "none"
    start, end = _ends(source, node, lift)
    control = 4 / 3 * lift
    path = Path(
        [start, (start[0] + 0.15 * STEP, control), (end[0] - 0.15 * STEP, control), end],
        [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4],
    )
    axes.add_patch(
        FancyArrowPatch(
            path=path,
            arrowstyle="-|>,head_width=3,head_length=6",
            color=COLOURS[operation],
            linewidth=1.2 if none else 2.0,
            linestyle=":" if none else "-",
            zorder=1,
        )
    )
    top = (start[1] + 3 * control + 3 * control + end[1]) / 8
    axes.text(
        (start[0] + end[0]) / 2,
        top,
        NAMES[operation],
        ha="center",
        va="center",
        fontsize=9,
        color="#777777" if none else style.BLACK,
        bbox={"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": COLOURS[operation], "linewidth": 0.8},
        zorder=2,
    )


def _ends(source: int, node: int, lift: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where an arc leaves its node and where it comes in: level between neighbours, else on the side of its arc."""
    if lift == 0:
        return (STEP * source + RADIUS, 0.0), (STEP * node - RADIUS, 0.0)
    slant = 0.75 * RADIUS if lift > 0 else -0.75 * RADIUS
    return (STEP * source + 0.66 * RADIUS, slant), (STEP * node - 0.66 * RADIUS, slant)
