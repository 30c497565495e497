"""`network.py`: the definition that goes with exported weights, in plain PyTorch and in one file.

Its text is that of `trainers.export.plain`, followed by the genotype and the shape: what is written is what is tested.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from strategies.spaces.genotype import Genotype
from strategies.spaces.mobile import MobileGenotype
from strategies.spaces.nasbench201 import BenchGenotype
from trainers.export.plain import bench, cells, mobile, operations
from trainers.networks.network import AnyGenotype
from trainers.networks.shape import Shape

FILE = "network.py"
_HEAD = '''"""{title}, in plain PyTorch; nothing else is needed.

`build()` returns the network with random weights; the weights beside this file are its `state_dict`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


'''
_TAIL = '''

GENOTYPE: dict[str, Any] = {genotype}

SHAPE: dict[str, Any] = {shape}


def build() -> Network:
    """Returns the network, in training mode and with random weights."""
    return Network(GENOTYPE, **SHAPE)
'''


def describe(genotype: AnyGenotype) -> dict[str, Any]:
    """Returns a genotype as a JSON-ready map, as its space writes it."""
    return {"arch": genotype.to_string()} if isinstance(genotype, BenchGenotype) else genotype.to_json()


def text(title: str, genotype: AnyGenotype, shape: Shape) -> str:
    """Returns the text of `network.py`.

    Args:
        title: what the network is, in a few words without quotes.
        genotype: its cells or blocks.
        shape: its width, depth and images; an auxiliary head is left out.
    """
    kind = _KINDS[type(genotype)]
    body = "\n\n\n".join(_definitions(module) for module in (operations, kind))
    tail = _TAIL.format(genotype=_literal(describe(genotype)), shape=_literal(_arguments(genotype, shape)))
    return _HEAD.format(title=title) + body + "\n" + tail


def load(file: Path) -> nn.Module:
    """Returns the network of a `network.py` that this process has just written, with random weights."""
    module = ModuleType("exported_network")
    exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), vars(module))  # an import would write a cache
    network: nn.Module = module.build()
    return network


def state(tensors: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Returns a trained network's tensors under the names that they have in `network.py`, in the order there.

    Args:
        tensors: the trained network's `state_dict`.
        network: what `load` returned.

    Raises:
        KeyError: if one that `network` needs is not there. Those of an auxiliary head may be there and are left out.
    """
    named = {_plain(name): tensor for name, tensor in tensors.items()}
    counters = {name: tensor for name, tensor in network.state_dict().items() if name.endswith(_COUNTER)}
    return {name: (counters | named)[name].detach().cpu().clone() for name in network.state_dict()}


_COUNTER = "num_batches_tracked"
"""Kept by PyTorch's batch normalisation and read by none of ours: it stays 0."""
_KEPT = ("weight", "bias", "running_mean", "running_var")


def _plain(name: str) -> str:
    """Convolutions are parameters in our networks, and layers in plain PyTorch."""
    renamed = name.replace(".weights.", ".convolutions.")
    return renamed if renamed.rpartition(".")[2] in _KEPT else f"{renamed}.weight"


_KINDS: Mapping[type[AnyGenotype], ModuleType] = {Genotype: cells, BenchGenotype: bench, MobileGenotype: mobile}


def _arguments(genotype: AnyGenotype, shape: Shape) -> dict[str, Any]:
    if isinstance(genotype, MobileGenotype):
        return _mobile_arguments(genotype, shape)
    names = ("channels", "cells", "classes", "input_channels")
    arguments = {name: getattr(shape, name) for name in names}
    return arguments if isinstance(genotype, BenchGenotype) else arguments | {"stem": shape.stem or "cifar"}


def _mobile_arguments(genotype: MobileGenotype, shape: Shape) -> dict[str, Any]:
    """Returns the network's layers as they are at its width, so that its definition need not compute them."""
    small, left_out = shape.stem != "imagenet", {"block", "place"}
    layers = [layer._asdict() for layer in genotype.layers(shape.channels, small=small)]
    return {
        **genotype.ends(shape.channels, small=small)._asdict(),
        "layers": [{key: item for key, item in layer.items() if key not in left_out} for layer in layers],
        "classes": shape.classes,
        "input_channels": shape.input_channels,
    }


def _literal(value: Mapping[str, Any]) -> str:
    """Returns a map as Python text; of lists of edges each node stands on a line, and so does each layer."""
    lines = []
    for key, item in value.items():
        if isinstance(item, list) and isinstance(item[0], list):
            nodes = (f"{item[edge]}, {item[edge + 1]}" for edge in range(0, len(item), 2))
            inner = "".join(f"        {node},\n" for node in nodes).replace("'", '"')
            lines.append(f'    "{key}": [\n{inner}    ],\n')
        elif key == "layers":
            inner = "".join(f"        {json.dumps(layer)},\n" for layer in item)
            lines.append(f'    "{key}": [\n{inner}    ],\n')
        else:
            lines.append(f"    {json.dumps(key)}: {json.dumps(item)},\n")
    return "{\n" + "".join(lines) + "}"


def _definitions(module: ModuleType) -> str:
    """Returns a module's text from its first class on: without its docstring and its imports."""
    source = inspect.getsource(module)
    first = next(node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    return "\n".join(source.splitlines()[first.lineno - 1 :])
