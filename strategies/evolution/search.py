"""Regularised evolution (Real et al. 2019, Algorithm 1), with more than one child under way and rungs as options."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from store.records.candidates import Architecture, Candidate
from store.records.outcomes import AnyOutcome
from store.records.results import Individual, Result
from strategies.evolution.options import RegularisedEvolutionOptions
from strategies.evolution.population import AgeingPopulation
from strategies.individuals import longest_trained
from strategies.run import Run
from strategies.spaces.base import MutableSpace
from strategies.spaces.cell import HIDDEN_STATE, OPERATION
from strategies.under_way import UnderWay, due

IDENTITY = "identity"
RUNGS = ("E", "2E", "3E")


class Begun(NamedTuple):
    """A training under way: of which network, and for which rung."""

    network: int
    rung: int


class RegularisedEvolution:
    """Tournament selection from a queue that the oldest leave: no network lives longer for being good."""

    def __init__(self, options: RegularisedEvolutionOptions) -> None:
        self.options = options

    async def search(self, run: Run) -> Result:
        """Returns the best of all that ever lived."""
        evolution = Evolution(run, self.options)
        if run.restored is None:
            await evolution.populate()
        else:
            evolution.take_up()
        while not evolution.used_up:
            await evolution.fill()
            if not evolution.used_up:
                evolution.settle(*await evolution.under_way.first())
        await evolution.finish()
        return evolution.result()


class Evolution:
    """One run of the algorithm.

    A cycle is `children` births, and the promotions that came before them. It ends when all of it was asked for; what
    is still under way goes on into the next.
    """

    def __init__(self, run: Run, options: RegularisedEvolutionOptions) -> None:
        self.options, self.under_way = options, UnderWay[Begun](run, options.in_flight)
        self._run, self._population = run, AgeingPopulation(options.population, options.epochs)
        self._cycle, self._epochs_this_cycle = 0, 0
        self._curves: dict[str, list[Any]] = {}
        self._children, self._promotions = 0, list[int]()

    @property
    def used_up(self) -> bool:
        """Whether as many networks were born as there may be."""
        return len(self._population.history) >= self.options.models

    async def populate(self) -> None:
        """Trains the first networks, drawn uniformly, all at once; they enter the queue in the order of birth."""
        for _ in range(min(self.options.population, self.options.models)):
            self._begin(self._random(), 0)
        while len(self.under_way):
            self.settle(*await self.under_way.oldest())

    def take_up(self) -> None:
        """Goes on with the cycle that the saved state was about to begin."""
        state = self._run.restored
        self._population.restore(state["population"])
        self._cycle, self._curves = state["cycle"], state["curves"]
        for begun in state["under_way"]:
            self._ask(Begun(*begun))
        self._next_cycle()

    async def fill(self) -> None:
        """Asks for trainings while there is room, and networks may be born."""
        while self.under_way.free and not self.used_up:
            if not self._children and not self._promotions:
                self._add_to_curves()
                if due(self._cycle):
                    await self.under_way.save(self._state)
                self._next_cycle()
            elif not self._promote() and not self._bear() and len(self.under_way):
                return

    def settle(self, begun: Begun, outcome: AnyOutcome) -> None:
        """Takes note of a training that has ended."""
        self._population.settle(begun.network, outcome)
        self._progress()

    async def finish(self) -> None:
        """Sees what is under way to its end, and the promotions that this cycle still has room for."""
        if self._promotions:
            self._run.epilogue(self.options.models)
        while self._promotions:
            if not (self.under_way.free and self._promote()) and len(self.under_way):
                self.settle(*await self.under_way.first())
        while len(self.under_way):
            self.settle(*await self.under_way.oldest())
        self._add_to_curves()

    def result(self) -> Result:
        """Returns the history, and the best of the networks that were trained the longest."""
        options, history = self.options, self._population.history
        wanted = options.rungs * options.epochs
        top, notes = longest_trained(history, options.top, wanted, f"{wanted} epochs")
        copies = sum(one.origin == IDENTITY for one in history)
        if copies:
            notes += (f"children that are copies of their parents: {copies}, with the parents' accuracy from the memo",)
        return Result(best=top, history=tuple(history), notes=notes, curves=self._curves)

    def _next_cycle(self) -> None:
        self._cycle += 1
        self._children, options = self.options.children, self.options
        if options.hierarchical:
            counts = (options.promoted_to_2e, options.promoted_to_3e)
            self._promotions = [rung for rung in (0, 1) for _ in range(min(counts[rung], self._standing(rung)))]

    def _standing(self, rung: int) -> int:
        """Counts the living that would be on a rung if all that is under way ended well now."""
        busy = {begun.network: begun.rung for begun in self.under_way.stages}
        coming = list(busy.values()).count(rung)
        return coming + sum(one.index not in busy for one in self._population.rung(rung))

    def _promote(self) -> bool:
        """Asks for the first promotion for which there is a network; returns whether there was one.

        A network moves one rung a cycle. One that no network is left for is given up when nothing is under way.
        """
        busy = {begun.network for begun in self.under_way.stages}
        for place, rung in enumerate(self._promotions):
            if chosen := self._population.promotable(rung, self._cycle, busy):
                del self._promotions[place]
                self._begin(chosen, rung + 1)
                return True
        if not busy:
            self._promotions.clear()
        return False

    def _bear(self) -> bool:
        """Asks for a child; returns whether there was a parent, or nothing to wait for."""
        if not self._children or (len(self.under_way) and not self._population.alive):
            return False
        self._children -= 1
        self._begin(self._child() if self._population.alive else self._random(), 0)
        return True

    def _random(self) -> Individual:
        candidate = self._candidate(self._run.space.random(self._run.rng))
        return self._population.born(candidate, cycle=self._cycle, origin="random")

    def _child(self) -> Individual:
        rng, options = self._run.rng, self.options
        parent = self._population.parent(options.sample, rng)
        architecture, mutation = parent.architecture, IDENTITY
        if rng.random() >= options.identity_probability:
            share = options.hidden_state_probability
            weights = {HIDDEN_STATE: share, OPERATION: 1 - share}
            space = cast(MutableSpace, self._run.space)  # the registry refuses other spaces
            architecture, mutation = space.mutate(parent.architecture, rng, weights)
        candidate = self._candidate(architecture)
        return self._population.born(candidate, cycle=self._cycle, origin=mutation, parent=parent.index)

    def _begin(self, individual: Individual, rung: int) -> None:
        self._population.enter(individual.index, self._cycle)
        self._ask(Begun(individual.index, rung))
        self._epochs_this_cycle += self.options.epochs

    def _ask(self, begun: Begun) -> None:
        candidate = self._candidate(self._population.history[begun.network].architecture)
        self.under_way.add(begun, self._run.train(candidate, epochs=(begun.rung + 1) * self.options.epochs))

    def _candidate(self, architecture: Architecture) -> Candidate:
        options = self.options
        return self._run.candidate(
            architecture,
            schedule=options.schedule,
            schedule_epochs=options.schedule_epochs,
            reset_momentum_epochs=options.epochs if options.reset_momentum else None,
        )

    def _add_to_curves(self) -> None:
        row: dict[str, Any] = {"cycle": self._cycle, "models": len(self._population.history)}
        row["epochs"], self._epochs_this_cycle = self._epochs_this_cycle, 0
        for rung, name in enumerate(RUNGS[: self.options.rungs]):
            row[f"mean_accuracy_{name}"] = self._population.mean_accuracy(rung)
            row[f"size_{name}"] = len(self._population.rung(rung))
        for name, value in row.items():
            self._curves.setdefault(name, []).append(value)

    def _state(self) -> dict[str, Any]:
        begun = [list(one) for one in self.under_way.stages]
        state = {"population": self._population.state(), "cycle": self._cycle, "curves": self._curves}
        return state | {"under_way": begun}

    def _progress(self) -> None:
        born, models = len(self._population.history), self.options.models
        self._run.progress(born - len(self.under_way), models, f"model {born} of {models}")
