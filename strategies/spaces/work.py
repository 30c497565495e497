"""How long a step of training takes, relative to other networks of a space, without building them.

The numbers are times of a forward and backward pass, with one operation in place of the skip connections throughout a
network, less the time with skip connections alone: the least of 18 repetitions or more, one CPU thread, batch 96, 8
channels, 8 x 8 pixels, 20 cells (NAS-Bench-201: 17). Their unit is one separable (NAS-Bench-201: one plain) 3x3
convolution. They are rounded, and meant for putting jobs in order, not for a forecast; at 16 channels and on a GPU the
ratios are others. The size of a depthwise kernel made next to no difference. Rank correlation with the times of random
networks, timed in the same way (8 cells; NAS-Bench-201: 5): 0.96 for 24 of `cell`, 0.91 for 24 of it with 13
operations, 0.97 for 50 of `nasbench201`. Of mobile networks see `of_mobile`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from strategies.spaces.genotype import Genotype, Nodes

if TYPE_CHECKING:
    from strategies.spaces.mobile import MobileGenotype
    from strategies.spaces.nasbench201 import BenchGenotype

CELL_WORK: Mapping[str, float] = MappingProxyType(
    {
        "none": 0.0,
        "skip_connect": 0.0,
        "avg_pool_3x3": 0.05,
        "max_pool_3x3": 0.05,
        "max_pool_5x5": 0.05,
        "max_pool_7x7": 0.05,
        "conv_1x1": 0.2,
        "conv_3x3": 0.75,
        "conv_3x1_1x3": 1.4,
        "conv_7x1_1x7": 1.75,
        "dil_conv_3x3": 0.45,
        "dil_conv_5x5": 0.45,
        "sep_conv_3x3": 1.0,
        "sep_conv_5x5": 1.0,
        "sep_conv_7x7": 1.05,
    }
)
CONCAT_WORK = 0.35
"""For each node in a cell's output: the cells that follow read it through two 1x1 convolutions."""
REDUCTION_SHARE = 0.1
"""What a reduction cell counts beside a normal one: there are few, and most of it is on a quarter of the pixels."""
BENCH_WORK: Mapping[str, float] = MappingProxyType(
    {"none": 0.0, "skip_connect": 0.0, "avg_pool_3x3": 0.1, "nor_conv_1x1": 0.35, "nor_conv_3x3": 1.0}
)
REST_OF_CELLS, REST_OF_BENCH = 0.4, 1.0
"""What does not depend on the architecture: stem, head, NAS-Bench-201's fixed reductions."""
MOBILE_CHANNELS, MOBILE_SIDE = 8, 8
"""Stem and pixels of a side for which the work of a mobile network is counted."""
POINTWISE_WORK, DENSE_WORK, SQUEEZED_WORK = 6e-5, 2.5e-5, 2e-3
"""Of one multiply-add of a pointwise and of another convolution, and of one number that squeeze and excitation scales;
the unit is one layer with nothing in it. Depthwise convolutions made no difference beside the layers around them."""


def of_cells(genotype: Genotype) -> float:
    """Returns the work of a network of a normal and a reduction cell."""
    normal = _of_cell(genotype.normal, genotype.normal_concat)
    return REST_OF_CELLS + normal + REDUCTION_SHARE * _of_cell(genotype.reduce, genotype.reduce_concat)


def of_bench(genotype: BenchGenotype) -> float:
    """Returns the work of a network of NAS-Bench-201; what cannot reach its output is not computed."""
    live = {len(genotype.nodes)}
    for node in range(len(genotype.nodes), 0, -1):
        live |= {source for name, source in genotype.nodes[node - 1] if node in live and name != "none"}
    computed = (name for node, edges in enumerate(genotype.nodes, 1) if node in live for name, _ in edges)
    return REST_OF_BENCH + sum(BENCH_WORK[name] for name in computed)


def of_mobile(genotype: MobileGenotype) -> float:
    """Returns the work of a mobile network: of every layer a constant, its convolutions, its squeeze and excitation.

    The constants are a least-squares fit to the times of 40 random networks (8 x 8 pixels, stem of 8 channels, batch
    96, on a busy machine) and of 32 others. For the latter the rank correlation with the times was 0.90 by the fit to
    the former, that of two halves of the repetitions 0.93, and that of the multiply-adds 0.65.
    """
    side, work = MOBILE_SIDE, 0.0
    for layer in genotype.layers(MOBILE_CHANNELS, small=True):
        before, side = side**2, -(-side // layer.stride)
        after = side**2
        dense = layer.kernel**2 * layer.inputs * layer.outputs * after if layer.operation == "cn" else 0
        pointwise = 0 if dense else layer.middle * layer.outputs * after
        if layer.operation == "ir":
            pointwise += layer.inputs * layer.middle * before
        squeezed = layer.middle * after if layer.squeeze else 0
        work += 1 + POINTWISE_WORK * pointwise + DENSE_WORK * dense + SQUEEZED_WORK * squeezed
    return work


def _of_cell(nodes: Nodes, concat: tuple[int, ...]) -> float:
    return sum(CELL_WORK[name] for node in nodes for name, _ in node) + CONCAT_WORK * len(concat)
