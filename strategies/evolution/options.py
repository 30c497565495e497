"""The options of regularised evolution; the defaults are AmoebaNet's, with EcoNAS's budget (Table 4)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from strategies.options import MOST_AT_ONCE, StrategyOptions

FLAT_EPOCHS, STAGE_EPOCHS = 35, 20


class RegularisedEvolutionOptions(StrategyOptions):
    """Options of the strategy `regularised-evolution`."""

    totals: ClassVar[frozenset[str]] = frozenset({"models"})
    mutates: ClassVar[bool] = True
    schedules: ClassVar[bool] = True

    models: int = Field(
        default=1000, ge=1, description="C: networks in all, the random ones included; AmoebaNet 20,000, EcoNAS 1,000"
    )
    population: int = Field(
        default=100, ge=1, le=MOST_AT_ONCE, description="P: networks alive; so many random ones are the first"
    )
    sample: int = Field(
        default=25, ge=1, description="S: draws from the population, with replacement, whose best is the parent"
    )
    identity_probability: float = Field(
        default=0.05, ge=0, le=1, description="probability that a child is its parent's copy"
    )
    hidden_state_probability: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="of the children that are no copies, the share whose mutation changes an input, not an operation",
    )
    in_flight: int = Field(
        default=1, ge=1, description="children under way at once; 1 is the serial algorithm. The random ones always are"
    )
    hierarchical: bool = Field(
        default=False, description="with EcoNAS's hierarchical proxy: rungs at E, 2E and 3E epochs (Table 4, H.P.)"
    )
    epochs: int = Field(
        default=FLAT_EPOCHS,
        ge=1,
        description="epochs of a network, or E, those of one stage, if hierarchical, where the default is 20; the "
        "paper's e35 without and e60 with the hierarchical proxy spend about the same",
    )
    children: int = Field(
        default=16, ge=1, description="N_0: children between two rounds of promotions, and between two saved states"
    )
    promoted_to_2e: int = Field(default=8, ge=0, description="N_1, if hierarchical")
    promoted_to_3e: int = Field(default=4, ge=0, description="N_2, if hierarchical")
    schedule: Literal["cosine", "cosine_restarts"] = Field(
        default="cosine",
        description="one cosine over all epochs that a network can get, or a new one for every E epochs. It "
        "holds unless the recipe gives schedule_epochs",
    )
    reset_momentum: bool = Field(default=False, description="forget the momentum at E and 2E")
    top: int = Field(default=5, ge=1, description="how many networks to name as the best, of all that ever lived")

    @model_validator(mode="before")
    @classmethod
    def _fill_in_epochs(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("hierarchical") is True:
            return {"epochs": STAGE_EPOCHS, **values}
        return values

    @property
    def rungs(self) -> int:
        """Number of rungs that a network can rise to."""
        return 3 if self.hierarchical else 1

    @property
    def schedule_epochs(self) -> int:
        """Length of one cosine in epochs."""
        return self.rungs * self.epochs if self.schedule == "cosine" else self.epochs
