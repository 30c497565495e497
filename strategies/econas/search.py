"""EcoNAS, Algorithm 1, as a durable coroutine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

from store.records.outcomes import AnyOutcome
from store.records.results import Individual, Result
from strategies.econas import asynchronous, parents
from strategies.econas.evolution import Evolution, remove_dead
from strategies.econas.options import EcoNASOptions
from strategies.econas.population import P_2E, P_3E, P_E
from strategies.run import Handle, Run
from strategies.spaces.base import WeighedSpace


class Stage(NamedTuple):
    """A network to be trained until it may stand on a rung: `Train(model, rung * E, (rung + 1) * E)`."""

    individual: Individual
    rung: int


class EcoNAS:
    """Evolution with a hierarchical proxy: many networks trained for E epochs, the better ones on to 2E and 3E.

    A network whose training fails is kept in the history, with the reason, and leaves the rungs for good.
    """

    def __init__(self, options: EcoNASOptions) -> None:
        self.options = options

    async def search(self, run: Run) -> Result:
        """Runs Algorithm 1; its line numbers are given on the right."""
        if not self.options.synchronous:
            return await asynchronous.search(run, self.options)
        evolution = Cycles(run, self.options)
        options, population = self.options, evolution.population
        if run.restored is None:
            await evolution.train(evolution.random_networks(options.initial))  # 6-10
            await evolution.end_cycle()
        while evolution.cycle < options.cycles:  # 11
            evolution.cycle += 1
            if options.side_by_side:
                await evolution.train(evolution.promotions() + evolution.children())
            else:
                await evolution.train(evolution.children())  # 12-17
                await evolution.train(evolution.promotions(P_E))  # 18-21
                await evolution.train(evolution.promotions(P_2E))  # 22-25
            remove_dead(population, evolution.cycle, options)  # 26
            await evolution.end_cycle()
        return evolution.result()  # "Several top models in history"


class Cycles(Evolution):
    """Evolution in batches of trainings, each of which ends before the next begins."""

    def random_networks(self, count: int) -> list[Stage]:
        """Returns new networks drawn uniformly, to be trained for E epochs."""
        return [Stage(self.random_network(), P_E) for _ in range(count)]

    def children(self) -> list[Stage]:
        """Returns this cycle's children; random networks if no network is left to be mutated."""
        rungs = [self.population.ranked(rung) for rung in (P_E, P_2E, P_3E)]
        chosen = parents.choose(rungs, self.options, self.run.rng)
        return [Stage(self.child(parent), P_E) for parent in chosen] or self.random_networks(self.options.children)

    def promotions(self, *rungs: int) -> list[Stage]:
        """Returns the best networks of P_E, P_2E or both, to be trained for the next rung."""
        counts = {P_E: self.options.promoted_to_2e, P_2E: self.options.promoted_to_3e}
        return [
            Stage(individual, rung + 1)
            for rung in rungs or (P_E, P_2E)
            for individual in self.population.top(rung, counts[rung], limit_half=self.options.limit_half)
        ]

    async def train(self, stages: Sequence[Stage]) -> None:
        """Trains networks, all at once, and moves them to their rungs when all have ended."""
        handles: dict[int, Handle] = {}
        for place in self._order(stages):
            candidate = self.candidate(stages[place].individual.architecture)
            handles[place] = self.run.train(candidate, epochs=(stages[place].rung + 1) * self.options.epochs)
        outcomes: list[AnyOutcome] = []
        for place in range(len(stages)):
            self.progress(ended=len(outcomes))
            outcomes.append(await handles[place])
        for stage, outcome in zip(stages, outcomes, strict=True):
            self.population.settle(stage.individual.index, stage.rung, outcome, self.cycle)
        self.epochs_this_cycle += len(stages) * self.options.epochs
        self.progress()

    async def end_cycle(self) -> None:
        """Adds the cycle to the curves and commits the state."""
        self.add_to_curves()
        await self.run.save(self.state)

    def _order(self, stages: Sequence[Stage]) -> list[int]:
        """Returns the places of the stages in the order in which they are asked for.

        All have E epochs, so the longest is the one of the network with the most work.
        """
        if not self.options.longest_first:
            return list(range(len(stages)))
        space = cast(WeighedSpace, self.run.space)  # the registry refuses other spaces
        works = [space.work(stage.individual.architecture) for stage in stages]
        return sorted(range(len(stages)), key=lambda place: -works[place])
