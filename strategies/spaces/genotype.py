"""Cell genotypes in DARTS notation: which operation joins which states in the normal and the reduction cell.

A cell has two inputs, states 0 (output of the cell before the last) and 1 (output of the last cell), and nodes from 2.
A node is the sum of two operations, each applied to an earlier state. The nodes of the concat list make the output.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

from strategies.errors import InvalidGenotype

Edge: TypeAlias = tuple[str, int]
"""An operation's name and the state that it reads."""
Node: TypeAlias = tuple[Edge, Edge]
Nodes: TypeAlias = tuple[Node, ...]

FIRST_NODE = 2
"""Number of a cell's first node; the states below it are the cell's inputs."""

DARTS_OPERATIONS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
"""The 8 operations of DARTS, in the order of its `PRIMITIVES`; EcoNAS searches them (A5.1)."""
NASNET_OPERATIONS = (
    "skip_connect",
    "conv_3x1_1x3",
    "conv_7x1_1x7",
    "dil_conv_3x3",
    "avg_pool_3x3",
    "max_pool_3x3",
    "max_pool_5x5",
    "max_pool_7x7",
    "conv_1x1",
    "conv_3x3",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "sep_conv_7x7",
)
"""The 13 operations of NASNet, from which EcoNAS's model zoo is drawn (A3)."""
OPERATIONS = tuple(dict.fromkeys(DARTS_OPERATIONS + NASNET_OPERATIONS))
"""Every operation that a genotype may name."""


@dataclass(frozen=True)
class Genotype:
    """A normal and a reduction cell. Equal values are equal networks.

    Attributes:
        normal: nodes of the normal cell; the first is state 2.
        reduce: nodes of the reduction cell, whose operations on states 0 and 1 have stride 2.
        normal_concat: nodes that are concatenated, in ascending order.
        reduce_concat: the same for the reduction cell.

    Raises:
        InvalidGenotype: if an operation is unknown, an edge reads a state that is not earlier, or a concat list is
            empty, unordered or names something that is not a node.
    """

    normal: Nodes
    reduce: Nodes
    normal_concat: tuple[int, ...]
    reduce_concat: tuple[int, ...]

    def __post_init__(self) -> None:
        problems = [
            *_node_problems("normal", self.normal),
            *_node_problems("reduce", self.reduce),
            *_concat_problems("normal_concat", self.normal_concat, self.normal),
            *_concat_problems("reduce_concat", self.reduce_concat, self.reduce),
        ]
        if problems:
            raise InvalidGenotype(problems)

    def with_concat(self, rule: str) -> Genotype:
        """Returns the same cells with both concat lists by a rule, `"loose"` or `"all"`."""
        normal, reduce = concat(self.normal, rule), concat(self.reduce, rule)
        return Genotype(self.normal, self.reduce, normal, reduce)

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON-ready map that `from_json` reads."""
        return {
            "normal": [list(edge) for node in self.normal for edge in node],
            "reduce": [list(edge) for node in self.reduce for edge in node],
            "normal_concat": list(self.normal_concat),
            "reduce_concat": list(self.reduce_concat),
        }


def loose_ends(nodes: Nodes) -> tuple[int, ...]:
    """Returns the nodes that no other node reads, in ascending order (EcoNAS A5.1; cell inputs never count)."""
    read = {state for node in nodes for _, state in node}
    return tuple(number for number in all_nodes(nodes) if number not in read)


def all_nodes(nodes: Nodes) -> tuple[int, ...]:
    """Returns every node's number, in ascending order."""
    return tuple(range(FIRST_NODE, FIRST_NODE + len(nodes)))


def concat(nodes: Nodes, rule: str) -> tuple[int, ...]:
    """Returns the concat list by a rule: `"loose"` for the loose ends, `"all"` for every node.

    Raises:
        InvalidGenotype: if the rule has another name.
    """
    if rule == "loose":
        return loose_ends(nodes)
    if rule == "all":
        return all_nodes(nodes)
    raise InvalidGenotype([f"concat: got {rule!r}, expected 'loose' or 'all'"])


