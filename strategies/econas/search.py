"""EcoNAS, Algorithm 1, as a durable coroutine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from store.records.candidates import Architecture, Candidate
from store.records.outcomes import AnyOutcome
from store.records.results import Individual, Result
from strategies.econas import parents
from strategies.econas.options import EcoNASOptions
from strategies.econas.population import P_2E, P_3E, P_E, RUNGS, Population
from strategies.individuals import best
from strategies.run import Run
from strategies.spaces.base import MutableSpace
from strategies.spaces.cell import HIDDEN_STATE, OPERATION

REDRAWS = 100
"""How often a child that is known already is drawn again."""


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
        evolution = Evolution(run, self.options)
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


@dataclass
class Evolution:
    """One run of the algorithm: its population, its cycle, and what it tells about itself.

    Attributes:
        run: the search's view of the world.
        options: the reading of the paper.
        population: history and rungs.
        cycle: cycles begun; 0 while the initial population is trained.
        curves: lists with one entry per cycle, the initial population's first.
        epochs_this_cycle: epochs asked for since the last `end_cycle`, the memo's answers and failures included.
    """

    run: Run
    options: EcoNASOptions
    population: Population = field(default_factory=Population)
    cycle: int = 0
    curves: dict[str, list[Any]] = field(default_factory=dict)
    epochs_this_cycle: int = 0

    def __post_init__(self) -> None:
        if self.run.restored is not None:
            self.population = Population.restore(self.run.restored["population"])
            self.cycle, self.curves = self.run.restored["cycle"], self.run.restored["curves"]

    def random_networks(self, count: int) -> list[Stage]:
        """Returns new networks drawn uniformly, to be trained for E epochs."""
        return [self._born(self.run.space.random(self.run.rng), origin="random") for _ in range(count)]

    def children(self) -> list[Stage]:
        """Returns this cycle's children; random networks if no network is left to be mutated."""
        rungs = [self.population.ranked(rung) for rung in (P_E, P_2E, P_3E)]
        chosen = parents.choose(rungs, self.options, self.run.rng)
        return [self._child(parent) for parent in chosen] or self.random_networks(self.options.children)

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
        epochs = self.options.epochs
        handles = [
            self.run.train(self._candidate(stage.individual.architecture), epochs=(stage.rung + 1) * epochs)
            for stage in stages
        ]
        outcomes: list[AnyOutcome] = []
        for handle in handles:
            self._progress(ended=len(outcomes))
            outcomes.append(await handle)
        for stage, outcome in zip(stages, outcomes, strict=True):
            self.population.settle(stage.individual.index, stage.rung, outcome, self.cycle)
        self.epochs_this_cycle += len(stages) * epochs
        self._progress()

    async def end_cycle(self) -> None:
        """Adds the cycle to the curves and commits the state."""
        population, row = self.population, dict[str, Any]()
        row["cycle"], row["models"] = self.cycle, len(population.history)
        row["epochs"], self.epochs_this_cycle = self.epochs_this_cycle, 0
        for rung, name in enumerate(RUNGS):
            row[f"mean_accuracy_{name}"] = population.mean_accuracy(rung)
            row[f"size_{name}"] = len(population.rungs[rung])
        for name, value in row.items():
            self.curves.setdefault(name, []).append(value)
        await self.run.save({"population": population.state(), "cycle": self.cycle, "curves": self.curves})

    def result(self) -> Result:
        """Returns the history, and the best of the networks that were trained the longest (A5.1: "from P_60")."""
        epochs, history = self.options.epochs, self.population.history
        reached = max((one.epochs for one in history if one.failure is None), default=0)
        notes = []
        if reached < len(RUNGS) * epochs:
            notes.append(f"no network reached 3E = {3 * epochs} epochs; the best are of those that reached {reached}")
        finalists = [one for one in history if one.epochs == reached]
        return Result(
            best=best(finalists, self.options.top), history=tuple(history), notes=tuple(notes), curves=self.curves
        )

    def _born(self, architecture: Architecture, *, origin: str, parent: int | None = None) -> Stage:
        candidate = self._candidate(architecture)
        return Stage(self.population.born(candidate, cycle=self.cycle, origin=origin, parent=parent), P_E)

    def _child(self, parent: Individual) -> Stage:
        share = self.options.hidden_state_probability
        weights = {HIDDEN_STATE: share, OPERATION: 1 - share}
        space = cast(MutableSpace, self.run.space)  # the registry refuses other spaces
        architecture, mutation = space.mutate(parent.architecture, self.run.rng, weights)
        for _ in range(REDRAWS if self.options.redraw_duplicates else 0):
            if self._candidate(architecture).id not in self.population:
                break
            architecture, mutation = space.mutate(parent.architecture, self.run.rng, weights)
        return self._born(architecture, origin=mutation, parent=parent.index)

    def _candidate(self, architecture: Architecture) -> Candidate:
        options = self.options
        return self.run.candidate(
            architecture,
            schedule=options.schedule,
            schedule_epochs=options.schedule_epochs,
            reset_momentum_epochs=options.epochs if options.reset_momentum else None,
        )

    def _progress(self, *, ended: int = 0) -> None:
        """Reports the epochs that were asked for so far, and those to the end if every cycle is a full one."""
        options, before = self.options, sum(self.curves.get("epochs", []))
        a_cycle = (options.children + options.promoted_to_2e + options.promoted_to_3e) * options.epochs
        this_cycle = a_cycle if self.cycle else options.initial * options.epochs
        total = before + this_cycle + (options.cycles - self.cycle) * a_cycle
        label = f"cycle {self.cycle} of {options.cycles}" if self.cycle else "initial population"
        self.run.progress(before + self.epochs_this_cycle + ended * options.epochs, total, label)


def remove_dead(population: Population, cycle: int, options: EcoNASOptions) -> None:
    """Takes networks off the rungs "to force the algorithm to focus on newer architectures" (section 4.2)."""
    match options.dead:
        case "idle":
            population.remove_idle(cycle, options.dead_after)
        case "fifo":
            population.remove_oldest_of_each(options.rung_capacity)
        case "union":
            population.remove_oldest_of_all(options.rung_capacity)
