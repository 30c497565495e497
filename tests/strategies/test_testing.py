"""The conformance class must catch what it says that it catches, and pass what is right."""

from __future__ import annotations

import asyncio
import datetime
import random
import time
from collections.abc import Callable
from time import time as now
from typing import Any, ClassVar

import numpy as np
import pytest

from store.records.candidates import Candidate
from store.records.outcomes import Computed, Evaluated, Measured, Trained
from store.records.results import Individual, Result
from store.records.spec import SearchSpec
from strategies import registry
from strategies.errors import ReplayDiverged
from strategies.individuals import best, dump, learnt, load
from strategies.run import Run, Strategy
from strategies.simulation import Killed, Moment, Simulation, World
from strategies.testing import StrategyConformance, WorldTouched, untouchable_world
from tests.strategies.builders import small_econas, spec


class Sound:
    """Trains networks in pairs and saves after each pair."""

    async def search(self, run: Run) -> Result:
        history = load(run.restored) if run.restored else []
        while len(history) < 8:
            history += await self.pair(run, len(history))
            await run.save(dump(history))
        return Result(best=best(history, 3), history=tuple(history))

    async def pair(self, run: Run, first: int) -> list[Individual]:
        candidates = [run.candidate(run.space.random(run.rng)) for _ in range(2)]
        outcomes = await run.map(run.train, candidates, epochs=2)
        born = [_born(first + place, candidate) for place, candidate in enumerate(candidates)]
        return [learnt(one, outcome) for one, outcome in zip(born, outcomes, strict=True)]


class UsesGlobalRandomness(Sound):
    async def pair(self, run: Run, first: int) -> list[Individual]:
        random.random()
        return await super().pair(run, first)


class UsesAGeneratorOfItsOwn(Sound):
    async def pair(self, run: Run, first: int) -> list[Individual]:
        np.random.default_rng(first)
        return await super().pair(run, first)


class UsesAClock(Sound):
    async def pair(self, run: Run, first: int) -> list[Individual]:
        time.monotonic()
        return await super().pair(run, first)


class UsesAClockByAnotherName(Sound):
    async def pair(self, run: Run, first: int) -> list[Individual]:
        now()
        return await super().pair(run, first)


class UsesTheDate(Sound):
    async def pair(self, run: Run, first: int) -> list[Individual]:
        datetime.datetime.now(tz=datetime.UTC)
        return await super().pair(run, first)


class NeverFails(Sound):
    """Keeps no failure, as if nothing had gone wrong."""

    async def search(self, run: Run) -> Result:
        result = await super().search(run)
        return result.model_copy(
            update={"history": tuple(one.model_copy(update={"failure": None}) for one in result.history)}
        )


class ForgetsItsTotal(Sound):
    """Numbers its networks' cycles by a total that it was given."""

    def __init__(self, spec: SearchSpec) -> None:
        self.total = spec.strategy.options.get("candidates", 8)

    async def pair(self, run: Run, first: int) -> list[Individual]:
        return [one.model_copy(update={"cycle": self.total}) for one in await super().pair(run, first)]


class AsksDifferently(Sound):
    """Draws from a generator that no restart brings back to where it was."""

    rng = np.random.Generator(np.random.PCG64(0))

    async def pair(self, run: Run, first: int) -> list[Individual]:
        await run.train(run.candidate(run.space.random(self.rng)), epochs=2)
        return await super().pair(run, first)


class ForgetsSomething(Sound):
    """Counts its pairs in an attribute, which is not part of its state."""

    def __init__(self) -> None:
        self.pairs = 0

    async def pair(self, run: Run, first: int) -> list[Individual]:
        self.pairs += 1
        return [one.model_copy(update={"cycle": self.pairs}) for one in await super().pair(run, first)]


class SwallowsTheStop(Sound):
    async def pair(self, run: Run, first: int) -> list[Individual]:
        try:
            return await super().pair(run, first)
        except BaseException:
            return await super().pair(run, first)


class RanksWhatFailed(Sound):
    async def search(self, run: Run) -> Result:
        result = await super().search(run)
        return result.model_copy(update={"best": result.history[:3]})


class RaisesOnFailure(Sound):
    async def pair(self, run: Run, first: int) -> list[Individual]:
        pair = await super().pair(run, first)
        if any(one.failure for one in pair):
            raise RuntimeError("a candidate failed")
        return pair


class TakesTheFirstToEnd:
    """Numbers networks as they end, so the order of completion decides what it finds."""

    async def search(self, run: Run) -> Result:
        history: list[Individual] = []
        for _ in range(3):
            candidates = [run.candidate(run.space.random(run.rng)) for _ in range(3)]
            handles = [run.train(one, epochs=2) for one in candidates]
            keys = [handle.key for handle in handles]
            async for handle in run.as_completed(handles):
                candidate = candidates[keys.index(handle.key)]
                history.append(learnt(_born(len(history), candidate), await handle))
        return Result(best=best(history, 2), history=tuple(history))


def _born(index: int, candidate: Candidate) -> Individual:
    return Individual(index=index, architecture=candidate.architecture, candidate=candidate.id)


class TestSound(StrategyConformance):
    def spec(self) -> SearchSpec:
        return spec("random")

    def strategy(self, spec: SearchSpec) -> Strategy:
        return Sound()


class TestOneThatTakesTheFirstToEnd(StrategyConformance):
    order_matters: ClassVar[bool] = True

    def spec(self) -> SearchSpec:
        return spec("random")

    def strategy(self, spec: SearchSpec) -> Strategy:
        return TakesTheFirstToEnd()


