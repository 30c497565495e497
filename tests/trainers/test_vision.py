"""torchvision's import, with and without its compiled library."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest
import torch

from trainers.vision import import_torchvision

# A stand-in for torchvision: it imports like the real one, whose compiled library declares the operators or is missing.
PACKAGE = """
import torch
{library}
@torch.library.register_fake("torchvision::nms")
def nms(dets, scores, iou_threshold): return dets
@torch.library.register_fake("torchvision::qnms")
def qnms(dets, scores, iou_threshold): return dets
"""
DECLARED = """
library = torch.library.Library("torchvision", "DEF")
library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""
PROGRAM = """
from trainers import vision
print(vision.import_torchvision().__name__, len(vision._declared))
vision.import_torchvision()
print(len(vision._declared))
"""


@pytest.mark.parametrize(("library", "declared"), [(DECLARED, 0), ("", 1)])
def test_operators_are_declared_only_where_they_are_missing(tmp_path, library, declared):
    (tmp_path / "torchvision.py").write_text(PACKAGE.format(library=library))
    # A process of its own, because torch keeps what is declared until the process ends.
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{PROGRAM}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["torchvision", str(declared), str(declared)]


def test_the_installed_torchvision_can_be_imported_and_used():
    import_torchvision()
    functional = importlib.import_module("torchvision.transforms.v2.functional")
    assert functional.horizontal_flip(torch.tensor([[1, 2]])).tolist() == [[2, 1]]


def test_another_failure_of_the_import_is_passed_on(tmp_path, monkeypatch):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('the disk is upside down')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    with pytest.raises(RuntimeError, match="the disk is upside down"):
        import_torchvision()
