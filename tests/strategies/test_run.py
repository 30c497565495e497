from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from store.records.candidates import Data, Named, Proxy, Recipe
from store.records.events import StateSaved
from store.records.spec import SearchSpec
from strategies.errors import ReplayDiverged, TestSplitSealed
from strategies.run import Handle, Run, Setting
from strategies.simulation import Simulation, World
from strategies.spaces.registry import create
from tests.strategies.builders import spec

DATA = Data(name="digits", fingerprint="x")


def run(wanted: SearchSpec, restored: StateSaved | None = None) -> Run:
    return Run(Simulation(wanted), wanted, create(wanted.space), DATA, restored)


def drive(coroutine: Any) -> None:
    Simulation(spec()).drive(coroutine)


def test_equivalent_architectures_make_the_same_candidate() -> None:
    made = run(spec())
    drawn = made.space.random(made.rng)
    genes = drawn.genes
    swapped = drawn.model_copy(update={"genes": (*genes[2:4], *genes[:2], *genes[4:])})
    assert swapped != drawn
    assert made.candidate(swapped).id == made.candidate(drawn).id


@pytest.mark.parametrize(
    ("recipe", "wishes", "expected"),
    [
        ({}, {}, ("cosine", None, None)),
        ({}, {"schedule_epochs": 60}, ("cosine", 60, None)),
        ({}, {"schedule": "cosine_restarts", "schedule_epochs": 20}, ("cosine_restarts", 20, None)),
        ({"schedule_epochs": 9}, {"schedule": "cosine_restarts", "schedule_epochs": 20}, ("cosine", 9, None)),
        ({}, {"reset_momentum_epochs": 20}, ("cosine", None, 20)),
        ({"reset_momentum_epochs": 5}, {"reset_momentum_epochs": 20}, ("cosine", None, 5)),
        ({"reset_momentum_epochs": 5}, {}, ("cosine", None, 5)),
    ],
)
def test_a_strategys_wishes_hold_where_the_recipe_does_not_say(
    recipe: dict[str, Any], wishes: dict[str, Any], expected: tuple[str, int | None, int | None]
) -> None:
    made = run(spec().model_copy(update={"recipe": Recipe.model_validate(recipe)}))
    got = made.candidate(made.space.random(made.rng), **wishes).recipe
    assert (got.schedule, got.schedule_epochs, got.reset_momentum_epochs) == expected


def test_a_candidate_is_trained_with_the_searchs_seed() -> None:
    made = run(spec(seed=7))
    assert made.candidate(made.space.random(made.rng)).seed == 7


def test_a_restored_run_goes_on_with_the_generator_and_the_numbers_of_its_requests() -> None:
    world, wanted = World(), spec(seed=3)
    simulation = Simulation(wanted, world)
    first = Run(simulation, wanted, create(wanted.space), DATA)

    async def begin() -> None:
        await first.map(first.train, [first.candidate(first.space.random(first.rng)) for _ in range(2)], epochs=1)
        await first.save({"weights": np.arange(3.0), "names": ("a", "b")})

    simulation.drive(begin())
    again = Run(Simulation(wanted, world), wanted, create(wanted.space), DATA, world.saved)
    assert again.restored["names"] == ["a", "b"]
    assert again.restored["weights"].tolist() == [0.0, 1.0, 2.0]
    again.train(again.candidate(again.space.random(again.rng)), epochs=1)
    assert sorted(world.requests) == [0, 1, 2]
    expected = np.random.Generator(np.random.PCG64(3))
    architectures = [first.space.random(expected) for _ in range(3)]
    drawn = [request.candidate for request in world.requests.values()]
    assert [one.id for one in drawn if one is not None] == [first.candidate(one).id for one in architectures]


def test_a_setting_takes_the_place_of_the_specs() -> None:
    made = run(spec())
    architecture = made.space.random(made.rng)
    data = Data(name="digits", fingerprint="y")
    other = Setting(Named(name="tabular"), Proxy(channels=36), Recipe(batch_size=96), data)
    got = made.candidate(architecture, setting=other, schedule_epochs=12)
    assert (got.trainer, got.proxy, got.data, got.seed) == (other.trainer, other.proxy, data, made.spec.seed)
    assert got.recipe == Recipe(batch_size=96, schedule_epochs=12)
    assert made.candidate(architecture).proxy == made.spec.proxy


