"""Whether U flags what V does not know, on the real accuracies of NAS-Bench-201 (benchmarks/uncertainty.py)."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

TABLE = "COLDFRAME_NASBENCH201"
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "uncertainty.py"
SEEDS, SAMPLES = (0, 1), 2000


@pytest.fixture
def benchmark() -> ModuleType:
    """The benchmark's module: the measure has one definition."""
    spec = importlib.util.spec_from_file_location("uncertainty", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(TABLE not in os.environ, reason=f"needs {TABLE}, the path of NAS-Bench-201's table")
def test_u_flags_what_v_does_not_know(benchmark: ModuleType) -> None:
    """Held out are architectures of the policy's distribution and of outside it: where is |V - R| large?"""
    truth = benchmark.Truth(Path(os.environ[TABLE]))
    found = [benchmark.measure(truth, seed, SAMPLES) for seed in SEEDS]
    assert np.mean([one["wrong"] for one in found]) >= 0.8
    assert np.mean([one["outside"] for one in found]) >= 0.8
    assert np.mean([one["wrong"] for one in found]) > np.mean([one["distance"] for one in found])
