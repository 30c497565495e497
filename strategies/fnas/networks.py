"""The networks of a search: each architecture is trained once, and is in the history once however often it is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from store.records.candidates import Architecture, Candidate
from store.records.outcomes import AnyOutcome, Failure, Measured, Trained
from store.records.results import Individual
from strategies.fnas.options import FNASOptions
from strategies.individuals import dump, learnt, load, newborn
from strategies.pool import Pool
from strategies.run import Handle, Run

AGAIN = 2
"""How often the pool is asked again for a network of which a block could not be read, before it starts at random."""
SAMPLED, WARM_UP = "sampled", "warm-up"
"""How a network came to be: drawn by the agent, or uniformly to fill the pool."""


class Wanted(NamedTuple):
    """An architecture to be trained; `unsure` as for `Pool.inherit`."""

    architecture: Architecture
    unsure: bool = False


class Beginning(NamedTuple):
    """A network about to be trained: the candidate, and how many trainings its weights have behind them.

    `unsure` as for `Pool.inherit`, for when it has to be asked again.
    """

    candidate: Candidate
    generation: int = 0
    unsure: bool = False


class Networks:
    """All networks that were trained, with what they cost.

    Attributes:
        history: in the order in which they were first drawn.
        costs: of each, multiply-adds or milliseconds; none if it failed before it was known.
    """

    def __init__(self, run: Run, options: FNASOptions, pool: Pool | None) -> None:
        self._run, self._options, self._pool = run, options, pool
        self.history: list[Individual] = []
        self.costs: list[float | None] = []
        self._sampled: dict[Architecture, int] = {}

    def candidate(self, architecture: Architecture) -> Candidate:
        """Returns what is trained of an architecture, from random weights."""
        return self._run.candidate(architecture, schedule_epochs=self._options.epochs)

    def reward(self, index: int) -> float | None:
        """Returns the reward of a network (Eq. 2), or None if it failed."""
        one = self.history[index]
        if one.failure is not None or one.accuracy is None:
            return None
        return self._options.reward(one.accuracy, self.costs[index])

    async def warm_up(self, count: int) -> None:
        """Trains networks drawn uniformly from random weights, all at once, so that the pool has something to give."""
        drawn = [self.candidate(self._run.space.random(self._run.rng)) for _ in range(count)]
        different = list({candidate.id: candidate for candidate in drawn}.values())
        await self._train([Beginning(one) for one in different], cycle=0, origin=WARM_UP)

    async def train(self, wanted: Sequence[Wanted], cycle: int) -> tuple[list[int], set[int]]:
        """Trains architectures that were not sampled before, all at once.

        Returns:
            For each its number in the history, and the numbers of those that are new there.
        """
        canonical = [self._run.space.canonical(one.architecture) for one in wanted]
        unknown = {
            architecture: one
            for architecture, one in reversed(list(zip(canonical, wanted, strict=True)))
            if architecture not in self._sampled
        }
        order = [architecture for architecture in dict.fromkeys(canonical) if architecture in unknown]
        beginnings = [await self._begin(unknown[architecture]) for architecture in order]
        numbers = await self._train(beginnings, cycle=cycle, origin=SAMPLED)
        self._sampled |= dict(zip(order, numbers, strict=True))
        return [self._sampled[architecture] for architecture in canonical], set(numbers)

    def state(self) -> dict[str, Any]:
        """Returns plain values from which `restore` makes the same networks."""
        return {"history": dump(self.history), "costs": list(self.costs)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Becomes the networks that `state` described."""
        self.history, self.costs = load(state["history"]), list(state["costs"])
        self._sampled = {one.architecture: one.index for one in self.history if one.origin == SAMPLED}

    async def _begin(self, wanted: Wanted) -> Beginning:
        candidate = self.candidate(wanted.architecture)
        if self._pool is None:
            return Beginning(candidate)
        inheritance = await self._pool.inherit(candidate, unsure=wanted.unsure)
        return Beginning(candidate.inheriting(inheritance.initial), inheritance.generation, wanted.unsure)

    async def _train(self, beginnings: list[Beginning], *, cycle: int, origin: str) -> list[int]:
        """Trains networks and measures them, enters them into the history and into the pool; returns their numbers."""
        device, plain = self._options.device, [one.candidate.inheriting(()) for one in beginnings]
        measures = [self._run.measure(one, device=device) for one in plain if device]
        outcomes = await self._trained(beginnings)
        numbers = list(range(len(self.history), len(self.history) + len(beginnings)))
        for place, (number, one) in enumerate(zip(numbers, beginnings, strict=True)):
            outcome = outcomes[place]
            born = learnt(newborn(number, one.candidate, cycle=cycle, origin=origin), outcome)
            cost, failure = await _cost(born, measures[place] if measures else None)
            self.history.append(born.model_copy(update={"failure": born.failure or failure}))
            self.costs.append(cost)
            if self._pool is not None and isinstance(outcome, Trained) and born.failure is None:
                await self._pool.contribute(one.candidate, outcome, generation=one.generation)
        return numbers

    async def _trained(self, beginnings: list[Beginning]) -> list[AnyOutcome]:
        """Returns the outcomes; where a block could not be read, `beginnings` has what was trained in its place.

        The pool has dropped the unreadable entry by then, so that another answer may be had.
        """
        outcomes = await self._ask(beginnings)
        for attempt in range(AGAIN + 1):
            corrupt = [place for place, outcome in enumerate(outcomes) if _is_corrupt(outcome)]
            for place in corrupt:
                beginnings[place] = await self._begin_again(beginnings[place], at_random=attempt == AGAIN)
            again = await self._ask([beginnings[place] for place in corrupt])
            for place, outcome in zip(corrupt, again, strict=True):
                outcomes[place] = outcome
        return outcomes

    async def _begin_again(self, one: Beginning, *, at_random: bool) -> Beginning:
        if self._pool is None or at_random:
            return Beginning(one.candidate.inheriting(()))
        self._pool.unreadable += 1
        return await self._begin(Wanted(one.candidate.architecture, one.unsure))

    async def _ask(self, beginnings: Sequence[Beginning]) -> list[AnyOutcome]:
        candidates = [one.candidate for one in beginnings]
        return await self._run.map(self._run.train, candidates, epochs=self._options.epochs)


def _is_corrupt(outcome: AnyOutcome) -> bool:
    return isinstance(outcome, Failure) and outcome.reason == "corrupt_block"


async def _cost(born: Individual, measure: Handle | None) -> tuple[float | None, str | None]:
    """Returns what a network costs, and why that is not known if its measure failed."""
    if measure is None:
        return (None if born.multiply_adds is None else float(born.multiply_adds)), None
    measured = await measure
    if isinstance(measured, Measured) and measured.latency_ms is not None:
        return measured.latency_ms, None
    return None, f"its latency was not measured: {measured.words if isinstance(measured, Failure) else 'none came'}"
