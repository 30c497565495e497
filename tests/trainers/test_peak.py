"""What a job says it took of its device; torch's answers for a GPU are made up here."""

from __future__ import annotations

import pytest
import torch

from store.records.messages import CONTEXT_BYTES
from trainers import peak


class Allocator:
    """torch's allocator of one GPU: the bytes that it holds, and held at most since it was last reset."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.held = self.highest = 0
        for name in ("empty_cache", "reset_peak_memory_stats", "max_memory_reserved"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)

    def hold(self, count: int) -> None:
        self.held = count
        self.highest = max(self.highest, count)

    def empty_cache(self) -> None:
        self.held = 0

    def reset_peak_memory_stats(self) -> None:
        self.highest = self.held

    def max_memory_reserved(self) -> int:
        return self.highest


def test_a_small_job_after_a_large_one_is_measured_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the cache of the job before, which counted as memory of the next."""
    allocator = Allocator(monkeypatch)
    peak.begin("cuda")
    allocator.hold(5000)
    assert peak.taken("cuda") == 5000 + CONTEXT_BYTES
    peak.release("cuda")
    assert allocator.held == 0, "what a worker without a job holds is nobody's"
    peak.begin("cuda")
    allocator.hold(300)
    allocator.hold(100)
    assert peak.taken("cuda") == 300 + CONTEXT_BYTES


def test_nothing_is_known_of_the_cpu_or_of_a_gpu_that_was_never_used(monkeypatch: pytest.MonkeyPatch) -> None:
    allocator = Allocator(monkeypatch)
    assert peak.taken("cpu") is None
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    peak.begin("cuda")
    allocator.hold(100)
    peak.release("cuda")
    assert allocator.held == 100, "it is not touched"
    assert peak.taken("cuda") is None
