"""Networks by genotype and shape: what is built, and in which form it runs."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch

from strategies.spaces.genotype import Genotype
from strategies.spaces.mobile import MobileGenotype
from strategies.spaces.nasbench201 import BenchGenotype
from trainers.networks.base import Network, Scores
from trainers.networks.batch_last import BatchLast
from trainers.networks.bench import BenchNetwork
from trainers.networks.cell_network import CellNetwork
from trainers.networks.forms import ChannelsLast, Form, Plain
from trainers.networks.initial import initialise
from trainers.networks.mobile import MobileNetwork
from trainers.networks.shape import Shape

__all__ = ("AnyGenotype", "FormName", "Network", "Scores", "build", "fastest", "make")

_WIDE, _LARGE, _MANY_CONVOLUTIONS = 16, 16, 2
"""Channels, pixels of a side and 3 x 3 convolutions of a cell from which on `fastest` goes by the library's."""

AnyGenotype: TypeAlias = Genotype | BenchGenotype | MobileGenotype
"""What `build` makes networks of: what a space decodes architectures to."""
FormName = Literal["plain", "channels_last", "batch_last"]
_FORMS: dict[FormName, type[Form]] = {"plain": Plain, "channels_last": ChannelsLast, "batch_last": BatchLast}


def make(genotype: AnyGenotype, shape: Shape, form: Form) -> Network:
    """Returns the network of a genotype, its convolutions and linear layers uninitialised.

    Raises:
        ImpossibleSetting: if a network of this kind cannot have the shape.
    """
    if isinstance(genotype, BenchGenotype):
        return BenchNetwork(genotype, shape, form)
    if isinstance(genotype, MobileGenotype):
        return MobileNetwork(genotype, shape, form)
    return CellNetwork(genotype, shape, form)


def build(
    genotype: AnyGenotype,
    shape: Shape,
    *,
    seed: int,
    form: FormName | None = None,
    device: torch.device | str = "cpu",
) -> Network:
    """Builds and initialises a network.

    Args:
        genotype: its cells or blocks.
        shape: width, depth, and the images that it is for.
        seed: decides the initial weights; the global random state is neither read nor changed.
        form: how to compute, see `Form`; the fastest one on the device if absent. All compute the same function.
        device: where the network lives. The initial weights do not depend on it.

    Raises:
        ImpossibleSetting: if a network of this kind cannot have the shape.
    """
    chosen = form or fastest(genotype, shape, torch.device(device))
    network = make(genotype, shape, _FORMS[chosen]())
    initialise(network, seed)
    return network.to(device)


def fastest(genotype: AnyGenotype, shape: Shape, device: torch.device) -> FormName:
    """Returns the form in which a network trains fastest, as measured by `benchmarks/nasbench201.py`.

    On the CPU that is the batch-last one, but for wide networks of NAS-Bench-201 that are mostly 3 × 3 convolutions of
    images that are not small: the library's own are faster there.
    """
    if device.type != "cpu":
        return "plain"
    if isinstance(genotype, BenchGenotype) and shape.channels >= _WIDE and shape.resolution >= _LARGE:
        many = genotype.operations.count("nor_conv_3x3") >= _MANY_CONVOLUTIONS
        return "channels_last" if many else "batch_last"
    return "batch_last"
