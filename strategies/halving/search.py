"""Successive halving: many networks trained for a little, the best of them for longer, and so on.

Jamieson and Talwalkar (2016) promote in batches; ASHA (Li et al., "A system for massively parallel hyperparameter
tuning", 2020, Algorithm 2) promotes whenever a network is among the best 1/eta of its rung so far, and else grows the
bottom rung, so that nobody waits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from store.records.candidates import Architecture, Candidate
from store.records.outcomes import AnyOutcome
from store.records.results import Individual, Result
from strategies.halving.ladder import Ladder
from strategies.halving.options import HalvingOptions
from strategies.individuals import dump, learnt, load, longest_trained
from strategies.run import Handle, Run
from strategies.under_way import UnderWay, due

SAVE_EVERY = 16
"""Trainings that end between two saved states, or a multiple of it in a long search (`due`)."""


class Begun(NamedTuple):
    """A training under way: of which network, and for which rung."""

    network: int
    rung: int


class SuccessiveHalving:
    """Random networks on rungs of more and more epochs; any space will do."""

    def __init__(self, options: HalvingOptions) -> None:
        self.options = options

    async def search(self, run: Run) -> Result:
        """Returns the best of the highest rung that was reached."""
        halving = Halving(run, self.options)
        if self.options.synchronous:
            await halving.in_batches()
        else:
            halving.take_up()
            await halving.asynchronously()
        return halving.result()


class Halving:
    """One run of the search."""

    def __init__(self, run: Run, options: HalvingOptions) -> None:
        self._run, self._options = run, options
        self._history: list[Individual] = []
        self._ladder = Ladder(options.rungs, options.reduction)
        self._under_way = UnderWay[Begun](run, options.in_flight)

    def take_up(self) -> None:
        """Goes on from the saved state, if there is one."""
        if (state := self._run.restored) is None:
            return
        self._history = load(state["history"])
        self._ladder.restore(state["ladder"])
        for begun in state["under_way"]:
            self._ask(Begun(*begun))

    async def asynchronously(self) -> None:
        """Promotes who can be, else grows the bottom rung, while fewer than `in_flight` are under way.

        When the bottom rung is full, promotions go on until nobody can be promoted. They are an epilogue: with a
        higher total, new networks would be trained meanwhile.
        """
        full = False
        while True:
            while self._under_way.free and (begun := self._next()):
                self._ask(begun)
            if self._under_way.free and not full:
                full = True
                self._run.epilogue(self._options.candidates)
            if not len(self._under_way):
                return
            self._settle(*await self._under_way.first())
            occasion, between = divmod(len(self._ladder), SAVE_EVERY)
            if not full and not between and due(occasion):
                await self._under_way.save(self._state)

    async def in_batches(self) -> None:
        """Fills the bottom rung, then promotes the best 1/eta of each in turn, all at once."""
        batch = [Begun(self._born().index, 0) for _ in range(self._options.candidates)]
        while batch:
            handles = [self._train(begun) for begun in batch]
            for begun, handle in zip(batch, handles, strict=True):
                self._settle(begun, await handle)
            rung = batch[0].rung
            if rung == 0:
                self._run.epilogue(self._options.candidates)  # with a higher total, others may be the best
            last = rung == self._options.rungs - 1
            batch = [] if last else [Begun(index, rung + 1) for index in self._ladder.best(rung)]

    def result(self) -> Result:
        """Returns the history, and the best of the networks that were trained the longest."""
        options, history = self._options, self._history
        wanted = options.epochs(options.rungs - 1)
        top, notes = longest_trained(history, options.top, wanted, f"{wanted} epochs, the top rung")
        trained, failed, best = self._ladder.rows()
        epochs = [options.epochs(rung) for rung in range(options.rungs)]
        curves = {"rung_epochs": epochs, "trained": trained, "failed": failed, "best_accuracy": best}
        return Result(best=top, history=tuple(history), notes=notes, curves=curves)

    def _next(self) -> Begun | None:
        """Returns what is to be trained next; None if the bottom rung is full and nobody can be promoted."""
        if found := self._ladder.promotable():
            index, rung = found
            self._ladder.promote(index, rung)
            return Begun(index, rung + 1)
        return Begun(self._born().index, 0) if len(self._history) < self._options.candidates else None

    def _settle(self, begun: Begun, outcome: AnyOutcome) -> None:
        self._history[begun.network] = after = learnt(self._history[begun.network], outcome)
        self._ladder.settle(begun.network, begun.rung, None if after.failure else after.accuracy)
        options, ended = self._options, len(self._ladder)
        expected = sum(options.candidates // options.reduction**rung for rung in range(options.rungs))
        self._run.progress(
            ended, max(expected, ended), f"networks begun: {len(self._history)}, trainings ended: {ended}"
        )

    def _born(self) -> Individual:
        architecture, index = self._run.space.random(self._run.rng), len(self._history)
        candidate = self._candidate(architecture)
        self._history.append(Individual(index=index, architecture=candidate.architecture, candidate=candidate.id))
        return self._history[index]

    def _ask(self, begun: Begun) -> None:
        self._under_way.add(begun, self._train(begun))

    def _train(self, begun: Begun) -> Handle:
        candidate = self._candidate(self._history[begun.network].architecture)
        return self._run.train(candidate, epochs=self._options.epochs(begun.rung))

    def _candidate(self, architecture: Architecture) -> Candidate:
        options = self._options
        return self._run.candidate(architecture, schedule=options.schedule, schedule_epochs=options.schedule_epochs)

    def _state(self) -> dict[str, Any]:
        begun = [list(one) for one in self._under_way.stages]
        return {"history": dump(self._history), "ladder": self._ladder.state(), "under_way": begun}
