"""Which networks are mutated (EcoNAS, section 4.2): the higher the rung and the rank, the likelier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from store.records.results import Individual

if TYPE_CHECKING:
    from strategies.econas.options import EcoNASOptions

Ranking = Sequence[Individual]
"""The networks of one rung, best first."""


def choose(rungs: Sequence[Ranking], options: EcoNASOptions, rng: np.random.Generator) -> list[Individual]:
    """Returns the parents of one cycle's children, with repetitions; none if all rungs are empty.

    Args:
        rungs: P_E, P_2E and P_3E, each best first.
        options: the way to choose, and how many.
        rng: source of randomness.
    """
    filled = [rung for rung in range(len(rungs)) if rungs[rung]]
    if not filled:
        return []
    if options.parents == "tournament":
        counts = split(options.parent_shares, filled, share=options.empty_rung == "share")
        return [tournament(rungs[rung], rng) for rung in filled for _ in range(counts[rung])]
    weights = _normalised([options.rung_weights[rung] for rung in filled])
    chosen = [rungs[filled[rng.choice(len(filled), p=weights)]] for _ in range(options.children)]
    if options.parents == "rank_two_stage":
        return [linear_ranking(rung, rng) for rung in chosen]
    return [softmax(rung, options.temperature, rng) for rung in chosen]


def one(rungs: Sequence[Ranking], options: EcoNASOptions, rng: np.random.Generator) -> Individual:
    """Returns the parent of a single child.

    Args:
        rungs: P_E, P_2E and P_3E, each best first, not all of them empty. `tournament` takes the first that has
            networks: there the children have their rungs already (`split`), and the others are passed empty.
        options: the way to choose.
        rng: source of randomness.
    """
    filled = [rung for rung in range(len(rungs)) if rungs[rung]]
    if options.parents == "tournament":
        return tournament(rungs[filled[0]], rng)
    chosen = rungs[filled[rng.choice(len(filled), p=_normalised([options.rung_weights[rung] for rung in filled]))]]
    if options.parents == "rank_two_stage":
        return linear_ranking(chosen, rng)
    return softmax(chosen, options.temperature, rng)


def tournament(rung: Ranking, rng: np.random.Generator) -> Individual:
    """Returns the best of S draws with replacement, S = n // 4 + 1 for n networks (released code)."""
    size = len(rung) // 4 + 1
    return rung[int(rng.integers(len(rung), size=size).min())]


def linear_ranking(rung: Ranking, rng: np.random.Generator) -> Individual:
    """Returns a network with a probability proportional to n, n - 1, ..., 1 from the best to the worst."""
    return rung[rng.choice(len(rung), p=_normalised(range(len(rung), 0, -1)))]


def softmax(rung: Ranking, temperature: float, rng: np.random.Generator) -> Individual:
    """Returns a network with a probability proportional to exp(accuracy / temperature)."""
    top = rung[0].accuracy or 0.0
    weights = [math.exp(((one.accuracy or 0.0) - top) / temperature) for one in rung]
    return rung[rng.choice(len(rung), p=_normalised(weights))]


def split(counts: Sequence[int], filled: Sequence[int], *, share: bool) -> list[int]:
    """Returns how many parents each rung gives.

    Args:
        counts: what each rung would give.
        filled: the rungs that have networks.
        share: whether these give the parents that the empty ones cannot.
    """
    missing = sum(counts) - sum(counts[rung] for rung in filled)
    extra = shares(missing if share else 0, filled, len(counts))
    return [counts[rung] + extra[rung] if rung in filled else 0 for rung in range(len(counts))]


def shares(total: int, rungs: Sequence[int], length: int) -> list[int]:
    """Returns `total` divided among `rungs` as evenly as can be, the first ones getting what is over."""
    each, over = divmod(total, len(rungs))
    divided = [0] * length
    for place, rung in enumerate(rungs):
        divided[rung] = each + (place < over)
    return divided


def _normalised(weights: Sequence[float]) -> list[float]:
    total = math.fsum(weights)
    return [weight / total for weight in weights]
