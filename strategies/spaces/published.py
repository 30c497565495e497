"""Genotypes from the literature, by name, as DARTS's and SETN's public code write them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from strategies.spaces.genotype import Genotype, Nodes

_SHORT = {
    "s3": "sep_conv_3x3",
    "s5": "sep_conv_5x5",
    "s7": "sep_conv_7x7",
    "d3": "dil_conv_3x3",
    "d5": "dil_conv_5x5",
    "sk": "skip_connect",
    "mx": "max_pool_3x3",
    "av": "avg_pool_3x3",
    "c7": "conv_7x1_1x7",
    "c3": "conv_3x1_1x3",
}


def _cell(text: str) -> Nodes:
    """Reads nodes divided by `|`, each `operation state, operation state`."""
    edges = [[edge.split() for edge in node.split(",")] for node in text.split("|")]
    return tuple(((_SHORT[a[0]], int(a[1])), (_SHORT[b[0]], int(b[1]))) for a, b in edges)


PUBLISHED: Mapping[str, Genotype] = MappingProxyType(
    {
        "DARTS_V1": Genotype(
            normal=_cell("s3 1, s3 0 | sk 0, s3 1 | sk 0, s3 1 | s3 0, sk 2"),
            reduce=_cell("mx 0, mx 1 | sk 2, mx 0 | mx 0, sk 2 | sk 2, av 0"),
            normal_concat=(2, 3, 4, 5),
            reduce_concat=(2, 3, 4, 5),
        ),
        "DARTS_V2": Genotype(
            normal=_cell("s3 0, s3 1 | s3 0, s3 1 | s3 1, sk 0 | sk 0, d3 2"),
            reduce=_cell("mx 0, mx 1 | sk 2, mx 1 | mx 0, sk 2 | sk 2, mx 1"),
            normal_concat=(2, 3, 4, 5),
            reduce_concat=(2, 3, 4, 5),
        ),
        "NASNet": Genotype(
            normal=_cell("s5 1, s3 0 | s5 0, s3 0 | av 1, sk 0 | av 0, av 0 | s3 1, sk 1"),
            reduce=_cell("s5 1, s7 0 | mx 1, s7 0 | av 1, s5 0 | sk 3, av 2 | s3 2, mx 1"),
            normal_concat=(2, 3, 4, 5, 6),
            reduce_concat=(4, 5, 6),
        ),
        "AmoebaNet": Genotype(
            normal=_cell("av 0, mx 1 | s3 0, s5 2 | s3 0, av 3 | s3 1, sk 1 | sk 0, av 1"),
            reduce=_cell("av 0, s3 1 | mx 0, s7 2 | s7 0, av 1 | mx 0, mx 1 | c7 0, s3 5"),
            normal_concat=(4, 5, 6),
            reduce_concat=(3, 4, 6),
        ),
        "SETN": Genotype(
            normal=_cell("sk 0, s5 1 | s5 0, s3 1 | s5 1, s5 3 | mx 1, c3 4"),
            reduce=_cell("s3 0, s5 1 | av 0, s5 1 | av 0, s5 1 | av 0, sk 1"),
            normal_concat=(2, 3, 4, 5),
            reduce_concat=(2, 3, 4, 5),
        ),
    }
)
"""DARTS (first and second order), NASNet-A, AmoebaNet-A and SETN."""
