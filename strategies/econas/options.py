"""The options of EcoNAS, and the readings of the paper that its presets select.

The paper leaves open how parents are drawn, which networks are dead, how the learning rate goes on after a promotion
and in which order a cycle's steps run. The authors' released search code settles these one way, the paper's text
suggests others; each choice is an option here, and a preset is a complete set of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from strategies.econas.parents import shares
from strategies.options import MOST_AT_ONCE, StrategyOptions

IN_FLIGHT = 8
"""Trainings under way without barrier, unless the spec says otherwise: twice what keeps four devices busy."""
PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "default": {},
        "released": {"initial": 16, "empty_rung": "drop", "reset_momentum": True},
        "algorithm-1": {
            "side_by_side": False,
            "parents": "rank_two_stage",
            "dead": "fifo",
            "schedule": "cosine_restarts",
        },
    }
)
"""What each preset sets, beside the defaults.

`default`: the paper's numbers where it states them, the released code where it is silent. `released`: the released code
throughout. `algorithm-1`: the paper's text and its Algorithm 1, read literally.
"""


class EcoNASOptions(StrategyOptions):
    """Options of the strategy `econas`. An option that is given overrides the preset's."""

    totals: ClassVar[frozenset[str]] = frozenset({"cycles"})
    mutates: ClassVar[bool] = True
    schedules: ClassVar[bool] = True

    preset: Literal["default", "released", "algorithm-1"] = Field(
        default="default", description="which complete reading of the paper to start from"
    )
    initial: int = Field(
        default=50, ge=1, le=MOST_AT_ONCE, description="N_init: random networks before the first cycle"
    )
    cycles: int = Field(default=100, ge=0, description="C: cycles of evolution, in all; 60 fit the paper's 35k epochs")
    children: int = Field(
        default=16, ge=1, le=MOST_AT_ONCE, description="N_0: networks mutated and trained for E epochs each cycle"
    )
    promoted_to_2e: int = Field(default=8, ge=0, description="N_1: best networks of P_E trained on to 2E each cycle")
    promoted_to_3e: int = Field(default=4, ge=0, description="N_2: best networks of P_2E trained on to 3E each cycle")
    epochs: int = Field(default=20, ge=1, description="E: epochs of one stage; networks reach at most 3E")
    side_by_side: bool = Field(
        default=True,
        description="one batch a cycle: promotions as the rungs stood at its start, together with the children, so "
        "that a network moves one rung a cycle (released code). Otherwise Algorithm 1's order: children, then "
        "promotions to 2E, then to 3E, so that a child can rise two rungs in one cycle",
    )
    barrier: bool | None = Field(
        default=None,
        description="true, or absent: a cycle begins when all of the one before has ended (Algorithm 1). false: "
        "promotions and children are asked for as others end, with the same numbers of each",
    )
    in_flight: int | None = Field(
        default=None,
        ge=1,
        description="without barrier: trainings under way at once; 8 if absent. More than there are devices, so that "
        "none waits for the search; the more, the older is what the search knows when it decides",
    )
    longest_first: bool | None = Field(
        default=None,
        description="with barrier: ask for the trainings of a batch in the order of the work that they are expected to "
        "be, the most first, so that its last ones are short. Which networks are born does not change",
    )
    limit_half: bool = Field(
        default=False, description="promote no more than half of a rung (A5.1: 'no more than half of the networks')"
    )
    parents: Literal["tournament", "rank_two_stage", "softmax"] = Field(
        default="tournament",
        description="tournament: a share of the children from each rung, each from the best of n // 4 + 1 draws with "
        "replacement. rank_two_stage: a rung by rung_weights, then a network by linear ranking. softmax: a rung by "
        "rung_weights, then a network by softmax of its accuracy",
    )
    parents_per_rung: tuple[int, int, int] | None = Field(
        default=None,
        description="tournament: children from P_E, P_2E and P_3E; if absent as even as can be, so 6, 5, 5 of 16",
    )
    empty_rung: Literal["share", "drop"] = Field(
        default="share",
        description="tournament: what becomes of an empty rung's children: the other rungs share them as evenly as can "
        "be, the lower ones first, or there are fewer children (released code)",
    )
    rung_weights: tuple[float, float, float] = Field(
        default=(1.0, 2.0, 3.0),
        description="rank_two_stage, softmax: relative probabilities of P_E, P_2E and P_3E, among those not empty "
        "(section 4.2: small, middle, high)",
    )
    temperature: float = Field(default=0.05, gt=0, description="softmax: of accuracy / temperature, accuracy in [0, 1]")
    hidden_state_probability: float = Field(
        default=0.5, ge=0, le=1, description="probability that a mutation changes an input rather than an operation"
    )
    redraw_duplicates: bool = Field(
        default=False,
        description="draw a child again, up to 100 times, if the same network is in the history already. Otherwise "
        "(released code) it is a network of its own, with the same accuracy, answered from the memo",
    )
    dead: Literal["idle", "fifo", "union"] = Field(
        default="idle",
        description="which networks leave the rungs at the end of a cycle. idle: those not trained for dead_after "
        "cycles. fifo: the oldest of each rung beyond its capacity. union: the oldest of all rungs beyond it",
    )
    dead_after: int = Field(default=10, ge=1, description="idle: cycles since the last training")
    capacity: int | None = Field(default=None, ge=1, description="fifo, union: networks kept; N_init if absent")
    schedule: Literal["cosine", "cosine_restarts"] = Field(
        default="cosine",
        description="one cosine over 3E epochs that a promoted network goes on with, or a new one for every E epochs. "
        "It holds unless the recipe gives schedule_epochs",
    )
    reset_momentum: bool = Field(
        default=False, description="forget the momentum at E and 2E, as the released code does"
    )
    top: int = Field(default=5, ge=1, description="how many networks to name as the best, from those that reached 3E")

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, values: Any) -> Any:
        chosen = values.get("preset", "default") if isinstance(values, dict) else None
        return {**PRESETS[chosen], **values} if isinstance(chosen, str) and chosen in PRESETS else values

    @field_validator("parents_per_rung")
    @classmethod
    def _parents_add_up(cls, value: tuple[int, int, int] | None, info: ValidationInfo) -> tuple[int, int, int] | None:
        children = info.data.get("children")
        if value is not None and (min(value) < 0 or (children is not None and sum(value) != children)):
            raise ValueError(f"expected three numbers, none negative, that add up to children ({children})")
        return value

    @field_validator("barrier")
    @classmethod
    def _a_barrier_is_the_default(cls, value: bool | None) -> bool | None:
        """What was called a search before there was this option has the same id as one that spells it out."""
        return None if value else value

    @field_validator("longest_first")
    @classmethod
    def _any_order_is_the_default(cls, value: bool | None) -> bool | None:
        return value or None

    @model_validator(mode="after")
    def _agree_on_the_barrier(self) -> EcoNASOptions:
        if self.in_flight is not None and self.synchronous:
            raise ValueError("expected in_flight only together with barrier = false")
        if self.longest_first and not self.synchronous:
            raise ValueError("expected longest_first only with a barrier: without, there is no batch to put in order")
        return self

    @field_validator("rung_weights")
    @classmethod
    def _weights_are_positive(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        if not all(0 < weight < float("inf") for weight in value):
            raise ValueError("expected three positive numbers")
        return value

    @property
    def synchronous(self) -> bool:
        """Whether a cycle begins when all of the one before has ended."""
        return self.barrier is not False

    @property
    def parent_shares(self) -> tuple[int, int, int]:
        """Children whose parents come from P_E, P_2E and P_3E in a tournament."""
        if self.parents_per_rung is not None:
            return self.parents_per_rung
        first, second, third = shares(self.children, (0, 1, 2), 3)
        return first, second, third

    @property
    def rung_capacity(self) -> int:
        """Networks that `dead = "fifo"` keeps in each rung, or `"union"` in all of them."""
        return self.initial if self.capacity is None else self.capacity

    @property
    def schedule_epochs(self) -> int:
        """Length of one cosine in epochs."""
        return 3 * self.epochs if self.schedule == "cosine" else self.epochs
