"""Which samples are trusted: those that U is sure enough about, and only so many of a batch (FNAS section 4.2). Pure.

A sample is trusted if U is not above a threshold: then V's word is its reward, and it is not trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Chosen(NamedTuple):
    """Which draws fill a batch, by their number, in the order in which they were drawn.

    Attributes:
        numbers: of the draws that are in the batch.
        trusted: for each of them, whether it is trusted.
        drawn: how many draws were looked at.
    """

    numbers: tuple[int, ...]
    trusted: tuple[bool, ...]
    drawn: int

    @property
    def discarded(self) -> int:
        """Draws that were trusted and thrown away, there being enough of these."""
        return self.drawn - len(self.numbers)


def choose(
    uncertainties: Iterable[float], threshold: float | None, *, count: int, most_trusted: int, most_draws: int
) -> Chosen:
    """Fills a batch from a stream of draws (FNAS section 4.2, "Constraint").

    Once `most_trusted` are trusted, further trusted draws are thrown away, and drawing goes on until untrusted ones
    have filled the batch. A policy that has converged may draw none: after `most_draws` draws the most uncertain of
    those that were thrown away fill it, as untrusted.

    Args:
        uncertainties: U of one draw after the other; no more are taken than are needed.
        threshold: above it a draw is untrusted; None: all are.
        count: size of the batch.
        most_trusted: trusted samples that it may have.
        most_draws: draws that may be looked at, at least `count`.
    """
    kept: dict[int, bool] = {}
    spare: list[tuple[float, int]] = []
    drawn = 0
    for number, uncertainty in enumerate(uncertainties):
        drawn = number + 1
        trusted = threshold is not None and uncertainty <= threshold
        if trusted and sum(kept.values()) >= most_trusted:
            spare.append((-uncertainty, number))
        else:
            kept[number] = trusted
        if len(kept) == count or drawn == most_draws:
            break
    for _, number in sorted(spare)[: count - len(kept)]:
        kept[number] = False
    numbers = tuple(sorted(kept))
    return Chosen(numbers, tuple(kept[number] for number in numbers), drawn)


def median(values: Sequence[float]) -> float:
    """Returns the lower median, which is one of the values; of an even number the smaller of the two in the middle."""
    return sorted(values)[(len(values) - 1) // 2]
