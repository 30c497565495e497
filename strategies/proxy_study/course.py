"""A proxy study under way: networks are drawn, trained in every setting, and read off, the oldest first.

Requests go network by network, so that a study of more networks begins with the requests of one of fewer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from math import ceil
from typing import Any, NamedTuple

from store.records.candidates import Architecture
from store.records.outcomes import AnyOutcome, Measured
from store.records.results import Individual, Result
from strategies import individuals
from strategies.individuals import learnt
from strategies.proxy_study import statistics
from strategies.proxy_study.options import ProxyStudyOptions
from strategies.proxy_study.readings import Reading, Readings, read
from strategies.proxy_study.settings import Grid
from strategies.proxy_study.study import Zoo, assemble
from strategies.run import Handle, Run, Setting

REDRAWS = 1000
"""How often in a row a network that is in the zoo already is drawn again before the space counts as used up."""
TOLD_FROM = 5
"""Networks of which the best setting so far is told; the ranks of fewer say nothing."""
JOBS_PER_WORKER = 8
"""Requests under way for each worker, or somewhat more, so that none is without a job while the oldest network ends."""


class Asked(NamedTuple):
    """A network whose trainings are under way, and the request for its costs where they need one."""

    architecture: Architecture
    trainings: tuple[Handle, ...]
    measure: Handle | None

    @property
    def handles(self) -> tuple[Handle, ...]:
        """All its requests, in the order in which they were made."""
        return self.trainings if self.measure is None else (*self.trainings, self.measure)


@dataclass
class Course:
    """A study under way: its networks so far, and what was read of their trainings."""

    run: Run
    options: ProxyStudyOptions
    grid: Grid
    history: list[Individual] = field(default_factory=list)
    readings: Readings = field(default_factory=Readings)
    used_up: bool = False
    under_way: list[Asked] = field(default_factory=list)

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

    def ask_again(self) -> None:
        """Asks again for what was under way in the restored state."""
        if self.run.restored is not None:
            for genes in self.run.restored["under_way"]:
                self._ask(Architecture(space=self.run.space.spec.name, genes=tuple(genes)))

    def ask(self) -> bool:
        """Asks for the trainings of further networks, as many as keep the workers busy; false if there are no more.

        Networks are drawn one by one, so that a study of more networks begins with those of one of fewer.
        """
        requests = len(self.grid.trainings) + (self._measured is not None)
        room = 1 + ceil(JOBS_PER_WORKER * self.run.spec.resources.workers / requests)
        while len(self.under_way) < room and len(self.history) + len(self.under_way) < self.options.networks:
            architecture = None if self.used_up else self._next()
            if architecture is None:
                self.used_up = True
                break
            self._ask(architecture)
        return bool(self.under_way)

    async def learn(self) -> None:
        """Waits for the trainings of the network that was asked for first, and reads them off."""
        asked, outcomes = self.under_way[0], list[AnyOutcome]()
        for handle in asked.trainings:
            self._progress(len(outcomes))
            outcomes.append(await handle)
        served, which = self.grid.served, self.options.accuracy
        settings = (self.grid.reference, *self.grid.settings)
        row = [read(outcomes[at], one.epochs, which) for at, one in zip(served, settings, strict=True)]
        if asked.measure is not None:
            measured = await asked.measure
            row[0] = row[0]._replace(multiply_adds=measured.multiply_adds if isinstance(measured, Measured) else None)
        del self.under_way[0]
        self._add(asked.architecture, row, outcomes[served[0]])
        self._best = self._best_so_far()
        self._progress(0)

    async def save(self) -> None:
        """Commits what a restart goes on from."""
        state = {
            "history": individuals.dump(self.history),
            "readings": self.readings.state(),
            "used_up": self.used_up,
            "under_way": [asked.architecture.genes for asked in self.under_way],
        }
        await self.run.save(state, [handle for asked in self.under_way for handle in asked.handles])

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

    def _next(self) -> Architecture | None:
        """Returns the next network: as it was given, else a new one; none if `REDRAWS` draws in a row are known."""
        space = self.run.space
        seen = {one.architecture for one in self.history} | {one.architecture for one in self.under_way}
        if len(seen) < len(self.options.genes):
            return space.canonical(Architecture(space=space.spec.name, genes=self.options.genes[len(seen)]))
        for _ in range(REDRAWS):
            architecture = space.canonical(space.random(self.run.rng))
            if architecture not in seen:
                return architecture
        return None

    def _ask(self, architecture: Architecture) -> None:
        """Asks for all trainings of a network, and for its costs where the original setting's trainer has none."""
        run, measure = self.run, None
        trainings = tuple(
            run.train(run.candidate(architecture, setting=training.setting), epochs=training.epochs)
            for training in self.grid.trainings
        )
        if self._measured is not None:
            measure = run.measure(run.candidate(architecture, setting=self._measured))
        self.under_way.append(Asked(architecture, trainings, measure))

    def _add(self, architecture: Architecture, row: list[Reading], outcome: Any) -> None:
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
        if len(self.history) < TOLD_FROM:
            return ""
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


def _text(description: dict[str, Any]) -> str:
    """A genotype on one line: a benchmark's own string, or compact JSON."""
    if len(description) == 1:
        (only,) = description.values()
        if isinstance(only, str):
            return only
    return json.dumps(description, separators=(",", ":"))
