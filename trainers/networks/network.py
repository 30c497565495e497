"""Networks by genotype and shape: what is built, and in which form it runs."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch

from strategies.spaces.genotype import Genotype
from strategies.spaces.nasbench201 import BenchGenotype
from trainers.networks.base import Network, Scores
from trainers.networks.batch_last import BatchLast
from trainers.networks.bench import BenchNetwork
from trainers.networks.cell_network import CellNetwork
from trainers.networks.forms import Form, Plain
from trainers.networks.initial import initialise
from trainers.networks.shape import Shape

__all__ = ("AnyGenotype", "FormName", "Network", "Scores", "build", "make")

AnyGenotype: TypeAlias = Genotype | BenchGenotype
"""What `build` makes networks of: what a space decodes architectures to."""
FormName = Literal["plain", "batch_last"]
_FORMS: dict[FormName, type[Form]] = {"plain": Plain, "batch_last": BatchLast}


def make(genotype: AnyGenotype, shape: Shape, form: Form) -> Network:
    """Returns the network of a genotype, its convolutions and linear layers uninitialised.

    Raises:
        ImpossibleSetting: if a network of this kind cannot have the shape.
    """
    if isinstance(genotype, BenchGenotype):
        return BenchNetwork(genotype, shape, form)
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
        genotype: its cells.
        shape: width, depth, and the images that it is for.
        seed: decides the initial weights; the global random state is neither read nor changed.
        form: `"batch_last"` (the fast one on CPUs) or `"plain"`, which compute the same function; the faster one on
            the device if absent.
        device: where the network lives. The initial weights do not depend on it.

    Raises:
        ImpossibleSetting: if a network of this kind cannot have the shape.
    """
    chosen: FormName = form or ("batch_last" if torch.device(device).type == "cpu" else "plain")
    network = make(genotype, shape, _FORMS[chosen]())
    initialise(network, seed)
    return network.to(device)