def conformance(made: Callable[[], Strategy]) -> StrategyConformance:
    class Checked(StrategyConformance):
        def spec(self) -> SearchSpec:
            return spec("random")

        def strategy(self, spec: SearchSpec) -> Strategy:
            return made()

    return Checked()


@pytest.mark.parametrize(
    "made", [UsesGlobalRandomness, UsesAGeneratorOfItsOwn, UsesAClock, UsesAClockByAnotherName, UsesTheDate]
)
def test_a_clock_or_other_randomness_is_caught(made: Callable[[], Strategy]) -> None:
    with pytest.raises(WorldTouched, match=r"the strategy called (random|numpy\.random|time|datetime\.datetime)\."):
        conformance(made).test_only_the_given_generator_and_no_clock_is_used()


def test_a_strategy_that_asks_differently_after_a_restart_is_caught() -> None:
    with pytest.raises(ReplayDiverged, match=r"request 0: train \w+ to 2 \(\w+\) was recorded, train \w+ to 2"):
        conformance(AsksDifferently).test_a_replay_from_the_beginning_asks_the_same_requests()


def test_a_state_that_leaves_something_out_is_caught() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"another result after a kill at saved 0: network 2"):
        conformance(ForgetsSomething).test_a_kill_changes_nothing("saved")


def test_a_state_that_leaves_something_out_is_caught_after_many_kills() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"another result after \d+ kills"):
        conformance(ForgetsSomething).test_many_kills_change_nothing()


def test_a_second_search_that_trains_again_is_caught() -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception), match=r"from the memo|trained again"):
        conformance(AsksDifferently).test_another_search_of_the_same_trains_nothing()


def test_failures_that_are_not_told_are_caught() -> None:
    with pytest.raises(AssertionError):
        conformance(NeverFails).test_a_search_in_which_everything_fails_ends()
    with pytest.raises(AssertionError):
        conformance(NeverFails).test_accuracies_that_are_not_finite_never_enter()


def test_a_search_whose_beginning_depends_on_its_total_is_caught() -> None:
    class Checked(StrategyConformance):
        totals: ClassVar[dict[str, int]] = {"candidates": 12}

        def spec(self) -> SearchSpec:
            return spec("random", candidates=8)

        def strategy(self, spec: SearchSpec) -> Strategy:
            return ForgetsItsTotal(spec)

    with pytest.raises(pytest.fail.Exception, match="with candidates raised to 12"):
        Checked().test_a_raised_total_gives_what_it_would_have_given_at_once()


def test_a_strategy_that_swallows_the_stop_is_caught() -> None:
    with pytest.raises(AssertionError, match="swallowed the order to stop at await 0"):
        conformance(SwallowsTheStop).test_a_stop_is_passed_on_at_any_await()


def test_a_failed_network_among_the_best_is_caught() -> None:
    with pytest.raises(AssertionError, match="a failed network is among the best"):
        conformance(RanksWhatFailed).test_failed_candidates_are_tolerated()


def test_a_strategy_that_does_not_tolerate_failures_is_caught() -> None:
    with pytest.raises(RuntimeError, match="a candidate failed"):
        conformance(RaisesOnFailure).test_failed_candidates_are_tolerated()


def test_a_dependence_on_the_order_of_completion_is_caught() -> None:
    with pytest.raises(pytest.fail.Exception, match="with another order of completion"):
        conformance(TakesTheFirstToEnd).test_the_order_of_completion_does_not_matter()


def test_clocks_and_generators_work_again_afterwards() -> None:
    with pytest.raises(WorldTouched), untouchable_world():
        random.random()
    assert 0 <= random.random() < 1
    assert time.time() > 0
    assert 0 <= np.random.default_rng(0).random() < 1


def test_a_killed_life_ends_there_and_nothing_after_it_is_kept() -> None:
    world, wanted = World(), small_econas()
    with pytest.raises(Killed):
        Simulation(wanted, world, until=Moment("requested", 4)).search(registry.create(wanted))
    assert len(world.requests) == 5
    assert world.trained == 0
    assert world.saved is None


def test_only_what_the_run_gives_can_be_awaited() -> None:
    class Sleeps(Sound):
        async def search(self, run: Run) -> Result:
            await asyncio.sleep(0)
            return await super().search(run)

    with pytest.raises(TypeError, match="may await only what its Run gives"):
        Simulation(spec("random")).search(Sleeps())


def test_recorded_completions_are_delivered_again_in_their_order() -> None:
    wanted, world = spec("random"), World()
    expected = Simulation(wanted, world, order=1).search(TakesTheFirstToEnd())
    assert Simulation(wanted, world, order=2).search(TakesTheFirstToEnd()) == expected
    world.delivered[0, 1] = "f" * 64
    with pytest.raises(ReplayDiverged, match="completion 1 of call 0: ffffffffffff was recorded"):
        Simulation(wanted, world, order=2).search(TakesTheFirstToEnd())


def test_every_kind_of_request_is_answered() -> None:
    class AsksAll:
        async def search(self, run: Run) -> Result:
            candidate = run.candidate(run.space.random(run.rng))
            trained = await run.train(candidate, epochs=2)
            assert isinstance(trained, Trained)
            evaluated = await run.evaluate(candidate, checkpoint=trained.checkpoint)
            measured = await run.measure(candidate, device="cpu")
            computed = await run.compute("operator:add", 2, 3)
            assert isinstance(evaluated, Evaluated)
            assert isinstance(measured, Measured)
            assert isinstance(computed, Computed)
            curves: dict[str, Any] = {"kinds": [trained.kind, evaluated.kind, measured.kind, computed.value.hex()]}
            return Result(best=(), history=(), curves=curves)

    result = Simulation(spec("random")).search(AsksAll())
    assert result.curves["kinds"] == ["trained", "evaluated", "measured", "05"]
