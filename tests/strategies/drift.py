"""A computation with state, for the tests of what carries such computations out."""

from __future__ import annotations

from typing import Any

import numpy as np

Blocks = dict[str, dict[str, np.ndarray[Any, Any]]]

calls: list[float] = []
"""The amounts of the calls in this process."""


def drift(blocks: Blocks | None, amount: float) -> tuple[Blocks, float]:
    """Adds an amount to all weights; returns their sum. It changes in place what it was given."""
    calls.append(amount)
    blocks = blocks or {"body": {"weight": np.zeros((2, 3), np.float32)}, "head": {"step": np.array(0)}}
    blocks["body"]["weight"] += np.float32(amount)
    blocks["head"]["step"] += 1
    return blocks, float(blocks["body"]["weight"].sum())


def double(amount: float) -> float:
    """Doubles a number, without a state."""
    return 2 * amount
