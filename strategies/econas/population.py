"""The population of EcoNAS: the history of all networks, and the three rungs P_E, P_2E and P_3E."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from store.records.candidates import Candidate
from store.records.outcomes import AnyOutcome
from store.records.results import Individual
from strategies.individuals import dump, learnt, load, newborn, ranked

RUNGS = ("E", "2E", "3E")
P_E, P_2E, P_3E = range(len(RUNGS))


class Population:
    """Networks by index, and which of them stand on which rung. A network is on one rung, or on none."""

    def __init__(self) -> None:
        self.history: list[Individual] = []
        self.rungs: tuple[list[int], ...] = tuple([] for _ in RUNGS)
        self._trained_in: list[int] = []
        self._known: set[str] = set()

    def __contains__(self, candidate: str) -> bool:
        """Whether a network with this candidate digest is in the history."""
        return candidate in self._known

    def born(self, candidate: Candidate, *, cycle: int, origin: str, parent: int | None = None) -> Individual:
        """Adds a network to the history, on no rung yet."""
        individual = newborn(len(self.history), candidate, cycle=cycle, origin=origin, parent=parent)
        self.history.append(individual)
        self._trained_in.append(cycle)
        self._known.add(individual.candidate)
        return individual

    def settle(self, index: int, rung: int, outcome: AnyOutcome, cycle: int) -> None:
        """Moves a network to the rung that it was trained for; if the training failed, off all rungs, for good."""
        for members in self.rungs:
            if index in members:
                members.remove(index)
        self.history[index] = learnt(self.history[index], outcome)
        if self.history[index].failure is None:
            self.rungs[rung].append(index)
            self._trained_in[index] = cycle

    def enter(self, index: int, cycle: int) -> None:
        """Takes note that a network is trained in this cycle, though it has not ended."""
        self._trained_in[index] = cycle

    def trained_in(self, index: int) -> int:
        """Returns the cycle in which a network was last trained."""
        return self._trained_in[index]

    def ranked(self, rung: int) -> list[Individual]:
        """Returns a rung's networks, best first; the older one wins a tie."""
        return ranked(self.history[index] for index in self.rungs[rung])

    def top(self, rung: int, count: int, *, limit_half: bool = False) -> list[Individual]:
        """Returns the `count` best networks of a rung, fewer if it has not as many, or not twice as many."""
        members = self.ranked(rung)
        return members[: min(count, len(members) // 2) if limit_half else count]

    def remove_idle(self, cycle: int, dead_after: int) -> None:
        """Removes those that at the start of the next cycle have not been trained for `dead_after` cycles.

        The released code numbers the initial population like its first cycle, and so does this.
        """
        for members in self.rungs:
            members[:] = [one for one in members if cycle + 1 - max(self._trained_in[one], 1) < dead_after]

    def remove_oldest_of_each(self, capacity: int) -> None:
        """Removes the first-born of each rung until no more than `capacity` stand on it (AmoebaNet's ageing)."""
        for members in self.rungs:
            members[:] = sorted(members)[-capacity:]

    def remove_oldest_of_all(self, capacity: int) -> None:
        """Removes the first-born of all rungs together until no more than `capacity` are left."""
        kept = set(sorted(index for members in self.rungs for index in members)[-capacity:])
        for members in self.rungs:
            members[:] = [index for index in members if index in kept]

    def mean_accuracy(self, rung: int) -> float | None:
        """Returns the mean accuracy of a rung (Fig. 10), or None if it is empty."""
        accuracies = [one.accuracy for one in self.ranked(rung) if one.accuracy is not None]
        return statistics.fmean(accuracies) if accuracies else None

    def state(self) -> dict[str, Any]:
        """Returns plain values from which `restore` makes the same population."""
        rungs: Sequence[list[int]] = [list(members) for members in self.rungs]
        return {"history": dump(self.history), "rungs": rungs, "trained_in": list(self._trained_in)}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Population:
        """Returns the population that `state` described."""
        population = cls()
        population.history = load(state["history"])
        population.rungs = tuple(list(members) for members in state["rungs"])
        population._trained_in = list(state["trained_in"])
        population._known = {one.candidate for one in population.history}
        return population
