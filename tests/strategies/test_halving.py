"""Successive halving against the algorithm as it is printed, in batches and asynchronous."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.records.requests import Train
from store.records.results import Result
from store.records.spec import SearchSpec
from strategies import registry
from strategies.halving.ladder import Ladder
from strategies.halving.options import HalvingOptions
from strategies.simulation import Simulation, World
from strategies.virtual import VirtualWorld
from tests.strategies.builders import separable_share, spec
from tests.strategies.test_econas_asynchronous import Watched, asked
from tests.strategies.test_virtual import MOMENTS, by_candidate, check_kills, virtual


def small(**options: Any) -> SearchSpec:
    sizes = {"candidates": 27, "minimum_epochs": 2, "reduction": 3, "rungs": 3, "in_flight": 4}
    return spec("asha", **(sizes | options))


def run(spec: SearchSpec, **options: Any) -> tuple[Result, Simulation]:
    simulation = Simulation(spec, **{"score": separable_share} | options)
    return simulation.search(registry.create(spec)), simulation


def test_in_batches_each_rung_has_a_share_of_the_one_below() -> None:
    result, simulation = run(small(synchronous=True))
    assert [epochs for _, epochs in asked(simulation)] == [2] * 27 + [6] * 9 + [18] * 3
    assert result.curves["rung_epochs"] == [2, 6, 18]
    assert result.curves["trained"] == [27, 9, 3]
    assert {one.epochs for one in result.best} == {18}
    assert result.notes == ()


def test_in_batches_it_is_the_best_of_a_rung_that_go_on() -> None:
    result, simulation = run(small(synchronous=True))
    at_the_bottom = {one.candidate: separable_share_of(simulation, one.candidate, 2) for one in result.history}
    promoted = {candidate for candidate, epochs in asked(simulation) if epochs == 6}
    others = set(at_the_bottom) - promoted
    assert min(at_the_bottom[one] for one in promoted) >= max(at_the_bottom[one] for one in others)


def separable_share_of(simulation: Simulation, candidate: str, epochs: int) -> float:
    requests = (one for one in simulation.world.requests.values() if isinstance(one, Train))
    return separable_share(next(one.candidate for one in requests if one.candidate.id == candidate), epochs)


@pytest.mark.parametrize(("candidates", "trained"), [(1, [1, 0, 0]), (2, [2, 0, 0]), (8, [8, 2, 0]), (10, [10, 3, 1])])
def test_shares_are_rounded_down(candidates: int, trained: list[int]) -> None:
    result, _ = run(small(synchronous=True, candidates=candidates))
    assert result.curves["trained"] == trained
    early = run(small(candidates=candidates))[0].curves["trained"]  # some are promoted too early, and count
    assert all(more >= count for more, count in zip(early, trained, strict=True))
    reached = 2 * 3 ** (sum(map(bool, trained)) - 1)
    note = f"no network reached 18 epochs, the top rung; the best are of those that reached {reached}"
    assert result.notes == (() if trained[2] else (note,))


def as_printed(rungs: list[dict[int, float]], promoted: list[set[int]], eta: int) -> tuple[int, int] | None:
    """`get_job` of Li et al. (2020), Algorithm 2, with K + 1 rungs: a configuration and the rung that it leaves."""
    for k in range(len(rungs) - 2, -1, -1):
        ordered = sorted(rungs[k], key=lambda t: (-rungs[k][t], t))
        candidates = ordered[: len(rungs[k]) // eta]
        promotable = [t for t in candidates if t not in promoted[k]]
        if promotable:
            return promotable[0], k
    return None


@settings(max_examples=80, deadline=None)
@given(eta=st.integers(2, 4), rungs=st.integers(1, 4), accuracies=st.lists(st.floats(0, 1), max_size=60))
def test_promotions_are_those_of_the_printed_algorithm(eta: int, rungs: int, accuracies: list[float]) -> None:
    ladder, trained = Ladder(rungs, eta), [dict[int, float]() for _ in range(rungs)]
    promoted, born = [set[int]() for _ in range(rungs)], 0
    for accuracy in accuracies:
        expected = as_printed(trained, promoted, eta)
        assert ladder.promotable() == expected
        if expected is None:
            index, rung = born, 0
            born += 1
        else:
            index, rung = expected[0], expected[1] + 1
            promoted[expected[1]].add(index)
            ladder.promote(*expected)
        trained[rung][index] = accuracy
        ladder.settle(index, rung, accuracy)
        again = Ladder(rungs, eta)
        again.restore(ladder.state())
        assert again.promotable() == ladder.promotable()
    assert len(ladder) == len(accuracies)


def test_a_failure_counts_on_its_rung_and_is_never_promoted() -> None:
    ladder = Ladder(2, 2)
    for index, accuracy in enumerate([None, 0.1, None, 0.05]):
        ladder.settle(index, 0, accuracy)
    assert ladder.best(0) == [1, 3]
    assert ladder.promotable() == (1, 0)
    assert ladder.rows() == ([4, 0], [2, 0], [0.1, None])


def test_asynchronously_it_promotes_before_the_bottom_rung_is_full() -> None:
    result, simulation = run(small(candidates=40))
    order = [epochs for _, epochs in asked(simulation)]
    assert order.index(6) < order.index(18) < max(place for place, epochs in enumerate(order) if epochs == 2)
    assert Counter(order)[2] == 40
    assert result.curves["trained"][1] >= 40 // 3


def test_in_the_end_all_of_the_best_share_of_each_rung_went_on() -> None:
    _, simulation = run(small(candidates=40))
    asked_for = asked(simulation)
    for rung in (2, 6):
        standing = [candidate for candidate, epochs in asked_for if epochs == rung]
        best = sorted(standing, key=lambda one: -separable_share_of(simulation, one, rung))[: len(standing) // 3]
        threshold = separable_share_of(simulation, best[-1], rung)
        promoted = {candidate for candidate, epochs in asked_for if epochs == 3 * rung}
        better = [one for one in standing if separable_share_of(simulation, one, rung) > threshold]
        assert set(better) <= promoted


@pytest.mark.parametrize("in_flight", [2, 5])
def test_as_many_are_under_way_as_it_is_told_while_the_bottom_rung_grows(in_flight: int) -> None:
    simulation = Watched(wanted := small(in_flight=in_flight), score=separable_share)
    simulation.search(registry.create(wanted))
    assert max(simulation.widths) == in_flight
    assert simulation.widths[:27] == [in_flight] * 27


@pytest.mark.parametrize("what", MOMENTS)
def test_in_virtual_time_a_kill_changes_nothing(what: str) -> None:
    wanted = small()
    check_kills(wanted, what)


def test_raising_the_total_after_the_end_trains_what_is_new_and_repeats_nothing() -> None:
    world = World()
    run(small(candidates=20), world=world)
    before = {(request.key) for request in world.requests.values()}
    raised, _ = run(small(candidates=40), world=world)
    at_once, alone = run(small(candidates=40))
    assert raised == at_once
    assert world.trained == len({request.key for request in alone.world.requests.values()} | before)


def test_devices_hardly_wait() -> None:
    def idle(**options: Any) -> float:
        wanted = small(candidates=120, **options)
        life = virtual(wanted, VirtualWorld(devices=4), seconds=by_candidate, durable=False)
        life.search(registry.create(wanted))
        return life.timeline.idle_share

    assert idle(in_flight=6) < idle(synchronous=True)
    assert idle(in_flight=6) < 0.05


@pytest.mark.parametrize(("schedule", "length"), [("cosine", 18), ("cosine_restarts", 2)])
def test_one_cosine_over_all_rungs_or_one_for_every_r_epochs(schedule: Any, length: int) -> None:
    _, simulation = run(small(schedule=schedule))
    recipes = {r.candidate.recipe for r in simulation.world.requests.values() if isinstance(r, Train)}
    (recipe,) = recipes
    assert (recipe.schedule, recipe.schedule_epochs) == (schedule, length)
    assert all(HalvingOptions(schedule=schedule).epochs(rung) % 4 == 0 for rung in range(3))


def test_any_space_will_do() -> None:
    result, _ = run(small(space={"name": "nasbench201"}), score=lambda one, epochs: one.architecture.genes[0] / 10)
    assert result.best[0].accuracy == 0.4
