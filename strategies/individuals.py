"""What strategies have in common: the networks of a history, how outcomes change them, and how they are ranked."""

from __future__ import annotations

import math
from collections.abc import Iterable

from store.records.candidates import Architecture
from store.records.outcomes import AnyOutcome, Failure, Trained
from store.records.results import Individual


def learnt(individual: Individual, outcome: AnyOutcome) -> Individual:
    """Returns the individual as an outcome of its training leaves it.

    A failure, and a training that ended without a finite accuracy, sets `failure` and leaves the rest as it was.
    """
    if isinstance(outcome, Trained) and math.isfinite(outcome.accuracy):
        return individual.model_copy(
            update={
                "epochs": outcome.epochs,
                "accuracy": outcome.accuracy,
                "checkpoint": outcome.checkpoint,
                "parameters": outcome.parameters,
                "multiply_adds": outcome.multiply_adds,
            }
        )
    return individual.model_copy(update={"failure": _why(outcome)})


def ranked(individuals: Iterable[Individual]) -> list[Individual]:
    """Returns the individuals that have an accuracy and no failure, best first; the older one wins a tie."""
    sound = [one for one in individuals if one.accuracy is not None and one.failure is None]
    return sorted(sound, key=lambda one: (-(one.accuracy or 0.0), one.index))


def best(individuals: Iterable[Individual], count: int) -> tuple[Individual, ...]:
    """Returns the `count` best different candidates; of equal candidates the first in rank stands for all."""
    different: dict[str, Individual] = {}
    for individual in ranked(individuals):
        different.setdefault(individual.candidate, individual)
    return tuple(list(different.values())[:count])


def dump(history: Iterable[Individual]) -> list[dict[str, object]]:
    """Returns plain values for `Run.save`, without what is at its default."""
    rows = []
    for individual in history:
        row = individual.model_dump(exclude_defaults=True, exclude={"architecture"})
        rows.append(row | {"space": individual.architecture.space, "genes": list(individual.architecture.genes)})
    return rows


def load(rows: Iterable[dict[str, object]]) -> list[Individual]:
    """Returns what `dump` was given."""
    history = []
    for row in rows:
        fields = dict(row)
        architecture = Architecture.model_validate({"space": fields.pop("space"), "genes": fields.pop("genes")})
        history.append(Individual.model_validate(fields | {"architecture": architecture}))
    return history


def _why(outcome: AnyOutcome) -> str:
    if isinstance(outcome, Failure):
        return f"{outcome.reason}: {outcome.message}"
    if isinstance(outcome, Trained):
        return f"its accuracy is not finite ({outcome.accuracy})"
    return f"got a {outcome.kind!r} outcome for a training"
