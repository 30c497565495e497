"""Initial weights: PyTorch's default distributions, from a seed alone."""

from __future__ import annotations

import torch
from blake3 import blake3
from torch import Tensor, nn

from trainers.networks.forms import BatchNorm


@torch.no_grad()
def initialise(network: nn.Module, seed: int) -> None:
    """Sets every parameter and statistic of a network on the CPU.

    Convolutions and the linear layers are uniform in ±1/√fan_in (Kaiming uniform with a = √5, the default of PyTorch's
    layers), batch normalisations the identity. Each tensor has a generator of its own, seeded by the seed and the
    tensor's name: adding a block changes no other block's weights, and neither order nor threads matter.
    """
    for prefix, module in network.named_modules():
        if isinstance(module, BatchNorm):
            module.reset()
            continue
        bound = None
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.dim() > 1 or bound is None:
                bound = parameter[0].numel() ** -0.5
            _uniform(parameter, bound, seed, f"{prefix}.{name}")


def _uniform(parameter: Tensor, bound: float, seed: int, name: str) -> None:
    digest = blake3(f"{seed}:{name}".encode()).digest(length=8)
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
    parameter.uniform_(-bound, bound, generator=generator)
