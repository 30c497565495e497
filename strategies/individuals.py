"""What strategies have in common: the networks of a history, how outcomes change them, and how they are ranked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from store.records.candidates import Architecture, Candidate
from store.records.outcomes import AnyOutcome, Failure, Trained
from store.records.results import Individual

NONE_TRAINED = "no network could be trained, so there is no best one"
"""The note of a search in which every network failed."""
_FIELDS = tuple(name for name in Individual.model_fields if name != "architecture")


def newborn(index: int, candidate: Candidate, *, cycle: int, origin: str, parent: int | None = None) -> Individual:
    """Returns a candidate as a network of a history that is not trained yet."""
    return Individual(
        index=index,
        architecture=candidate.architecture,
        candidate=candidate.id,
        parent=parent,
        origin=origin,
        cycle=cycle,
    )


def learnt(individual: Individual, outcome: AnyOutcome) -> Individual:
    """Returns the individual as an outcome of its training leaves it.

    A failure, and a training whose accuracy is not finite, sets `failure` and leaves the rest as it was. A training
    on all images has no validation accuracy, and that is no failure.
    """
    if isinstance(outcome, Trained) and (outcome.accuracy is None or math.isfinite(outcome.accuracy)):
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


def longest_trained(
    history: Sequence[Individual], count: int, wanted: int, goal: str
) -> tuple[tuple[Individual, ...], tuple[str, ...]]:
    """Returns the best of the networks that were trained the longest, and notes.

    Networks that were trained for different times cannot be compared, so only those of the highest rung are.

    Args:
        history: all networks.
        count: how many to return.
        wanted: epochs of the highest rung; if no network reached these, a note says so.
        goal: these epochs in words, for the note.
    """
    reached = max((one.epochs for one in history if one.failure is None), default=0)
    notes: tuple[str, ...] = ()
    if not reached:
        notes = (NONE_TRAINED,)
    elif reached < wanted:
        notes = (f"no network reached {goal}; the best are of those that reached {reached}",)
    return best([one for one in history if one.epochs == reached], count), notes


def dump(history: Sequence[Individual]) -> dict[str, Any]:
    """Returns plain values for `Run.save`: one list per field, and all genes (all of one space) in one array.

    EcoNAS saves up to 1,650 networks after every cycle: 26 ms at the end, where a list of maps takes 110 ms.
    """
    columns: dict[str, Any] = {name: [getattr(one, name) for one in history] for name in _FIELDS}
    columns["space"] = history[0].architecture.space if history else ""
    columns["genes"] = np.array([one.architecture.genes for one in history], dtype=np.int16)
    return columns


def load(columns: dict[str, Any]) -> list[Individual]:
    """Returns what `dump` was given; fields that a later version added are at their defaults."""
    names = [name for name in _FIELDS if name in columns]
    rows = zip(*(columns[name] for name in names), strict=True)
    return [
        Individual(
            architecture=Architecture(space=columns["space"], genes=tuple(genes.tolist())),
            **dict(zip(names, row, strict=True)),
        )
        for genes, row in zip(columns["genes"], rows, strict=True)
    ]


def _why(outcome: AnyOutcome) -> str:
    if isinstance(outcome, Failure):
        return outcome.words
    if isinstance(outcome, Trained):
        return f"its accuracy is not finite ({outcome.accuracy})"
    return f"got a {outcome.kind!r} outcome for a training"
