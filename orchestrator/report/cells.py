"""Draws a cell: its inputs, nodes and output as circles, each operation as a box on its way to its node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from orchestrator.report import benchcell, mobilecell, style
from orchestrator.report.layout import BOX_WIDTH, OUTPUT, RADIUS, Layout, layout

BOX_HEIGHT = 0.3
LINES = (style.BLUE, style.RED, style.GREEN, style.PURPLE, "#7A5C00", style.SKY, style.BLACK)


def drawn(genotype: Mapping[str, Any]) -> Figure | None:
    """Draws the normal and the reduction cell of a genotype, one above the other, or what other networks are made of.

    None if it is of no kind that is known here.
    """
    if "arch" in genotype:
        return benchcell.drawn(genotype["arch"])
    if "blocks" in genotype:
        return mobilecell.drawn(genotype["blocks"])
    if not {"normal", "reduce", "normal_concat", "reduce_concat"} <= set(genotype):
        return None
    cells = {kind: layout(genotype[kind], genotype[f"{kind}_concat"]) for kind in ("normal", "reduce")}
    spans = {kind: _span(cell) for kind, cell in cells.items()}
    width = max(right for right, _, _ in spans.values()) + 0.3
    heights = [high - low + 0.8 for _, low, high in spans.values()]
    figure = style.figure(width, sum(heights) + 0.5)
    grid = figure.subplots(2, 1, squeeze=False, gridspec_kw={"height_ratios": heights})
    for axes, (kind, cell), height in zip(grid[:, 0], cells.items(), heights, strict=True):
        _, low, high = spans[kind]
        middle = (low + high) / 2
        axes.set(xlim=(0, width), ylim=(middle + height / 2, middle - height / 2), aspect="equal")
        axes.set_axis_off()
        axes.set_title(f"{'reduction' if kind == 'reduce' else kind} cell", loc="left", fontsize=11)
        _draw(axes, cell)
    return figure


def kind(genotype: Mapping[str, Any]) -> str:
    """What `drawn` shows of a genotype."""
    if "blocks" in genotype:
        return "Blocks"
    return "Cell" if "arch" in genotype else "Normal and reduction cell"


def told(genotype: Mapping[str, Any]) -> str:
    """The same in words, for those who cannot see it: what each node adds, inputs being the two cells before."""
    if "arch" in genotype:
        return benchcell.told(genotype["arch"])
    if "blocks" in genotype:
        return mobilecell.told(genotype["blocks"])
    return " ".join(
        f"{name} cell: {_nodes(genotype[key])}." for name, key in (("Normal", "normal"), ("Reduction", "reduce"))
    )


def _nodes(edges: Sequence[Sequence[Any]]) -> str:
    """What the two edges of each node are, e.g. `node 0 adds sep conv 3x3 of the cell before and skip of node 1`."""
    sources = {0: "the cell before the last", 1: "the last cell"}
    words = [f"{str(name).replace('_', ' ')} of {sources.get(source, f'node {source - 2}')}" for name, source in edges]
    return "; ".join(f"node {at // 2} adds {words[at]} and {words[at + 1]}" for at in range(0, len(words), 2))


def _span(cell: Layout) -> tuple[float, float, float]:
    """Right edge, lowest and highest of a cell's positions."""
    ys = [y for _, y in cell.place.values()]
    return max(x for x, _ in cell.place.values()) + RADIUS, min(ys), max(ys)


def _draw(axes: Axes, cell: Layout) -> None:
    for line in cell.lines:
        _draw_line(axes, cell, line)
    for vertex, kind in cell.kind.items():
        if kind != "waypoint":
            _draw_vertex(axes, cell, vertex)


def _draw_line(axes: Axes, cell: Layout, line: list[str]) -> None:
    """A smooth line from left to right through its waypoints; its colour says from which state it comes."""
    points, codes = [_right(cell, line[0])], [Path.MOVETO]
    for vertex in line[1:]:
        start, end = points[-1], _left(cell, vertex)
        middle = (start[0] + end[0]) / 2
        points += [(middle, start[1]), (middle, end[1]), end]
        codes += [Path.CURVE4] * 3
        if cell.kind[vertex] == "waypoint":
            points.append(_right(cell, vertex))
            codes.append(Path.LINETO)
    last = cell.kind[line[-1]] == "state"
    patch = FancyArrowPatch(
        path=Path(points, codes),
        arrowstyle="-|>,head_width=2.5,head_length=5" if last else "-",
        color=_colour(cell, line),
        linewidth=1.4,
        linestyle="--" if _nothing(cell, line) else "-",
        zorder=1,
    )
    axes.add_patch(patch)


def _draw_vertex(axes: Axes, cell: Layout, vertex: str) -> None:
    x, y = cell.place[vertex]
    if cell.kind[vertex] == "operation":
        corner = (x - BOX_WIDTH / 2, y - BOX_HEIGHT / 2)
        style_of = "round,pad=0,rounding_size=0.08"
        axes.add_patch(
            FancyBboxPatch(corner, BOX_WIDTH, BOX_HEIGHT, style_of, facecolor="#F6F3EA", edgecolor="#8A8470", zorder=2)
        )
    else:
        inner = vertex not in {"state 0", "state 1", OUTPUT}
        axes.add_patch(
            Circle((x, y), RADIUS, facecolor="#DCEBF5" if inner else "#E3F1E6", edgecolor="#333333", zorder=2)
        )
    size = 8 if cell.kind[vertex] == "operation" else 10
    axes.text(x, y, cell.label[vertex], ha="center", va="center", fontsize=size, color=style.BLACK, zorder=3)


def _left(cell: Layout, vertex: str) -> tuple[float, float]:
    x, y = cell.place[vertex]
    return x - cell.half[vertex], y


def _right(cell: Layout, vertex: str) -> tuple[float, float]:
    x, y = cell.place[vertex]
    return x + cell.half[vertex], y


def _nothing(cell: Layout, line: list[str]) -> bool:
    """Whether a line carries only zeros."""
    return any(cell.label[vertex] == "none" for vertex in line if cell.kind[vertex] == "operation")


def _colour(cell: Layout, line: list[str]) -> str:
    """The colour of the state that a line comes from; the short way from an operation to its node is grey."""
    if cell.kind[line[0]] == "operation":
        return "#777777"
    return LINES[int(line[0].split()[1]) % len(LINES)]
