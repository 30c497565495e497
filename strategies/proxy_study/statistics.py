"""How well two settings agree on the ranks of networks (EcoNAS section 3 and appendix A2, A4). Pure.

Accuracies are one-dimensional arrays with one entry per network, in [0, 1] or in per cent as long as a tolerance is in
the same unit. None of the functions takes NaN: a network that failed in either setting is left out of both (`paired`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

TOLERANCE = 0.0015
"""b of the tolerant rho: 0.15 percentage points (A2)."""
RESAMPLES = 2000
"""B: resamples of a bootstrap interval, unless another number is asked for."""
GOOD, AMONG, ZOO = 10, (15, 20), 50
"""Good models retained: the best 10 of the original setting among the best 15 or 20 of 50 networks (Fig. 9)."""
BIN = 0.1
_LEAST = 3  # networks, below which no rank correlation is told
_SLACK = 1e-9  # 0.9015 - 0.9 is 0.0015 in decimal, and a little more or less than that in binary


class Pair(NamedTuple):
    """Accuracies in the original and in a reduced setting, of the networks that have both."""

    original: Floats
    reduced: Floats

    @property
    def networks(self) -> int:
        """How many there are."""
        return len(self.original)


def paired(original: Sequence[float | None], reduced: Sequence[float | None]) -> Pair:
    """Leaves out every network that has no accuracy in one of the two settings."""
    both = [(o, p) for o, p in zip(original, reduced, strict=True) if o is not None and p is not None]
    table = np.array(both, dtype=np.float64).reshape(-1, 2)
    return Pair(table[:, 0], table[:, 1])


def ranks(values: npt.ArrayLike) -> Floats:
    """Returns ranks, 1 for the largest; equal values share the average of their ranks. Shape (values,)."""
    known = np.asarray(values, dtype=np.float64)
    found: Floats = _weighted_ranks(known, np.ones((1, len(known))))[0]
    return found


def pearson(x: npt.ArrayLike, y: npt.ArrayLike) -> float | None:
    """Returns Pearson's coefficient; none if there are fewer than two points or one side does not vary."""
    table = np.array([x, y], dtype=np.float64)
    if table.shape[1] < 2 or np.any(np.ptp(table, axis=1) == 0):
        return None
    centred = table - table.mean(axis=1, keepdims=True)
    products = centred @ centred.T
    scale = math.sqrt(products[0, 0] * products[1, 1])
    return float(np.clip(products[0, 1] / scale, -1.0, 1.0)) if scale > 0 else None


def spearman(pair: Pair) -> float | None:
    """Returns rho_sp as Pearson's coefficient of the ranks, which ties do not distort.

    None with fewer than three networks, or where all are equal in one of the settings.
    """
    return pearson(ranks(pair.original), ranks(pair.reduced)) if pair.networks >= _LEAST else None


def equation_1(pair: Pair) -> float | None:
    """Returns rho_sp by EcoNAS's Eq. 1 as printed, 1 - 6 sum d_i^2 / (K (K^2 - 1)), d_i from average ranks.

    It equals `spearman` where no two networks tie.
    """
    return _from_differences(ranks(pair.original) - ranks(pair.reduced))


def tolerant(pair: Pair, tolerance: float = TOLERANCE) -> float | None:
    """Returns the tolerant rho (A2): pairs of networks as good as equal in *both* settings make no rank difference.

    The paper gives no formula. Written out, a rank difference is d_i = sum over j != i of
    1/2 [sgn(o_j - o_i) - sgn(p_j - p_i)] with average ties. Every term with |o_i - o_j| <= b and |p_i - p_j| <= b is
    dropped, and Eq. 1 is taken of what is left. b = 0 gives Eq. 1, b = infinity gives 1.

    Args:
        pair: accuracies of the same networks in the two settings.
        tolerance: b, in the accuracies' unit.
    """
    original, reduced = _differences(pair.original), _differences(pair.reduced)
    bound = tolerance * (1 + _SLACK)
    equal = (np.abs(original) <= bound) & (np.abs(reduced) <= bound)
    terms = np.where(equal, 0.0, (np.sign(original) - np.sign(reduced)) / 2)
    return _from_differences(terms.sum(axis=1))


def entropy(rhos: Sequence[float]) -> float | None:
    """Returns rho_e (A4): Spearman's coefficient of rho with 1, 2, 3, ... as the factor goes through its values.

    1 is a steady rise, -1 a steady fall. Five values give multiples of 0.1, four multiples of 0.2, two -1 or 1. None
    for fewer than two values, or where rho does not change at all.
    """
    return pearson(-ranks(rhos), np.arange(1, len(rhos) + 1)) if len(rhos) >= 2 else None