def test_the_test_split_is_for_networks_that_no_image_was_held_out_for() -> None:
    """A strategy that could see test accuracies would choose by them."""
    made = run(spec())
    chosen = made.candidate(made.space.random(made.rng))
    with pytest.raises(TestSplitSealed, match="validation_fraction"):
        made.evaluate(chosen, checkpoint="0" * 64, split="test")
    whole = Setting(Named(name="cell"), Proxy(), Recipe(), DATA.model_copy(update={"validation_fraction": 0.0}))
    candidate = made.candidate(made.space.random(made.rng), setting=whole)
    made.evaluate(candidate, checkpoint="0" * 64, split="test")


def made(run: Run, count: int) -> list[Handle]:
    return [run.train(run.candidate(run.space.random(run.rng)), epochs=1) for _ in range(count)]


def rolled(world: World, order: int) -> tuple[list[int], Simulation]:
    """Keeps three requests under way until seven were made, and takes each that ends first."""
    simulation, wanted = Simulation(spec(), world, order=order), spec()
    first = Run(simulation, wanted, create(wanted.space), DATA)

    async def roll() -> list[int]:
        waiting, ended = made(first, 3), list[int]()
        while waiting:
            ended.append((done := await first.first(waiting)).index)
            waiting = [one for one in waiting if one is not done] + made(first, len(ended) < 5)
        return ended

    return simulation.drive(roll()), simulation


def test_the_first_of_a_growing_set_is_recorded_and_given_again() -> None:
    world = World()
    expected, _ = rolled(world, order=1)
    assert sorted(expected) == list(range(7))
    assert rolled(World(), order=2)[0] != expected
    assert rolled(world, order=2)[0] == expected
    assert sorted(world.delivered) == [(call, 0) for call in range(6)]  # the last one left no choice


def test_requests_under_way_at_a_save_are_the_same_requests_when_they_are_asked_for_again() -> None:
    world, wanted = World(), spec(seed=3)
    simulation = Simulation(wanted, world)
    before = Run(simulation, wanted, create(wanted.space), DATA)

    async def begin() -> None:
        handles = made(before, 4)
        ended = await before.first(handles)
        left = [handle for handle in handles if handle is not ended]
        await before.save([handle.index for handle in left], left)
        made(before, 1)

    simulation.drive(begin())
    requests = dict(world.requests)
    again = Run(Simulation(wanted, world), wanted, create(wanted.space), DATA, world.saved)
    handles = [again.train(asked.candidate, epochs=1) for asked in (requests[index] for index in again.restored)]  # type: ignore[arg-type]
    assert [handle.index for handle in handles] == again.restored
    assert made(again, 1)[0].index == 4
    assert world.requests == requests


def test_another_request_than_the_one_that_was_under_way_is_refused() -> None:
    world, wanted = World(), spec(seed=3)
    before = Run(Simulation(wanted, world), wanted, create(wanted.space), DATA)
    drive(before.save(None, made(before, 2)))
    again = Run(Simulation(wanted, world), wanted, create(wanted.space), DATA, world.saved)
    with pytest.raises(ReplayDiverged, match="request 0: train dd043657"):
        made(again, 1)


def test_nothing_is_saved_before_what_was_under_way_is_asked_for_again() -> None:
    world, wanted = World(), spec()
    before = Run(Simulation(wanted, world), wanted, create(wanted.space), DATA)
    drive(before.save(None, made(before, 2)))
    again = Run(Simulation(wanted, world), wanted, create(wanted.space), DATA, world.saved)
    with pytest.raises(RuntimeError, match="requests are still to be made again"):
        drive(again.save(None))


def test_what_a_used_up_total_asks_for_does_not_bind_a_higher_one() -> None:
    world, wanted = World(), spec()
    small = Run(Simulation(wanted, world), wanted, create(wanted.space), DATA)
    made(small, 2)
    small.epilogue(2)
    small.train(small.candidate(small.space.random(small.rng)), epochs=9)
    with pytest.raises(RuntimeError, match="the epilogue is only this total's"):
        drive(small.save(None))
    large = Run(Simulation(wanted, world), wanted, create(wanted.space), DATA)
    made(large, 3)
    large.epilogue(3)
    made(large, 1)
    assert sorted(world.requests) == [0, 1, 2, 3 << 32, 4 << 32]
