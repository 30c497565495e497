"""EcoNAS without a barrier between cycles: promotions and children are asked for as other trainings end.

A cycle is a list of trainings to be asked for, the same ones that Algorithm 1 would have: its promotions and its
children. Each is decided on only when there is room for it, with what is known by then, and the next cycle begins when
the last one of this has been asked for. So all that waits is a promotion, or a child, of a rung on which no network
stands yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from store.records.outcomes import AnyOutcome
from store.records.results import Individual, Result
from strategies.econas import parents
from strategies.econas.evolution import Evolution, remove_dead
from strategies.econas.options import IN_FLIGHT, EcoNASOptions
from strategies.econas.population import P_2E, P_3E, P_E
from strategies.run import Run
from strategies.under_way import UnderWay, due


class Ticket(NamedTuple):
    """A training that a cycle has room for.

    Attributes:
        kind: a new `random` network, a `child`, or a `promotion`.
        rung: where the child's parent, or the network to be promoted, stands; none if it may be any.
    """

    kind: Literal["random", "child", "promotion"]
    rung: int | None = None


class Begun(NamedTuple):
    """A training under way: of which network, for which rung, and in which cycle it was asked for."""

    network: int
    rung: int
    cycle: int


async def search(run: Run, options: EcoNASOptions) -> Result:
    """Runs EcoNAS without a barrier; `cycles`, and all numbers of a cycle, are those of Algorithm 1."""
    evolution = Rolling(run, options)
    evolution.take_up()
    while not evolution.used_up:
        await evolution.fill()
        if not evolution.used_up and len(evolution.under_way):
            evolution.settle(*await evolution.under_way.first())
    while len(evolution.under_way):
        evolution.settle(*await evolution.under_way.oldest())
    evolution.close_cycle()
    return evolution.result()


@dataclass
class Rolling(Evolution):
    """One run of the search.

    Attributes:
        tickets: trainings of this cycle that were not asked for yet.
        under_way: those that were, and have not ended.
    """

    tickets: list[Ticket] = field(default_factory=list)
    under_way: UnderWay[Begun] = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.under_way = UnderWay(self.run, self.options.in_flight or IN_FLIGHT)

    @property
    def used_up(self) -> bool:
        """Whether all that the cycles have room for was asked for."""
        return not self.tickets and self.cycle >= self.options.cycles

    def take_up(self) -> None:
        """Begins with the initial population, or goes on with the cycle that the saved state was about to begin."""
        if self.run.restored is None:
            self.tickets = [Ticket("random")] * self.options.initial
            return
        for begun in self.run.restored["under_way"]:
            self._ask(Begun(*begun))
        self._next_cycle()

    async def fill(self) -> None:
        """Asks for trainings while there is room."""
        while self.under_way.free:
            if chosen := self._next():
                self._begin(*chosen)
            elif self.tickets or self.used_up:
                return
            else:
                self.close_cycle()
                if due(self.cycle):
                    await self.under_way.save(self.state)
                self._next_cycle()

    def settle(self, begun: Begun, outcome: AnyOutcome) -> None:
        """Moves a network to the rung that it was trained for."""
        self.population.settle(begun.network, begun.rung, outcome, begun.cycle)
        self.progress(ended=-len(self.under_way))

    def state(self) -> dict[str, Any]:
        """Returns plain values, what is under way among them."""
        return super().state() | {"under_way": [list(begun) for begun in self.under_way.stages]}

    def close_cycle(self) -> None:
        """Takes the dead off the rungs and adds the cycle to the curves."""
        if self.cycle:
            remove_dead(self.population, self.cycle, self.options)
        self.add_to_curves()

    def _next_cycle(self) -> None:
        self.cycle += 1
        options, standing = self.options, [self._standing(rung) for rung in (P_E, P_2E, P_3E)]
        children = self._children(standing)
        below = 0 if options.side_by_side else len(children)
        to_2e = self._quota(standing[P_E] + below, options.promoted_to_2e)
        to_3e = self._quota(standing[P_2E] + (to_2e if below else 0), options.promoted_to_3e)
        promotions = [Ticket("promotion", P_E)] * to_2e + [Ticket("promotion", P_2E)] * to_3e
        self.tickets = promotions + children if options.side_by_side else children + promotions

    def _standing(self, rung: int) -> int:
        """Counts the networks that would stand on a rung if all that is under way ended well now."""
        busy = {begun.network: begun.rung for begun in self.under_way.stages}
        return sum(index not in busy for index in self.population.rungs[rung]) + list(busy.values()).count(rung)

    def _quota(self, networks: int, count: int) -> int:
        return min(count, networks // 2 if self.options.limit_half else networks)

    def _children(self, standing: list[int]) -> list[Ticket]:
        """Returns this cycle's children with the rungs of their parents, as the synchronous form shares them out."""
        options, filled = self.options, [rung for rung, networks in enumerate(standing) if networks]
        if filled and options.parents != "tournament":
            return [Ticket("child")] * options.children
        counts = parents.split(options.parent_shares, filled, share=options.empty_rung == "share") if filled else []
        shared = [Ticket("child", rung) for rung in filled for _ in range(counts[rung])]
        return shared or [Ticket("random")] * options.children

    def _next(self) -> tuple[Individual, int] | None:
        """Takes the first ticket that can be used now; returns the network, and the rung to train it for."""
        for place, ticket in enumerate(self.tickets):
            if chosen := self._use(ticket):
                del self.tickets[place]
                return chosen
        if not len(self.under_way):
            self.tickets.clear()  # promotions for which no network is left, and none will come
        return None

    def _use(self, ticket: Ticket) -> tuple[Individual, int] | None:
        match ticket.kind:
            case "random":
                return self.random_network(), P_E
            case "promotion":
                return self._promotion(ticket.rung or P_E)
            case "child":
                return self._child_of(ticket.rung)

    def _promotion(self, rung: int) -> tuple[Individual, int] | None:
        """Returns the best network of a rung that is not under way; one that has not moved in this cycle, if asked."""
        busy, latest = {begun.network for begun in self.under_way.stages}, self.cycle - self.options.side_by_side
        for individual in self.population.ranked(rung):
            if individual.index not in busy and self.population.trained_in(individual.index) <= latest:
                return individual, rung + 1
        return None

    def _child_of(self, rung: int | None) -> tuple[Individual, int] | None:
        """Returns a child, or none if its parents are still under way; a random network if there are none."""
        rungs = [self.population.ranked(one) for one in (P_E, P_2E, P_3E)]
        if rung is not None and (rungs[rung] or len(self.under_way)):
            rungs = [ranking if one == rung else [] for one, ranking in enumerate(rungs)]
        if any(rungs):
            return self.child(parents.one(rungs, self.options, self.run.rng)), P_E
        return None if len(self.under_way) else (self.random_network(), P_E)

    def _begin(self, individual: Individual, rung: int) -> None:
        self.population.enter(individual.index, self.cycle)
        self._ask(Begun(individual.index, rung, self.cycle))
        self.epochs_this_cycle += self.options.epochs
        self.progress(ended=-len(self.under_way))

    def _ask(self, begun: Begun) -> None:
        candidate = self.candidate(self.population.history[begun.network].architecture)
        self.under_way.add(begun, self.run.train(candidate, epochs=(begun.rung + 1) * self.options.epochs))
