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
    blocks: int = Field(default=2, ge=0, description="blocks of made-up weights; 0: those of the space's networks")
    floats: int = Field(default=64, ge=1, description="float32 numbers in each block, and as many of momentum")
    checkpoint: bool = Field(default=True, description="save real checkpoints; without, nothing touches the disk")
    rate: float = Field(default=0.15, gt=0, description="r of the curve a(e) = limit (1 - exp(-r e))")
    lowest: float = Field(default=0.3, ge=0, le=1, description="limit of the worst architecture's curve")
    highest: float = Field(default=0.95, ge=0, le=1, description="limit of the best architecture's curve")
    noise: float = Field(default=0.01, ge=0, le=0.5, description="largest deviation from the curve")
    device_bytes: int | None = Field(default=None, ge=0, description="memory that it says it took of its device")


class TabularOptions(Config):
    """Options of the `tabular` trainer, which answers from a benchmark table (docs/tables.md).

    `gap` to `correlation` are the parameters of `trainers.noise`; they play no part where the column has curves.
    `seconds` and `spread` are of virtual time, and play no part where the table has seconds.
    """

    table: str = Field(min_length=1, description="path of the table; `~` and `$NAME` are expanded. Kept as its digest")
    column: str = Field(min_length=1, description="column of the accuracies that are told as validation accuracies")
    test_column: str | None = Field(default=None, description="column of the test accuracies, for retrained networks")
    epochs: int | None = Field(default=None, ge=1, description="epochs the column stands for; curves have their own")
    gap: float = Field(default=0.5, ge=0, le=1, description="share of the accuracy that is missing before epoch 1")
    rate: float = Field(default=3.0, gt=0, description="how quickly it is made up for; 63 % after epochs / rate")
    noise: float = Field(default=0.15, ge=0, le=1, description="standard deviation of the noise before epoch 1")
    lasting: float = Field(default=0.5, ge=0, le=1, description="share of the noise that is the same for every seed")
    correlation: float = Field(default=0.8, ge=0, le=1, description="of the rest, between one epoch and the next")
    seconds: float = Field(default=60.0, gt=0, description="virtual seconds of an epoch of the smallest network")
    spread: float = Field(default=2.0, ge=1, description="how many times as long the largest network takes")
