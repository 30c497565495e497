"""Statistics over simulated searches: means with 95 % intervals, and regret against epochs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from orchestrator.simulate.search import Simulated

Numbers = npt.NDArray[np.float64]

POINTS = 200
"""At most so many points of a curve."""


class Estimate(NamedTuple):
    """A mean and its 95 % interval; the interval is none for fewer than two values, all is none for none."""

    mean: float | None
    low: float | None
    high: float | None


class Summary(NamedTuple):
    """What the searches of one spec came to.

    Attributes:
        searches: how many there were.
        named: how many of them named a network.
        accuracy: of the named network, as the search saw it.
        true_accuracy: as the table has it.
        regret: how much the best of the table is better.
        epochs: epochs trained.
        hours: virtual hours.
        idle_share: share of the devices' time without a job.
        failure: why the first network failed of the first search that named none.
    """

    searches: int
    named: int
    accuracy: Estimate
    true_accuracy: Estimate
    regret: Estimate
    epochs: Estimate
    hours: Estimate
    idle_share: Estimate
    failure: str | None


class Curve(NamedTuple):
    """Regret against epochs: of what the searches would have named so far, mean and 95 % interval at each point."""

    epochs: Numbers
    mean: Numbers
    low: Numbers
    high: Numbers


def estimate(values: Sequence[float]) -> Estimate:
    """Returns a mean and its 95 % interval by Student's t: where the mean of such searches is likely to be."""
    if not values:
        return Estimate(None, None, None)
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(mean, None, None)
    half = float(_half_width(np.array(values)[:, None])[0])
    return Estimate(mean, mean - half, mean + half)


def summary(runs: Sequence[Simulated]) -> Summary:
    """Returns what the searches of one spec came to."""
    return Summary(
        searches=len(runs),
        named=sum(run.genes is not None for run in runs),
        accuracy=estimate([run.accuracy for run in runs if run.accuracy is not None]),
        true_accuracy=estimate([run.true_accuracy for run in runs if run.true_accuracy is not None]),
        regret=estimate([run.regret for run in runs if run.regret is not None]),
        epochs=estimate([run.epochs for run in runs]),
        hours=estimate([run.seconds / 3600 for run in runs]),
        idle_share=estimate([run.idle_share for run in runs]),
        failure=next((run.failure for run in runs if run.failure is not None), None),
    )


def regret_curve(runs: Sequence[Simulated], best: float) -> Curve | None:
    """Returns the regret of what the searches would have named after so many epochs.

    It begins where every search would have named something, and ends where the shortest ended. A search that is
    over counts no further, so that every point is a mean over all.

    Args:
        runs: searches of one spec.
        best: accuracy of the table's best architecture.

    Returns:
        None if a search never named anything, so that there is no mean over all, or there is no such stretch.
    """
    if not runs or any(not run.picks for run in runs):
        return None
    begin, end = max(run.picks[0].epochs for run in runs), min(run.epochs for run in runs)
    if begin > end:
        return None
    grid = np.unique(np.linspace(begin, end, POINTS).round())
    regrets = np.array([best - _accuracies(run, grid) for run in runs])
    mean, half = regrets.mean(axis=0), _half_width(regrets)
    return Curve(grid, mean, mean - half, mean + half)


def _accuracies(run: Simulated, grid: Numbers) -> Numbers:
    """Returns the true accuracy of what a search would have named at each point of the grid."""
    epochs, accuracies = (np.array(column, dtype=np.float64) for column in zip(*run.picks, strict=True))
    found: Numbers = accuracies[np.searchsorted(epochs, grid, side="right") - 1]
    return found


def _half_width(values: Numbers) -> Numbers:
    """Returns half of the 95 % interval of each column's mean; (rows, columns) to (columns,); 0 for a single row."""
    rows = len(values)
    if rows < 2:
        return np.zeros(values.shape[1])
    deviation = values.std(axis=0, ddof=1) / np.sqrt(rows)
    half: Numbers = stdtrit(rows - 1, 0.975) * deviation
    return half
