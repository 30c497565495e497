"""Computations with state in simulated worlds: what is called, what is kept, and that no kill changes it."""

from __future__ import annotations

from typing import ClassVar

import pytest

from store.records import arrays
from store.records.candidates import Candidate
from store.records.outcomes import Computed, Failure, Measured, Trained
from store.records.requests import Compute
from store.records.results import Individual, Result
from store.records.spec import SearchSpec
from strategies.computations import NEWEST, Computations
from strategies.individuals import best, dump, learnt, load
from strategies.run import Run, Strategy
from strategies.simulation import Simulation, World
from strategies.testing import StrategyConformance
from tests.strategies import drift
from tests.strategies.builders import spec
from tests.strategies.test_virtual import answer, virtual

DRIFT = "tests.strategies.drift:drift"


class Learns:
    """Lets a computation with state decide about networks that inherit from those before; saves at every other."""

    def __init__(self, total: int = 6) -> None:
        self.total = total

    async def search(self, run: Run) -> Result:
        history, state, sums = list[Individual](), None, list[float]()
        if run.restored:
            history, state, sums = load(run.restored["history"]), run.restored["state"], run.restored["sums"]
        while len(history) < self.total:
            reward = history[-1].accuracy or 0.0 if history else 0.0
            computed = await run.compute_from(DRIFT, state, reward)
            assert isinstance(computed, Computed)
            state = computed.state
            sums.append(arrays.unpack(computed.value))
            history.append(await self._train(run, len(history), sums[-1]))
            if len(history) % 2 == 0:
                await run.save({"history": dump(history), "state": state, "sums": sums})
        return Result(best=best(history, 3), history=tuple(history), curves={"sums": sums}, state=state)

    async def _train(self, run: Run, index: int, seed: float) -> Individual:
        candidate = run.candidate(run.space.random(run.rng))
        measured = await run.measure(candidate)
        assert isinstance(measured, Measured)
        assert measured.image_shape is not None
        found = await run.inherit(candidate, measured.image_shape, bar=0.3)
        candidate = candidate.inheriting(found.initial)
        outcome = await run.train(candidate, epochs=1 + int(seed) % 2)
        if isinstance(outcome, Trained):
            await run.contribute(candidate, outcome, measured.image_shape, iterations=100, generation=found.generation)
        born = Individual(index=index, architecture=candidate.architecture, candidate=candidate.id)
        return learnt(born, outcome)


class TestLearns(StrategyConformance):
    totals: ClassVar[dict[str, int]] = {"candidates": 9}

    def spec(self) -> SearchSpec:
        return spec("random", candidates=6)

    def strategy(self, spec: SearchSpec) -> Strategy:
        return Learns(spec.strategy.options["candidates"])


@pytest.fixture(autouse=True)
def forgotten_calls() -> None:
    drift.calls.clear()


def ask(state: str | None, amount: float) -> Compute:
    return Compute(function=DRIFT, arguments=arrays.pack([amount]), stateful=True, state=state)


def chain(computations: Computations, *amounts: float) -> list[Computed]:
    """Each computation starts from the state of the one before."""
    done: list[Computed] = []
    for amount in amounts:
        done.append(computations.answer(ask(done[-1].state if done else None, amount)))
    return done


def test_a_state_is_handed_on_and_never_changed() -> None:
    computations = Computations()
    first, second = chain(computations, 1.0, 2.0)
    assert (arrays.unpack(first.value), arrays.unpack(second.value)) == (6.0, 18.0)
    again = computations.answer(ask(first.state, 3.0))
    assert arrays.unpack(again.value) == 24.0


def test_a_state_is_named_by_its_arrays_and_by_what_made_it() -> None:
    one, other = chain(Computations(), 1.0, 2.0), chain(Computations(), 1.0, 2.0)
    assert one == other
    assert len({computed.state for computed in [*one, *chain(Computations(), 2.0, 1.0)]}) == 4


def test_a_state_that_is_no_longer_kept_is_made_again() -> None:
    computations = Computations()
    done = chain(computations, *range(NEWEST + 3))
    assert computations.answer(ask(done[-1].state, 1.0)).state == computations.answer(ask(done[-1].state, 1.0)).state
    drift.calls.clear()
    assert arrays.unpack(computations.answer(ask(done[1].state, 5.0)).value) == 36.0
    assert drift.calls == [0, 1, 5.0]


def test_a_state_that_nobody_made_is_told() -> None:
    with pytest.raises(LookupError, match="no computation has made the state aaaaaaaaaaaa"):
        Computations().answer(ask("a" * 64, 1.0))


def test_functions_without_a_state_are_called_too() -> None:
    computed = Computations().answer(Compute(function="tests.strategies.drift:double", arguments=arrays.pack([4])))
    assert (arrays.unpack(computed.value), computed.state) == (8, None)


def test_networks_inherit_from_those_that_were_contributed_before() -> None:
    world = World()
    result = Simulation(spec("random"), world).search(Learns())
    assert [bool(found.matches) for found in world.pool.matched.values()] == [False, True, True, True, True, True]
    assert len(world.pool.pooled) == 6
    assert result.state is not None


def test_a_computation_takes_as_long_in_virtual_time_as_it_is_said_to() -> None:
    class Computes:
        async def search(self, run: Run) -> Result:
            first = await run.compute_from(DRIFT, None, 1.0)
            assert isinstance(first, Computed)
            second = await run.compute_from(DRIFT, first.state, 2.0)
            assert isinstance(second, Computed)
            return Result(best=(), history=(), curves={"sums": [arrays.unpack(second.value)]})

    life = virtual(answer=answer, seconds=lambda request, epoch: 2.5)
    assert life.search(Computes()).curves == {"sums": [18.0]}
    assert (life.timeline.seconds, life.timeline.epochs) == (5.0, 0)


def test_a_failed_training_puts_nothing_into_the_pool() -> None:
    def fails(candidate: Candidate, epochs: int) -> bool:
        return True

    world = World()
    Simulation(spec("random"), world, fails=fails).search(Learns())
    assert world.pool.pooled == {}
    assert all(isinstance(world.outcomes[key], Failure) for key in _trainings(world))


def _trainings(world: World) -> list[str]:
    return [request.key for request in world.requests.values() if request.kind == "train"]
