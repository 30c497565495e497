"""What a sample is worth: accuracy against cost, in the soft or the hard form (FNAS Eq. 2; MnasNet section 3). Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Form = Literal["soft", "hard"]
EXPONENTS: dict[Form, tuple[float, float]] = {"soft": (-0.07, -0.07), "hard": (0.0, -1.0)}
"""(alpha, beta) of MnasNet's two forms: twice the latency for 5 % more accuracy, or accuracy alone up to the target."""


@dataclass(frozen=True)
class Reward:
    """R(m) = ACC(m) x [LAT(m) / T]^w, where w is alpha up to the target and beta beyond it.

    Attributes:
        target: T, in what costs are given in; the accuracy alone counts without.
        alpha: w if LAT <= T.
        beta: w if LAT > T; FNAS writes one exponent for both.
    """

    target: float | None = None
    alpha: float = EXPONENTS["soft"][0]
    beta: float = EXPONENTS["soft"][1]

    def __call__(self, accuracy: float, cost: float | None) -> float | None:
        """Returns the reward of an accuracy in [0, 1], or None where there is none: it is not finite, or has no cost.

        Args:
            accuracy: ACC(m).
            cost: LAT(m): multiply-adds, or milliseconds; only a positive one can be compared with a target.
        """
        reward = accuracy
        if self.target is not None:
            if cost is None or not 0 < cost < math.inf:
                return None
            exponent = self.alpha if cost <= self.target else self.beta
            try:
                reward = accuracy * (cost / self.target) ** exponent
            except OverflowError:
                return None
        return reward if math.isfinite(reward) else None
