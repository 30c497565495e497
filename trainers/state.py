"""A training's state as a checkpoint's tensors and back, bit for bit, by block of the network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from trainers import inheritance
from trainers.errors import CheckpointMismatch
from trainers.networks.base import Network
from trainers.networks.operations import Operation
from trainers.sgd import SGD

Array = npt.NDArray[np.generic]
Tensors = dict[str, dict[str, dict[str, Array]]]

MODEL = "model"
OPTIMIZER = "optimizer"


def tensors_of(network: Network, optimizer: SGD | None = None) -> Tensors:
    """Returns the state by role (`model`, `optimizer`), block (`stem`, `cell00`, ... `head`) and name in the block.

    The model's part holds parameters and running statistics, the optimiser's the momentum of every parameter. The
    arrays may share memory with the network: use them before the next step.
    """
    found: Tensors = {}
    for (role, block, name), tensor in _places(network, optimizer):
        found.setdefault(role, {}).setdefault(block, {})[name] = tensor.detach().cpu().numpy()
    return found


@torch.no_grad()
def restore(digest: str, tensors: Tensors, network: Network, optimizer: SGD | None = None) -> None:
    """Writes a checkpoint's tensors into a network, and into its optimiser if one is given.

    Args:
        digest: the checkpoint's manifest, for the error.
        tensors: as `tensors_of` gives them; the optimiser's part may be there and is not used without an optimiser.
        network: of the same architecture and setting.
        optimizer: of this network.

    Raises:
        CheckpointMismatch: if a tensor is missing, left over, or of another shape or type. Nothing is written then.
    """
    places = dict(_places(network, optimizer))
    roles = {role for role, _, _ in places}
    given = {
        (role, block, name): array
        for role, blocks in tensors.items()
        if role in roles
        for block, named in blocks.items()
        for name, array in named.items()
    }
    if odd := given.keys() ^ places.keys():
        where = "the checkpoint lacks" if min(odd) in places else "the network has no"
        raise CheckpointMismatch(digest, "/".join(min(odd)), where)
    sources = {place: torch.from_numpy(array) for place, array in given.items()}
    for place, target in places.items():
        source = sources[place]
        if (source.shape, source.dtype) != (target.shape, target.dtype):
            found = f"{list(source.shape)} {source.dtype} in the checkpoint, {list(target.shape)} {target.dtype} for"
            raise CheckpointMismatch(digest, "/".join(place), found)
    for place, target in places.items():
        target.copy_(sources[place])


@torch.no_grad()
def inherit(network: Network, tensors: Mapping[str, Mapping[str, Array]]) -> None:
    """Writes what blocks inherit into a network that is initialised; what they do not inherit stays as it is.

    Args:
        network: of any architecture and setting.
        tensors: by block of the network and name, as `inheritance.read` gives them, of any shapes.
    """
    own = tensors_of(network)[MODEL]
    for block, inherited in tensors.items():
        places = network.blocks()[block]
        operations = dict(_operations(network.get_submodule(block)))
        for name, array in inheritance.fitted(own.get(block, {}), inherited, operations).items():
            places[name].copy_(torch.from_numpy(array))


def _operations(module: nn.Module, name: str = "") -> Iterator[tuple[str, frozenset[str]]]:
    """Yields the operations of a module by name, with their optional parts; not those within another."""
    if isinstance(module, Operation):
        yield name, module.optional
        return
    for child, each in module.named_children():
        yield from _operations(each, f"{name}.{child}" if name else child)


def _places(network: Network, optimizer: SGD | None) -> Iterator[tuple[tuple[str, str, str], Tensor]]:
    for block, named in network.blocks().items():
        for name, tensor in named.items():
            yield (MODEL, block, name), tensor
    for full_name, buffer in optimizer.momentum.items() if optimizer else ():
        block, _, name = full_name.partition(".")
        yield (OPTIMIZER, block, name), buffer
