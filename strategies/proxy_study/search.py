"""The proxy study as a durable coroutine: a zoo of random networks, each trained in every setting (EcoNAS section 3).

Requests go network by network, so that a study with more networks begins with the requests of one with fewer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from store.records.candidates import Architecture
from store.records.outcomes import AnyOutcome, Measured
from store.records.results import Individual, Result
from store.records.spec import SearchSpec
from strategies import individuals
from strategies.errors import InvalidArchitecture, InvalidOptions, OptionProblem
from strategies.individuals import learnt
from strategies.proxy_study import statistics
from strategies.proxy_study.grid import Grid, grid
from strategies.proxy_study.options import ProxyStudyOptions
from strategies.proxy_study.readings import Reading, Readings, read
from strategies.proxy_study.study import Zoo, assemble
from strategies.run import Handle, Run, Setting
from strategies.spaces import registry as spaces
from strategies.spaces.base import Space

REDRAWS = 1000
"""How often in a row a network that is in the zoo already is drawn again before the space counts as used up."""
JOBS_PER_WORKER = 8
"""Requests under way for each worker, or a little more: a state is saved when they have ended, and more are made."""


class ProxyStudy:
    """Trains every network in the original and in all reduced settings, and compares the ranks.

    A training that fails leaves its network out of its setting, and one that fails in the original setting out of all.
    """

    def __init__(self, options: ProxyStudyOptions, grid: Grid) -> None:
        self.options, self.grid = options, grid

    @classmethod
    def of(cls, options: ProxyStudyOptions, spec: SearchSpec) -> ProxyStudy:
        """Returns the study that a spec asks for.

        Raises:
            InvalidOptions: naming every setting that is missing, impossible or there twice, and every given network
                that is not of the space.
        """
        problems = list(_given(options, spaces.create(spec.space)))
        try:
            planned = grid(options, spec)
        except InvalidOptions as error:
            raise InvalidOptions([*error.problems, *problems]) from None
        if problems:
            raise InvalidOptions(problems)
        return cls(options, planned)

    async def search(self, run: Run) -> Result:
        """Studies `networks` networks; a larger number goes on where a smaller one ended."""
        course = Course(run, self.options, self.grid)
        while wave := course.draw():
            await course.train(wave)
            await run.save(course.state())
        return course.result()


@dataclass
class Course:
    """A study under way: its networks so far, and what was read of their trainings."""

    run: Run
    options: ProxyStudyOptions
    grid: Grid
    history: list[Individual] = field(default_factory=list)
    readings: Readings = field(default_factory=Readings)
    used_up: bool = False

    def __post_init__(self) -> None:
        if self.run.restored is not None:
            self.history = individuals.load(self.run.restored["history"])
            self.readings = Readings.restore(self.run.restored["readings"])
            self.used_up = self.run.restored["used_up"]
        reference = self.grid.trainings[self.grid.served[0]].setting
        self._measured = None
        if reference.trainer != self.run.spec.trainer:
            self._measured = Setting(self.run.spec.trainer, reference.proxy, reference.recipe)
        self._best = self._best_so_far()

    def state(self) -> dict[str, Any]:
        """Returns what a restart goes on from."""
        return {
            "history": individuals.dump(self.history), "readings": self.readings.state(), "used_up": self.used_up
        }  # fmt: skip

    def draw(self) -> list[Architecture]:
        """Returns the next networks, one by one so that more of them begin with fewer; none if there are enough."""
        requests = len(self.grid.trainings) + (self._measured is not None)
        size = ceil(JOBS_PER_WORKER * self.run.spec.resources.workers / requests)
        seen = {one.architecture for one in self.history}
        wave: list[Architecture] = []
        while len(wave) < size and len(self.history) + len(wave) < self.options.networks and not self.used_up:
            architecture = self._next(len(self.history) + len(wave), seen)
            if architecture is None:
                self.used_up = True
                break
            seen.add(architecture)
            wave.append(architecture)
        return wave

    async def train(self, wave: list[Architecture]) -> None:
        """Trains some networks in all settings, all at once, and reads the trainings off."""
        asked = [self._ask(architecture) for architecture in wave]
        for architecture, (trainings, measure) in zip(wave, asked, strict=True):
            outcomes = list[AnyOutcome]()
            for handle in trainings:
                self._progress(len(outcomes))
                outcomes.append(await handle)
            served, which = self.grid.served, self.options.accuracy
            settings = (self.grid.reference, *self.grid.settings)
            row = [read(outcomes[at], one.epochs, which) for at, one in zip(served, settings, strict=True)]
            if measure is not None:
                measured = await measure
                macs = measured.multiply_adds if isinstance(measured, Measured) else None
                row[0] = row[0]._replace(multiply_adds=macs)
            self._learn(architecture, row, outcomes[served[0]])
        self._best = self._best_so_far()
        self._progress(0)

    def result(self) -> Result:
        """Returns the study, and the networks ranked by the original setting."""
        space = self.run.space
        networks = tuple(one.architecture for one in self.history)
        zoo = Zoo(networks, tuple(_text(space.describe(one)) for one in networks))
        study = assemble(self.grid, self.options, zoo, self.readings, seed=self.run.spec.seed)
        return Result(
            best=individuals.best(self.history, len(self.history)),
            history=tuple(self.history),
            notes=tuple(self._notes()),
            curves=self._curves(study.recommended),
            study=study,
        )

    def _next(self, index: int, seen: set[Architecture]) -> Architecture | None:
        """Returns network `index`: as it was given, else a new one; none if `REDRAWS` draws in a row are known."""
        space = self.run.space
        if index < len(self.options.genes):
            return space.canonical(Architecture(space=space.spec.name, genes=self.options.genes[index]))
        for _ in range(REDRAWS):
            architecture = space.canonical(space.random(self.run.rng))
            if architecture not in seen:
                return architecture
        return None

    def _ask(self, architecture: Architecture) -> tuple[list[Handle], Handle | None]:
        """Asks for all trainings of a network, and for its costs where the original setting's trainer has none."""
        run = self.run
        handles = [
            run.train(run.candidate(architecture, setting=training.setting), epochs=training.epochs)
            for training in self.grid.trainings
        ]
        if self._measured is None:
            return handles, None
        return handles, run.measure(run.candidate(architecture, setting=self._measured))

    def _learn(self, architecture: Architecture, row: list[Reading], outcome: Any) -> None:
        setting = self.grid.trainings[self.grid.served[0]].setting
        candidate = self.run.candidate(architecture, setting=setting)
        born = Individual(index=len(self.history), architecture=architecture, candidate=candidate.id)
        network = learnt(born, outcome)
        if network.failure is None:
            network = network.model_copy(
                update={
                    "accuracy": row[0].accuracy, "epochs": self.grid.reference.epochs,
                    "multiply_adds": row[0].multiply_adds, "failure": row[0].failure,
                }
            )  # fmt: skip
        self.history.append(network)
        self.readings.rows.append(tuple(row))

    def _progress(self, ended: int) -> None:
        """Tells the epochs done of all, and the best setting of the networks so far."""
        epochs = [training.epochs for training in self.grid.trainings]
        done = len(self.history) * sum(epochs) + sum(epochs[:ended])
        label = f"network {len(self.history)} of {self.options.networks}{self._best}"
        self.run.progress(done, self.options.networks * sum(epochs), label)

    def _best_so_far(self) -> str:
        known = [
            (rho, one.name) for index, one in enumerate(self.grid.settings) if (rho := self._rho(index)) is not None
        ]
        return ", best so far {1} (rho {0:.2f})".format(*max(known)) if known else ""

    def _rho(self, setting: int, networks: int | None = None) -> float | None:
        reference, own = ([one.accuracy for one in self.readings.column(at)[:networks]] for at in (-1, setting))
        return statistics.spearman(statistics.paired(reference, own))

    def _curves(self, recommended: str | None) -> dict[str, Any]:
        """The recommended setting's rho over the first 3, 4, 5, ... networks: whether it has settled."""
        chosen = [index for index, one in enumerate(self.grid.settings) if one.name == recommended]
        counts = list(range(3, len(self.history) + 1))
        return (
            {"networks": counts, "rho_recommended": [self._rho(chosen[0], count) for count in counts]} if chosen else {}
        )

    def _notes(self) -> list[str]:
        notes = []
        if len(self.history) < self.options.networks:
            notes.append(
                f"the space seems to have no more than {len(self.history)} networks: {REDRAWS} draws were known"
            )
        for index, planned in enumerate((self.grid.reference, *self.grid.settings), -1):
            failures = [(at, one.failure) for at, one in enumerate(self.readings.column(index)) if one.failure]
            if failures:
                which = ", ".join(str(at) for at, _ in failures)
                notes.append(f"{planned.name}: {len(failures)} failed (networks {which}), first: {failures[0][1]}")
        return notes


def _given(options: ProxyStudyOptions, space: Space) -> Iterator[OptionProblem]:
    """Yields what is wrong with the networks that are given by their genes."""
    seen: dict[Architecture, int] = {}
    for index, genes in enumerate(options.genes):
        try:
            canonical = space.canonical(Architecture(space=space.spec.name, genes=genes))
        except InvalidArchitecture as error:
            yield OptionProblem(f"strategy.genes.{index}", None, f"expected {error.expected}")
            continue
        first = seen.setdefault(canonical, index)
        if first != index:
            yield OptionProblem(f"strategy.genes.{index}", None, f"is the same network as strategy.genes.{first}")


def _text(description: dict[str, Any]) -> str:
    """A genotype on one line: a benchmark's own string, or compact JSON."""
    if len(description) == 1:
        (only,) = description.values()
        if isinstance(only, str):
            return only
    return json.dumps(description, separators=(",", ":"))
