"""What a person may set under `[trainer]`; free of torch, so that the daemon can check a spec."""

from __future__ import annotations

from pydantic import Field

from store.records.base import Config


class CellOptions(Config):
    """Options of the `cell` trainer; everything else about a training stands in the proxy and the recipe."""

    auxiliary: bool = Field(default=False, description="train with the auxiliary head at two thirds of the depth")


class ScriptedOptions(Config):
    """Options of the `scripted` trainer, which plays a learning curve instead of training."""

    epoch_seconds: float = Field(default=0.0, ge=0, description="time that one epoch takes")
    steps: int = Field(default=4, ge=1, description="steps of one epoch")
    blocks: int = Field(default=2, ge=1, description="blocks of made-up weights")
    floats: int = Field(default=64, ge=1, description="float32 numbers in each block, and as many of momentum")
    checkpoint: bool = Field(default=True, description="save real checkpoints; without, nothing touches the disk")
    rate: float = Field(default=0.15, gt=0, description="r of the curve a(e) = limit (1 - exp(-r e))")
    lowest: float = Field(default=0.3, ge=0, le=1, description="limit of the worst architecture's curve")
    highest: float = Field(default=0.95, ge=0, le=1, description="limit of the best architecture's curve")
    noise: float = Field(default=0.01, ge=0, le=0.5, description="largest deviation from the curve")
