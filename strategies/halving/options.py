"""The options of successive halving."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from strategies.options import MOST_AT_ONCE, StrategyOptions


class HalvingOptions(StrategyOptions):
    """Options of the strategy `asha`; the names of Li et al. (2020) stand first."""

    totals: ClassVar[frozenset[str]] = frozenset({"candidates"})
    schedules: ClassVar[bool] = True

    candidates: int = Field(default=81, ge=1, le=MOST_AT_ONCE, description="n: networks on the bottom rung, in all")
    minimum_epochs: int = Field(default=4, ge=1, description="r: epochs of the bottom rung")
    reduction: int = Field(
        default=3, ge=2, description="eta: one in so many is promoted, and trained for so many times the epochs in all"
    )
    rungs: int = Field(default=3, ge=1, le=12, description="rungs in all; R = r * eta**(rungs - 1) epochs on the top")
    synchronous: bool = Field(
        default=False, description="successive halving: a rung is full before the best of it are promoted"
    )
    in_flight: int = Field(
        default=8,
        ge=1,
        description="asynchronous: trainings under way at once. More than there are devices, so that none waits for "
        "the search; the more, the more networks are promoted too early",
    )
    schedule: Literal["cosine", "cosine_restarts"] = Field(
        default="cosine",
        description="one cosine over R epochs that a promoted network goes on with, or a new one for every r epochs, "
        "so that every rung ends with a small learning rate. It holds unless the recipe gives schedule_epochs",
    )
    top: int = Field(default=5, ge=1, description="how many networks to name as the best, of the highest rung reached")

    def epochs(self, rung: int) -> int:
        """Returns the epochs that a network on a rung is trained for, in all: r * eta**rung."""
        return self.minimum_epochs * int(self.reduction**rung)

    @property
    def schedule_epochs(self) -> int:
        """Length of one cosine in epochs."""
        return self.epochs(self.rungs - 1) if self.schedule == "cosine" else self.minimum_epochs
