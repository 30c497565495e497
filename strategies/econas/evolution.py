"""What EcoNAS with and without a barrier have in common: births, curves, the state, the result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from store.records.candidates import Architecture, Candidate
from store.records.results import Individual, Result
from strategies.econas.options import EcoNASOptions
from strategies.econas.population import RUNGS, Population
from strategies.individuals import longest_trained
from strategies.run import Run
from strategies.spaces.base import MutableSpace
from strategies.spaces.cell import HIDDEN_STATE, OPERATION

REDRAWS = 100
"""How often a child that is known already is drawn again."""


@dataclass
class Evolution:
    """One run of the algorithm: its population, its cycle, and what it tells about itself.

    Attributes:
        run: the search's view of the world.
        options: the reading of the paper.
        population: history and rungs.
        cycle: cycles begun; 0 while the initial population is trained.
        curves: lists with one entry per cycle, the initial population's first.
        epochs_this_cycle: epochs asked for since the last entry, the memo's answers and failures included.
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

    def random_network(self) -> Individual:
        """Returns a new network drawn uniformly."""
        return self._born(self.run.space.random(self.run.rng), origin="random")

    def child(self, parent: Individual) -> Individual:
        """Returns a new network: a mutation of another."""
        share = self.options.hidden_state_probability
        weights = {HIDDEN_STATE: share, OPERATION: 1 - share}
        space = cast(MutableSpace, self.run.space)  # the registry refuses other spaces
        architecture, mutation = space.mutate(parent.architecture, self.run.rng, weights)
        for _ in range(REDRAWS if self.options.redraw_duplicates else 0):
            if self.candidate(architecture).id not in self.population:
                break
            architecture, mutation = space.mutate(parent.architecture, self.run.rng, weights)
        return self._born(architecture, origin=mutation, parent=parent.index)

    def candidate(self, architecture: Architecture) -> Candidate:
        """Returns what is trained of an architecture."""
        options = self.options
        return self.run.candidate(
            architecture,
            schedule=options.schedule,
            schedule_epochs=options.schedule_epochs,
            reset_momentum_epochs=options.epochs if options.reset_momentum else None,
        )

    def add_to_curves(self) -> None:
        """Adds the cycle to the curves."""
        population, row = self.population, dict[str, Any]()
        row["cycle"], row["models"] = self.cycle, len(population.history)
        row["epochs"], self.epochs_this_cycle = self.epochs_this_cycle, 0
        for rung, name in enumerate(RUNGS):
            row[f"mean_accuracy_{name}"] = population.mean_accuracy(rung)
            row[f"size_{name}"] = len(population.rungs[rung])
        for name, value in row.items():
            self.curves.setdefault(name, []).append(value)

    def state(self) -> dict[str, Any]:
        """Returns plain values from which a search goes on at the end of this cycle."""
        return {"population": self.population.state(), "cycle": self.cycle, "curves": self.curves}

    def progress(self, *, ended: int = 0) -> None:
        """Reports the epochs that have ended, and those to the end if every cycle is a full one.

        Args:
            ended: trainings that have ended beyond those counted in `epochs_this_cycle`; negative if these count some
                that are under way.
        """
        options, before = self.options, sum(self.curves.get("epochs", []))
        a_cycle = (options.children + options.promoted_to_2e + options.promoted_to_3e) * options.epochs
        this_cycle = a_cycle if self.cycle else options.initial * options.epochs
        total = before + this_cycle + (options.cycles - self.cycle) * a_cycle
        label = f"cycle {self.cycle} of {options.cycles}" if self.cycle else "initial population"
        self.run.progress(before + self.epochs_this_cycle + ended * options.epochs, total, label)

    def result(self) -> Result:
        """Returns the history, and the best of the networks that were trained the longest (A5.1: "from P_60")."""
        wanted, history = len(RUNGS) * self.options.epochs, self.population.history
        top, notes = longest_trained(history, self.options.top, wanted, f"3E = {wanted} epochs")
        return Result(best=top, history=tuple(history), notes=notes, curves=self.curves)

    def _born(self, architecture: Architecture, *, origin: str, parent: int | None = None) -> Individual:
        return self.population.born(self.candidate(architecture), cycle=self.cycle, origin=origin, parent=parent)


def remove_dead(population: Population, cycle: int, options: EcoNASOptions) -> None:
    """Takes networks off the rungs "to force the algorithm to focus on newer architectures" (section 4.2)."""
    match options.dead:
        case "idle":
            population.remove_idle(cycle, options.dead_after)
        case "fifo":
            population.remove_oldest_of_each(options.rung_capacity)
        case "union":
            population.remove_oldest_of_all(options.rung_capacity)
