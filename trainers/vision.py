"""The one place that imports torchvision, because on some builds of torch it needs help.

torchvision 0.26 and later registers fake kernels for `torchvision::nms` and `torchvision::qnms` when it is imported.
Where its compiled library cannot be loaded (the wheel is built against CUDA, torch is the CPU build), those operators
do not exist and the import fails. Declaring their schemas is enough: nothing here calls them.
"""

from __future__ import annotations

import importlib
from types import ModuleType

import torch

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
# A library's declarations vanish with the object, so this one lives as long as the process.
_declared: list[torch.library.Library] = []


def import_torchvision() -> ModuleType:
    """Imports torchvision, declaring the operators that it misses only if it cannot be imported without.

    Returns:
        The module `torchvision`; its submodules can be imported in the usual way afterwards.

    Raises:
        ImportError: if torchvision is not installed.
        RuntimeError: if its import fails for another reason than the missing operators.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if not any(f"operator torchvision::{name} does not exist" in str(error) for name in _SCHEMAS):
            raise
    _declare_missing()
    return importlib.import_module("torchvision")


def _declare_missing() -> None:
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name, schema in _SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)  # type: ignore[no-untyped-call]
    _declared.append(library)
