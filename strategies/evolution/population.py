"""The population of regularised evolution: all networks that ever lived, and the queue of those alive."""

from __future__ import annotations

import statistics
from collections import deque
from typing import Any

import numpy as np

from store.records.candidates import Candidate
from store.records.outcomes import AnyOutcome
from store.records.results import Individual
from strategies.individuals import dump, learnt, load, newborn


class AgeingPopulation:
    """A queue: the youngest enters on the right, the oldest leaves on the left, whatever its accuracy.

    Args:
        capacity: P, how many are alive.
        epochs: E, epochs from one rung to the next.
    """

    def __init__(self, capacity: int, epochs: int) -> None:
        self.history: list[Individual] = []
        self.alive: deque[int] = deque()
        self._capacity, self._epochs = capacity, epochs
        self._moved_in: list[int] = []

    def born(self, candidate: Candidate, *, cycle: int, origin: str, parent: int | None = None) -> Individual:
        """Adds a network to the history; it is alive once it is trained."""
        individual = newborn(len(self.history), candidate, cycle=cycle, origin=origin, parent=parent)
        self.history.append(individual)
        self._moved_in.append(cycle)
        return individual

    def enter(self, index: int, cycle: int) -> None:
        """Takes note that a network is trained in this cycle, though it has not ended."""
        self._moved_in[index] = cycle

    def settle(self, index: int, outcome: AnyOutcome) -> None:
        """Takes note of a training: the first one makes a network alive, and the oldest leaves if there are too many.

        A network whose training fails is not alive, any more or at all; for one that never was, nobody leaves.
        """
        first, self.history[index] = self.history[index].epochs == 0, learnt(self.history[index], outcome)
        if self.history[index].failure is not None:
            if index in self.alive:
                self.alive.remove(index)
        elif first:
            self.alive.append(index)
            if len(self.alive) > self._capacity:
                self.alive.popleft()

    def parent(self, sample: int, rng: np.random.Generator) -> Individual:
        """Returns the best of so many draws with replacement; the network trained longer is better, then the older."""
        drawn = {self.alive[place] for place in rng.integers(len(self.alive), size=sample).tolist()}
        return max((self.history[index] for index in drawn), key=_rank)

    def rung(self, rung: int) -> list[Individual]:
        """Returns the living networks that are trained for exactly `rung + 1` times E epochs, oldest first."""
        wanted = (rung + 1) * self._epochs
        return [self.history[index] for index in self.alive if self.history[index].epochs == wanted]

    def promotable(self, rung: int, cycle: int, busy: set[int]) -> Individual | None:
        """Returns the best of a rung that was last trained before this cycle and is not busy, or None."""
        ready = [one for one in self.rung(rung) if one.index not in busy and self._moved_in[one.index] < cycle]
        return max(ready, key=_rank, default=None)

    def mean_accuracy(self, rung: int) -> float | None:
        """Returns the mean accuracy of the living on a rung, or None if there are none."""
        accuracies = [one.accuracy for one in self.rung(rung) if one.accuracy is not None]
        return statistics.fmean(accuracies) if accuracies else None

    def state(self) -> dict[str, Any]:
        """Returns plain values from which `restore` makes the same population."""
        return {"history": dump(self.history), "alive": list(self.alive), "moved_in": list(self._moved_in)}

    def restore(self, state: dict[str, Any]) -> None:
        """Becomes the population that `state` described."""
        self.history, self._moved_in = load(state["history"]), list(state["moved_in"])
        self.alive = deque(state["alive"])


def _rank(individual: Individual) -> tuple[int, float, int]:
    return individual.epochs, individual.accuracy or 0.0, -individual.index
