"""Where the parts of a cell stand in its drawing: layers from left to right, no line through a box.

Each operation is a box of its own in front of the node that it feeds. A line that passes over layers gets a waypoint in
each of them, and waypoints take part in the ordering like boxes do (Sugiyama's method).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import networkx as nx

OUTPUT = "output"
HEIGHTS = {"state": 0.62, "operation": 0.46, "waypoint": 0.34}
RADIUS, BOX_WIDTH = 0.24, 1.22
WIDTHS = (1.1, 1.65)
SWEEPS = 12
FIRST_NODE = 2


@dataclass(slots=True)
class Layout:
    """Positions in inches, y downwards: `place` and `half` (half its width) by vertex, lines from left to right."""

    place: dict[str, tuple[float, float]] = field(default_factory=dict)
    kind: dict[str, str] = field(default_factory=dict)
    label: dict[str, str] = field(default_factory=dict)
    half: dict[str, float] = field(default_factory=dict)
    lines: list[list[str]] = field(default_factory=list)
    layers: list[list[str]] = field(default_factory=list)


def layout(edges: Sequence[Sequence[Any]], concat: Sequence[int]) -> Layout:
    """Lays a cell out.

    Args:
        edges: `(operation, state)` pairs, two for each node in order; states 0 and 1 are the cell's inputs.
        concat: the nodes that make the output.
    """
    made, layer = Layout(), _layers(edges, concat)
    for number in range(FIRST_NODE + len(edges) // 2):
        _add(made, _state(number), "state", ("$c_{k-2}$", "$c_{k-1}$")[number] if number < 2 else str(number - 2))
    _add(made, OUTPUT, "state", "$c_k$")
    for index, (operation, source) in enumerate(edges):
        box, target = f"operation {index}", _state(FIRST_NODE + index // 2)
        _add(made, box, "operation", str(operation).replace("_", " "))
        layer[box] = layer[target] - 1
        made.lines += [_line(made, layer, _state(source), box), [box, target]]
    made.lines += [_line(made, layer, _state(number), OUTPUT) for number in concat]
    made.layers = [[] for _ in range(layer[OUTPUT] + 1)]
    for vertex in made.kind:
        made.layers[layer[vertex]].append(vertex)
    _order(made)
    _settle(made)
    return made


def _state(number: int) -> str:
    return f"state {number}"


def _add(made: Layout, vertex: str, kind: str, label: str = "") -> None:
    made.kind[vertex], made.label[vertex] = kind, label


def _layers(edges: Sequence[Sequence[Any]], concat: Sequence[int]) -> dict[str, int]:
    """Layer of each state: twice its longest distance from the inputs; operations stand in the odd layers between.

    The output has no operations before it, so it stands in the layer after the last node's.
    """
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from([_state(0), _state(1)])
    for index, (_, source) in enumerate(edges):
        graph.add_edge(_state(source), _state(FIRST_NODE + index // 2))
    graph.add_edges_from((_state(number), OUTPUT) for number in concat)
    depth = {
        vertex: number for number, generation in enumerate(nx.topological_generations(graph)) for vertex in generation
    }
    return {vertex: 2 * number for vertex, number in depth.items()} | {OUTPUT: 2 * max(depth.values()) - 1}


def _line(made: Layout, layer: dict[str, int], source: str, target: str) -> list[str]:
    """Adds a waypoint in each layer that a line crosses."""
    through = []
    for number in range(layer[source] + 1, layer[target]):
        waypoint = f"{source} to {target} at {number}"
        _add(made, waypoint, "waypoint")
        layer[waypoint] = number
        through.append(waypoint)
    return [source, *through, target]


def _neighbours(made: Layout) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {vertex: [] for vertex in made.kind}
    for line in made.lines:
        for left, right in pairwise(line):
            found[left].append(right)
            found[right].append(left)
    return found


def _order(made: Layout) -> None:
    """Orders each layer by the mean place of its neighbours in the layer before, then after, a few times over."""
    joined = _neighbours(made)
    rank = {vertex: number for layer in made.layers for number, vertex in enumerate(layer)}
    for sweep in range(SWEEPS):
        for before, layer in _pairs(made.layers, forward=sweep % 2 == 0):
            means = {vertex: _mean([rank[v] for v in joined[vertex] if v in before], rank[vertex]) for vertex in layer}
            layer.sort(key=lambda vertex, means=means: means[vertex])  # type: ignore[misc]
            rank.update({vertex: number for number, vertex in enumerate(layer)})


def _pairs(layers: list[list[str]], *, forward: bool) -> list[tuple[set[str], list[str]]]:
    line = layers if forward else layers[::-1]
    return [(set(before), layer) for before, layer in pairwise(line)]


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _settle(made: Layout) -> None:
    """Gives heights: each vertex as near to its neighbours' mean as the boxes beside it allow."""
    joined = _neighbours(made)
    y = {vertex: float(number) for layer in made.layers for number, vertex in enumerate(layer)}
    for sweep in range(2 * SWEEPS):
        for _, layer in _pairs([[], *made.layers, []], forward=sweep % 2 == 0):
            wanted = [_mean([y[v] for v in joined[vertex]], y[vertex]) for vertex in layer]
            y.update(zip(layer, _apart(wanted, [HEIGHTS[made.kind[v]] for v in layer]), strict=True))
    for number, layer in enumerate(made.layers):
        made.half.update({vertex: _half(made.kind[vertex], number) for vertex in layer})
    x = _columns(made)
    made.place = {vertex: (x[number], y[vertex]) for number, layer in enumerate(made.layers) for vertex in layer}


def _apart(wanted: Sequence[float], heights: Sequence[float]) -> list[float]:
    """Keeps the order and the room of a layer's vertices, moving each block as little as possible on the whole."""
    blocks: list[tuple[list[float], list[float]]] = []  # offsets within a block, and where each would put its start
    for want, height in zip(wanted, heights, strict=True):
        blocks.append(([height / 2, height], [want - height / 2]))
        while len(blocks) > 1 and _start(blocks[-2]) + blocks[-2][0][-1] > _start(blocks[-1]):
            offsets, starts = blocks.pop()
            before, earlier = blocks[-1]
            length = before.pop()
            before += [length + offset for offset in offsets]
            earlier += [start - length for start in starts]
    return [_start(block) + offset for block in blocks for offset in block[0][:-1]]


def _start(block: tuple[list[float], list[float]]) -> float:
    return sum(block[1]) / len(block[1])


def _half(kind: str, layer: int) -> float:
    """Half a vertex's width; a waypoint is as wide as what stands beside it, so that its line passes level."""
    if kind == "waypoint":
        return BOX_WIDTH / 2 if layer % 2 else RADIUS
    return RADIUS if kind == "state" else BOX_WIDTH / 2


def _columns(made: Layout) -> list[float]:
    """Centres of the layers: states and operations alternate, operations need the room of their names."""
    centres, edge = [], 0.0
    for number in range(len(made.layers)):
        width = WIDTHS[number % 2]
        centres.append(edge + width / 2)
        edge += width
    return centres
