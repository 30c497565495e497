"""The options of the proxy study: a grid of reduced settings, further ones, and how they are judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from store.records.base import Config
from store.records.reduction import CHANNELS, EPOCHS, RESOLUTIONS, SAMPLE_RATIOS
from strategies.options import StrategyOptions
from strategies.proxy_study.statistics import RESAMPLES, TOLERANCE

Schedule = Literal["own", "shared"]

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "none": {},
        "paper": {
            "channels": CHANNELS,
            "resolutions": RESOLUTIONS,
            "sample_ratios": SAMPLE_RATIOS[:2],
            "epochs": EPOCHS,
            "comparison": True,
        },
    }
)
"""`paper`: 25 (c, r), whole and halved training data, four lengths: the 200 settings of EcoNAS section 4.1, and the two
proxies that it compares with. Which 8 of the 16 pairs (s, e) make up the 200 it does not say; the text compares s0 with
s1."""


def _of_table_1(letter: str, values: Sequence[float]) -> BeforeValidator:
    """Lets a value be written as Table 1 names it: `c4` for 8 channels; numbers stand for themselves."""

    def value_of(written: Any) -> Any:
        if not isinstance(written, str):
            return written
        names = [f"{letter}{index}" for index in range(len(values))]
        if written not in names:
            raise ValueError(f"expected a number, or one of {', '.join(names)} (EcoNAS, Table 1)")
        return values[names.index(written)]

    return BeforeValidator(value_of)


def _epochs(written: Any) -> Any:
    """Lets epochs be written as in a setting's name: `e60`."""
    if isinstance(written, str) and written[:1] == "e" and written[1:].isdecimal():
        return int(written[1:])
    return written


Channels = Annotated[int, Field(ge=1), _of_table_1("c", CHANNELS)]
Resolution = Annotated[int, Field(ge=4), _of_table_1("r", RESOLUTIONS)]
SampleRatio = Annotated[float, Field(gt=0, le=1), _of_table_1("s", SAMPLE_RATIOS)]
Cells = Annotated[int, Field(ge=3)]
Epochs = Annotated[int, Field(ge=1), BeforeValidator(_epochs)]


class ProxyChange(Config):
    """What an extra setting has otherwise than `[proxy]`."""

    channels: Channels | None = None
    resolution: Resolution | None = None
    sample_ratio: SampleRatio | None = None
    cells: Cells | None = None
    stem: Literal["cifar", "imagenet"] | None = None


class ExtraSetting(Config):
    """A setting beside the grid, e.g. one with another recipe."""

    label: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,39}$", description="what it is called, e.g. `high-rate`")
    proxy: ProxyChange = ProxyChange()
    recipe: dict[str, Any] = Field(default_factory=dict, description="what it has otherwise than `[recipe]`")
    epochs: Epochs = Field(description="its length, and that of its cosine unless the recipe has schedule_epochs")


_N_2: Mapping[str, Any] = {"resolution": 32, "sample_ratio": 1.0, "cells": 8}

COMPARISON = (
    ExtraSetting(label="NASNet", proxy=ProxyChange(channels=36, **_N_2), epochs=20),
    ExtraSetting(label="AmoebaNet", proxy=ProxyChange(channels=24, **_N_2), epochs=25),
)
"""The proxies of NASNet, c0r0s0e20, and of AmoebaNet, c1r0s0e25, both with N = 2 cells a stage, so 8 cells (4.1)."""


class ProxyStudyOptions(StrategyOptions):
    """Options of the strategy `proxy-study`. An option that is given overrides the preset's.

    A factor of the grid that is left out has the one value that `[proxy]` gives it.
    """

    totals: ClassVar[frozenset[str]] = frozenset({"networks"})

    preset: Literal["none", "paper"] = Field(default="none", description="paper: the 200 settings of EcoNAS, and two")
    networks: int = Field(default=50, ge=3, description="K: networks of the zoo, in all")
    genes: tuple[tuple[int, ...], ...] = Field(
        default=(), description="the first networks by their genes; the others are drawn. `networks` is their number "
        "if it is not given"
    )  # fmt: skip
    channels: tuple[Channels, ...] = Field(default=(), description="c: `c0` to `c4` of Table 1, or numbers of channels")
    resolutions: tuple[Resolution, ...] = Field(default=(), description="r: `r0` to `r4`, or pixels, multiples of 4")
    sample_ratios: tuple[SampleRatio, ...] = Field(default=(), description="s: `s0` to `s3`, or shares of the images")
    cells: tuple[Cells, ...] = Field(default=(), description="depths of the network")
    epochs: tuple[Epochs, ...] = Field(default=(), description="e: numbers of epochs, `e60` or 60")
    schedule: tuple[Schedule, ...] = Field(
        default=("own",),
        description="own: every e has a cosine of its own (A5.2 (1)), so a training of its own. shared: one cosine "
        "over the longest e is cut off at the shorter ones, which one training serves. Both may be given",
    )
    extra: tuple[ExtraSetting, ...] = Field(default=(), description="settings beside the grid")
    comparison: bool = Field(default=False, description="also the proxies of NASNet and AmoebaNet that EcoNAS compares")
    accuracy: Literal["best", "last"] = Field(
        default="best", description="by which networks are ranked: of the best epoch, as searches here do, or the last"
    )
    tolerance: float = Field(default=TOLERANCE, ge=0, description="b of the tolerant rho, in accuracy (A2)")
    bootstrap: int = Field(default=RESAMPLES, ge=100, le=100_000, description="resamples behind each interval")
    prefer: Literal["acceleration", "rho"] = Field(
        default="acceleration",
        description="what is recommended of the settings whose interval lies above 0: the fastest whose rho is less "
        "than the highest by no more than one standard error of the difference, or the highest rho",
    )
    min_rho: float | None = Field(default=None, ge=-1, le=1, description="a setting with less is not recommended")
    min_acceleration: float | None = Field(default=None, gt=0, description="a setting with less is not recommended")

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        chosen = values.get("preset", "none")
        preset = PRESETS[chosen] if isinstance(chosen, str) and chosen in PRESETS else {}
        filled = {**preset, **values}
        if isinstance(filled.get("schedule"), str):
            filled["schedule"] = (filled["schedule"],)
        if filled.get("genes") and isinstance(filled["genes"], list | tuple):
            filled.setdefault("networks", len(filled["genes"]))
        return filled

    @field_validator("channels", "resolutions", "sample_ratios", "cells", "epochs", "schedule")
    @classmethod
    def _once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        twice = sorted({str(value) for value in values if values.count(value) > 1})
        if twice:
            raise ValueError(f"expected each value once, got {', '.join(twice)} again")
        return values

    @field_validator("schedule")
    @classmethod
    def _some_schedule(cls, value: tuple[Schedule, ...]) -> tuple[Schedule, ...]:
        if not value:
            raise ValueError("expected own, shared or both")
        return value
