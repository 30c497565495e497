"""What can go wrong in strategies and spaces.

StrategyError
└── InvalidGenotype
"""

from __future__ import annotations

from collections.abc import Sequence


class StrategyError(Exception):
    """Base of everything that strategies and spaces raise."""

    exit_code = 2


class InvalidGenotype(StrategyError):
    """Raised when a cell description cannot be built; names every problem that was found, not only the first."""

    def __init__(self, problems: Sequence[str], source: str | None = None) -> None:
        self.problems = tuple(problems)
        self.source = source
        where = f"{source}: " if source else ""
        super().__init__(f"{where}invalid genotype: " + "; ".join(self.problems))
