"""What can go wrong in strategies and spaces.

StrategyError
├── InvalidGenotype
├── InvalidArchitecture
├── InvalidOptions
├── PluginBroken
├── ReplayDiverged
├── RequestFailed
└── TestSplitSealed
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


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


class InvalidArchitecture(StrategyError):
    """Raised when genes are not of the space that is asked about them."""

    def __init__(self, space: str, genes: Sequence[int], expected: str) -> None:
        self.space, self.genes, self.expected = space, tuple(genes), expected
        super().__init__(f"not an architecture of the space {space!r}: {list(genes)!r:.200}: expected {expected}")


class OptionProblem(NamedTuple):
    """One option that is wrong, e.g. `strategy.cycles`, its value, and what was expected instead."""

    key: str
    value: object
    expected: str

    def __str__(self) -> str:
        shown = "" if self.value is None else f" is {self.value!r:.80}:"
        return f"{self.key}{shown} {self.expected}"


class InvalidOptions(StrategyError):
    """Raised when a strategy's or a space's name or options are wrong; names all of them at once."""

    def __init__(self, problems: Sequence[OptionProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


class PluginBroken(StrategyError):
    """Raised when code that an installed distribution registers cannot be used; names the distribution."""

    def __init__(self, group: str, name: str, distribution: str, why: str) -> None:
        self.group, self.name, self.distribution = group, name, distribution
        super().__init__(f"entry point {name!r} of {group}, from {distribution}, cannot be used: {why}")


class ReplayDiverged(StrategyError):
    """Raised when a search asks for something else than it asked for at the same point before it was interrupted."""

    exit_code = 1

    def __init__(self, point: str, recorded: str, asked: str) -> None:
        self.point, self.recorded, self.asked = point, recorded, asked
        super().__init__(
            f"{point}: {recorded} was recorded, {asked} is asked for now. A strategy must ask the same questions when "
            "it gets the same answers: it may take randomness from run.rng alone, and no time, files or global state"
        )


class TestSplitSealed(StrategyError):
    """Raised when a strategy asks for the test accuracy of a candidate that validation images were held out for."""

    exit_code = 1
    __test__ = False  # not a test class, whatever pytest thinks of its name

    def __init__(self, candidate: str) -> None:
        self.candidate = candidate
        super().__init__(
            f"candidate {candidate[:8]}: the test split is for networks that were trained on all training images "
            "(data.validation_fraction = 0); this one is still to be chosen, by its validation accuracy"
        )


class RequestFailed(StrategyError):
    """Raised when what a search cannot do without fails: its agent's computation, or the measure of its images."""

    exit_code = 1

    def __init__(self, what: str, why: str) -> None:
        self.what, self.why = what, why
        super().__init__(f"the search cannot go on, for {what} failed: {why}")
