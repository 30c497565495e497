"""The file formats of exported weights: how each is written, and how it is read back to be compared.

What reads a file back is what its user will read it with: safetensors' loader, `torch.load(weights_only=True)`, and
onnxruntime, or where that is not installed ONNX's own reference evaluator.
"""

from __future__ import annotations

import importlib
import io
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from trainers.errors import ExportUnavailable

OPSET = 18
"""The ONNX operator set that is written; it has all that these networks use, and runtimes since 2022 read it."""
IMAGES, LOGITS, BATCH = "images", "logits", "batch"

State = Mapping[str, Tensor]
Logits = Callable[[Tensor], Tensor]
"""Maps preprocessed images (N, C, r, r) to logits (N, classes), with what was read from a file."""


class Format(NamedTuple):
    """One format.

    Attributes:
        file: name of the weights' file.
        packages: what it needs beside torch.
        write: takes the plain network in evaluation mode and a few words about it by name; returns the file's bytes,
            and what the card says of the file. (Libraries that write files themselves do not tell a full disk.)
        read: takes the path and a plain network with other weights; returns what the file computes.
    """

    file: str
    packages: tuple[str, ...]
    write: Callable[[nn.Module, Mapping[str, str]], tuple[bytes, dict[str, Any]]]
    read: Callable[[Path, nn.Module], Logits]


def require(name: str) -> Format:
    """Returns a format whose packages are there.

    Raises:
        ExportUnavailable: naming the package that is not installed.
    """
    for package in FORMATS[name].packages:
        _imported(name, package)
    return FORMATS[name]


def _write_safetensors(network: nn.Module, words: Mapping[str, str]) -> tuple[bytes, dict[str, Any]]:
    data = _imported("safetensors", "safetensors.torch").save(network.state_dict(), dict(words) | {"format": "pt"})
    return data, {"read_with": "safetensors.torch.load_file"}


def _read_safetensors(path: Path, network: nn.Module) -> Logits:
    return _loaded(network, _imported("safetensors", "safetensors.torch").load_file(path))


def _write_torch(network: nn.Module, words: Mapping[str, str]) -> tuple[bytes, dict[str, Any]]:
    file = io.BytesIO()
    torch.save(dict(network.state_dict()), file)
    return file.getvalue(), {"read_with": "torch.load(..., weights_only=True)"}


def _read_torch(path: Path, network: nn.Module) -> Logits:
    return _loaded(network, torch.load(path, map_location="cpu", weights_only=True))


def _loaded(network: nn.Module, state: State) -> Logits:
    network.load_state_dict(state)
    network.eval()

    @torch.no_grad()
    def logits(images: Tensor) -> Tensor:
        found: Tensor = network(images)
        return found

    return logits


def _write_onnx(network: nn.Module, words: Mapping[str, str]) -> tuple[bytes, dict[str, Any]]:
    """Exports with the batch's size left open; the graph has the weights, and no preprocessing."""
    stem = next(network.parameters())
    sample = torch.zeros(2, stem.shape[1], int(words["resolution"]), int(words["resolution"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter warns of its own use of torch
        program = torch.onnx.export(
            network,
            (sample,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[IMAGES],
            output_names=[LOGITS],
            dynamic_shapes={IMAGES: {0: torch.export.Dim(BATCH)}},
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    program.model.metadata_props.update(words)
    shape = [BATCH, *sample.shape[1:]]
    model = program.model_proto
    for part in (model.graph, *model.graph.node):
        del part.metadata_props[:]  # stack traces, with paths of this machine
    data: bytes = model.SerializeToString()
    return data, {"opset": OPSET, "input": {IMAGES: shape}, "output": LOGITS, "preprocessing_inside": False}


def _read_onnx(path: Path, network: nn.Module) -> Logits:
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError:
        model = _imported("onnx", "onnx.reference").ReferenceEvaluator(str(path))
    else:
        model = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(model.run([LOGITS], {IMAGES: images.numpy()})[0])


def _imported(name: str, package: str) -> ModuleType:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ExportUnavailable(name, package.partition(".")[0]) from error


FORMATS: Mapping[str, Format] = {
    "safetensors": Format("weights.safetensors", ("safetensors",), _write_safetensors, _read_safetensors),
    "onnx": Format("network.onnx", ("onnx", "onnxscript"), _write_onnx, _read_onnx),
    "torch": Format("weights.pt", (), _write_torch, _read_torch),
}
"""The formats by name."""
