"""What the page draws of a search: few enough numbers to send and to draw often, however long the search is."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from statistics import fmean
from typing import Any, TypeVar

from orchestrator.views import CandidateView, Step

T = TypeVar("T")
POINTS = 240
"""The most points of a line."""
DOTS = 1200
"""The most candidates that are drawn one by one."""
LATEST = 20
"""A rung's mean is that of so many trainings: of the latest, so that it moves with the search."""


def rungs(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Returns each rung's accuracy over time, the fewest epochs first.

    A rung's points are `[seconds, mean, best]`: of running time, of the latest trainings, and of all so far.
    """
    levels: dict[int, list[Step]] = {}
    for step in steps:
        levels.setdefault(step.epochs, []).append(step)
    return [_rung(epochs, found) for epochs, found in sorted(levels.items())]


def _rung(epochs: int, steps: Sequence[Step]) -> dict[str, Any]:
    points, best = [], 0.0
    latest: deque[float] = deque(maxlen=LATEST)
    for step in steps:
        latest.append(step.accuracy)
        best = max(best, step.accuracy)
        points.append([round(step.seconds, 3), round(fmean(latest), 6), round(best, 6)])
    return {
        "epochs": epochs,
        "candidates": len({step.candidate for step in steps}),
        "mean": points[-1][1],
        "best": points[-1][2],
        "latest": LATEST,
        "points": thinned(points, POINTS),
    }


def candidates(found: Sequence[CandidateView]) -> dict[str, Any]:
    """Returns the candidates' accuracies by order of birth, and the best so far where it rose.

    `points` are `[index, accuracy]`; of very many, every so-manieth, and each that was the best so far.
    """
    scored = [(one.index, one.score) for one in found if one.score is not None]
    best: list[list[float]] = []
    for index, score in scored:
        if not best or score > best[-1][1]:
            best.append([index, round(score, 6)])
    shown = {index: round(score, 6) for index, score in thinned(scored, DOTS)} | {int(at): value for at, value in best}
    return {
        "total": len(found),
        "scored": len(scored),
        "failed": sum(one.failure is not None for one in found),
        "points": [[index, value] for index, value in sorted(shown.items())],
        "best": best,
    }


def thinned(items: Sequence[T], most: int) -> list[T]:
    """Returns at most so many items, evenly chosen; the last is among them."""
    if len(items) <= most:
        return list(items)
    step = len(items) / most
    return [items[int((number + 1) * step) - 1] for number in range(most - 1)] + [items[-1]]
