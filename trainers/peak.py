"""How much memory of its GPU a job takes at most. Nothing is known of the CPU's: what a process frees stays with it."""

from __future__ import annotations

import sys

from store.records.messages import CONTEXT_BYTES


def begin(device: str) -> None:
    """Starts to measure."""
    if _is_measured(device):
        import torch

        torch.cuda.reset_peak_memory_stats()


def taken(device: str) -> int | None:
    """Returns the bytes that the process held at most since `begin`: torch's reserved memory and the context's."""
    if not _is_measured(device):
        return None
    import torch

    return int(torch.cuda.max_memory_reserved()) + CONTEXT_BYTES


def release(device: str) -> None:
    """Gives back to the GPU what a job has left in torch's cache.

    Jobs of other workers are placed there as if a worker without a job held its context and no more, and the next job
    here would be measured with what this one took.
    """
    if _is_measured(device):
        import torch

        torch.cuda.empty_cache()


def _is_measured(device: str) -> bool:
    """Whether there is a GPU that torch has been on; a worker that never loads torch takes no memory of one."""
    if device != "cuda" or "torch" not in sys.modules:
        return False
    import torch

    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