class Sizes(NamedTuple):
    """Which networks count as good, and among how many of the reduced setting's best they are looked for."""

    good: int
    among: tuple[int, ...]

    @classmethod
    def of(cls, networks: int) -> Sizes:
        """The paper's 10 among 15 and 20; of fewer than its 50 networks the same shares: 5 among 7 and 10 of 24."""
        share = min(1.0, networks / ZOO)
        among = sorted({max(1, round(size * share)) for size in AMONG})
        return cls(max(1, round(GOOD * share)), tuple(among))


def retained(pair: Pair, good: int, among: int) -> int:
    """Returns how many of the `good` best of the original setting are among the `among` best of the reduced one.

    Of equal networks the one that comes first in the arrays is the better.
    """
    return len(set(_best(pair.original, good)) & set(_best(pair.reduced, among)))


def retained_by_chance(networks: int, good: int, among: int) -> float:
    """Returns what is expected of a random order: 3.0 and 4.0 for 10 among 15 and 20 of 50."""
    return min(good, networks) * min(among, networks) / networks if networks else 0.0


def bins(rhos: Iterable[float], width: float = BIN) -> list[float]:
    """Returns the lower edge of each rho's bin, multiples of `width`; rho = 1 is in the last bin (Fig. 9)."""
    last = round(1 / width) - 1
    return [round(min(math.floor(rho / width + _SLACK), last) * width, 9) for rho in rhos]


class Bin(NamedTuple):
    """Settings with about the same rho: the bin's lower edge, how many they are, and their mean counts by name."""

    lower: float
    settings: int
    means: dict[str, float]


def means_by_bin(rhos: Sequence[float], counts: Sequence[Mapping[str, int]]) -> list[Bin]:
    """Returns the bins that are not empty, by ascending rho, with the means of what was counted of their settings."""
    edges = bins(rhos)
    members = {edge: [c for at, c in zip(edges, counts, strict=True) if at == edge] for edge in sorted(set(edges))}
    return [
        Bin(edge, len(own), {name: float(np.mean([count[name] for count in own])) for name in own[0]})
        for edge, own in members.items()
    ]


def resampled(pair: Pair, seed: Sequence[int], resamples: int = RESAMPLES) -> Floats:
    """Returns rho of `resamples` draws of as many networks with replacement, NaN where it is not defined.

    The draws depend on the seed and the number of networks alone, so settings in which the same networks succeeded are
    resampled alike, and their rhos can be compared draw by draw. Shape (resamples,).
    """
    networks = pair.networks
    if networks < _LEAST:
        return np.full(resamples, np.nan)
    generator = np.random.Generator(np.random.PCG64([*seed, networks]))
    draws = generator.integers(networks, size=(resamples, networks)) + networks * np.arange(resamples)[:, None]
    counts = np.bincount(draws.ravel(), minlength=resamples * networks).reshape(resamples, networks)
    x, y = (_weighted_ranks(values, counts) - (networks + 1) / 2 for values in pair)
    scale = np.sqrt((counts * x**2).sum(axis=1) * (counts * y**2).sum(axis=1))
    products = (counts * x * y).sum(axis=1)
    return np.asarray(np.where(scale > 0, products / np.where(scale > 0, scale, 1.0), np.nan), dtype=np.float64)


def interval(rhos: Floats) -> tuple[float, float] | None:
    """Returns the 95 % percentile interval of a bootstrap's rhos; none if none of them is defined."""
    known = rhos[np.isfinite(rhos)]
    if not known.size:
        return None
    low, high = np.quantile(known, (0.025, 0.975))
    return float(low), float(high)


def _differences(values: Floats) -> Floats:
    """Row i, column j: value j less value i."""
    return values[None, :] - values[:, None]


def _from_differences(differences: Floats) -> float | None:
    networks = len(differences)
    if networks < _LEAST:
        return None
    return float(1 - 6 * (differences**2).sum() / (networks * (networks**2 - 1)))


def _best(values: Floats, count: int) -> list[int]:
    order: list[int] = np.argsort(-values, kind="stable")[:count].tolist()
    return order


def _weighted_ranks(values: Floats, counts: npt.ArrayLike) -> Floats:
    """Returns each value's rank where it and the others are there so often, one row for each row of counts.

    Ranks are multiples of a half, which are exact, so that a bootstrap is the same on every machine.
    """
    weights = np.asarray(counts, dtype=np.float64)
    larger, equal = (np.asarray(of(values[None, :], values[:, None]), np.float64) for of in (np.greater, np.equal))
    found: Floats = weights @ larger.T + (weights @ equal.T + 1) / 2
    return found