def from_json(value: Any, *, source: str | None = None) -> Genotype:
    """Reads a genotype from its JSON form.

    Args:
        value: `{"normal": [["sep_conv_3x3", 0], ...], "reduce": [...], "normal_concat": [2, 3] | "loose" | "all",
            "reduce_concat": ...}`, two pairs for each node.
        source: where it came from, e.g. a file's name, for the error.

    Raises:
        InvalidGenotype: naming every key that is wrong, its value, and what was expected.
    """
    if not isinstance(value, Mapping):
        raise InvalidGenotype([f"got {_short(value)}, expected an object with the keys {', '.join(_KEYS)}"], source)
    problems = [f"{key}: unknown key, expected {', '.join(_KEYS)}" for key in value if key not in _KEYS]
    problems += [f"{key}: missing" for key in _KEYS if key not in value]
    cells = {key: _read_nodes(key, value[key], problems) for key in ("normal", "reduce") if key in value}
    lists = {
        key: _read_concat(key, value[key], cells.get(key.removesuffix("_concat")), problems)
        for key in ("normal_concat", "reduce_concat")
        if key in value
    }
    if problems:
        raise InvalidGenotype(problems, source)
    return Genotype(cells["normal"], cells["reduce"], lists["normal_concat"], lists["reduce_concat"])


_KEYS = ("normal", "reduce", "normal_concat", "reduce_concat")


def _read_nodes(key: str, value: Any, problems: list[str]) -> Nodes:
    if not isinstance(value, list | tuple) or not value or len(value) % 2:
        problems.append(f"{key}: got {_short(value)}, expected a list of [operation, state] pairs, two for each node")
        return ()
    bad = [index for index, edge in enumerate(value) if not _is_edge(edge)]
    problems += [f"{key}[{index}]: got {_short(value[index])}, expected [operation, state]" for index in bad]
    if bad:
        return ()
    edges = [(edge[0], edge[1]) for edge in value]
    nodes = tuple((edges[index], edges[index + 1]) for index in range(0, len(edges), 2))
    wrong = _node_problems(key, nodes)
    problems += wrong
    return () if wrong else nodes


def _read_concat(key: str, value: Any, nodes: Nodes | None, problems: list[str]) -> tuple[int, ...]:
    if value in ("loose", "all"):
        return concat(nodes or (), value)
    if not isinstance(value, list | tuple) or not all(_is_integer(number) for number in value):
        problems.append(f"{key}: got {_short(value)}, expected a list of node numbers, 'loose' or 'all'")
        return ()
    numbers = tuple(sorted(value))
    if nodes:
        problems += _concat_problems(key, numbers, nodes)
    return numbers


def _node_problems(key: str, nodes: Nodes) -> list[str]:
    problems = [] if nodes else [f"{key}: got no nodes, expected at least one"]
    for index, (operation, state) in enumerate(edge for node in nodes for edge in node):
        node = FIRST_NODE + index // 2
        if operation not in OPERATIONS:
            problems.append(f"{key}[{index}]: got operation {operation!r}, expected one of {', '.join(OPERATIONS)}")
        if not 0 <= state < node:
            problems.append(f"{key}[{index}]: got state {state}, expected 0 to {node - 1}, a state before node {node}")
    return problems


def _concat_problems(key: str, numbers: tuple[int, ...], nodes: Nodes) -> list[str]:
    known = all_nodes(nodes)
    if numbers and set(numbers) <= set(known) and all(a < b for a, b in pairwise(numbers)):
        return []
    last = known[-1] if known else FIRST_NODE
    return [f"{key}: got {list(numbers)}, expected different node numbers from {FIRST_NODE} to {last}, ascending"]


def _is_edge(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and isinstance(value[0], str) and _is_integer(value[1])


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
