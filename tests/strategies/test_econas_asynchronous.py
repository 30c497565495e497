"""EcoNAS without a barrier, and with one but the longest trainings first."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from store.records.requests import Train
from store.records.results import Result
from store.records.spec import SearchSpec
from strategies import registry
from strategies.errors import InvalidOptions
from strategies.life import Killed, Moment
from strategies.simulation import Simulation, World
from strategies.spaces.cell import CellSpace
from strategies.spaces.work import of_cells
from strategies.virtual import VirtualWorld
from tests.strategies.builders import separable_share, small_econas, spec
from tests.strategies.test_virtual import MOMENTS, by_candidate, check_kills, virtual

NO_DEATHS: dict[str, Any] = {"dead": "idle", "dead_after": 100}


def rolling(**options: Any) -> SearchSpec:
    return small_econas(**({"barrier": False, "in_flight": 3} | options))


def run(spec: SearchSpec, **options: Any) -> tuple[Result, Simulation]:
    simulation = Simulation(spec, **{"score": separable_share} | options)
    return simulation.search(registry.create(spec)), simulation


def asked(simulation: Simulation) -> list[tuple[str, int]]:
    """The trainings in the order in which they were asked for."""
    requests = [simulation.world.requests[index] for index in sorted(simulation.world.requests)]
    return [(request.candidate.id, request.epochs) for request in requests if isinstance(request, Train)]


@settings(max_examples=40, deadline=None)
@given(
    in_flight=st.integers(1, 9),
    order=st.integers(0, 3),
    options=st.fixed_dictionaries(
        {
            "initial": st.integers(1, 9),
            "cycles": st.integers(0, 4),
            "children": st.integers(1, 6),
            "promoted_to_2e": st.integers(0, 4),
            "promoted_to_3e": st.integers(0, 3),
            "preset": st.sampled_from(["default", "released", "algorithm-1"]),
            "parents": st.sampled_from(["tournament", "rank_two_stage", "softmax"]),
            "limit_half": st.booleans(),
        }
    ),
)
@example(in_flight=8, order=0, options={"initial": 1, "cycles": 3, "children": 1, "promoted_to_2e": 4})
def test_it_spends_what_the_synchronous_form_spends(in_flight: int, order: int, options: dict[str, Any]) -> None:
    together = small_econas(**(options | NO_DEATHS))
    apart = rolling(**(options | NO_DEATHS), in_flight=in_flight)
    (expected, first), (result, second) = run(together, order=order), run(apart, order=order)
    assert Counter(epochs for _, epochs in asked(first)) == Counter(epochs for _, epochs in asked(second))
    assert result.curves["epochs"] == expected.curves["epochs"]
    assert result.curves["models"] == expected.curves["models"]


@pytest.mark.parametrize(("preset", "spent"), [("default", 34_520), ("released", 33_540), ("algorithm-1", 34_600)])
def test_the_full_budget_of_each_preset_is_that_of_the_synchronous_form(preset: str, spent: int) -> None:
    life = virtual(wanted := spec(preset=preset, cycles=60, barrier=False), durable=False)
    result = life.search(registry.create(wanted))
    assert sum(result.curves["epochs"]) == 20 * len(life.world.requests) == spent


class Watched(Simulation):
    """Counts what is under way at every wait for the first."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.widths: list[int] = []

    async def completed(self, call: int, index: int, pending: Any) -> Any:
        self.widths.append(len(pending))
        return await super().completed(call, index, pending)


@pytest.mark.parametrize("in_flight", [2, 3, 8])
def test_as_many_are_under_way_as_it_is_told(in_flight: int) -> None:
    wanted = rolling(initial=10, cycles=4, children=8, promoted_to_2e=3, in_flight=in_flight)
    simulation = Watched(wanted, score=separable_share)
    simulation.search(registry.create(wanted))
    assert set(simulation.widths) == {in_flight}


def test_eight_are_under_way_if_it_is_not_told() -> None:
    simulation = Watched(wanted := small_econas(initial=20, barrier=False), score=separable_share)
    simulation.search(registry.create(wanted))
    assert set(simulation.widths[:12]) == {8}


def test_a_network_moves_one_rung_a_cycle_side_by_side() -> None:
    result, simulation = run(rolling(initial=8, cycles=5, promoted_to_2e=3, promoted_to_3e=3, in_flight=2))
    order = asked(simulation)
    third = [place for place, (_, epochs) in enumerate(order) if epochs == 6]
    assert third
    per_cycle = [sum(epochs for _, epochs in order[: place + 1]) for place in third]
    assert per_cycle == sorted(per_cycle)
    cycles = births_and_moves(result, order)
    assert all(second < third for second, third in cycles)


def births_and_moves(result: Result, order: list[tuple[str, int]]) -> list[tuple[int, int]]:
    """For each network at 3E the cycles in which it was asked to go on to 2E and to 3E; trainings a cycle are known."""
    ends, total = [], 0
    for epochs in result.curves["epochs"]:
        total += epochs // 2
        ends.append(total)
    cycle = [next(number for number, end in enumerate(ends) if place < end) for place in range(len(order))]
    moved = {(candidate, epochs): cycle[place] for place, (candidate, epochs) in reversed(list(enumerate(order)))}
    return [(moved[name, 4], moved[name, 6]) for name, epochs in moved if epochs == 6]


def test_a_child_is_drawn_from_what_is_known_when_it_is_asked_for() -> None:
    def same_cycle(spec: SearchSpec) -> int:
        """Children whose parent was born in their own cycle, where the younger is always better."""
        ages: dict[str, int] = {}
        history = run(spec, score=lambda one, _: 0.1 + 0.001 * ages.setdefault(one.id, len(ages)))[0].history
        return sum(history[one.parent].cycle == one.cycle for one in history if one.parent is not None)

    sizes = {"initial": 6, "cycles": 4, "children": 8}
    assert same_cycle(rolling(**sizes, in_flight=1)) > 4
    assert same_cycle(small_econas(**sizes)) == 0


@pytest.mark.parametrize("what", MOMENTS)
@pytest.mark.parametrize("preset", ["default", "algorithm-1"])
def test_in_virtual_time_a_kill_changes_nothing(what: str, preset: str) -> None:
    wanted = rolling(preset=preset, cycles=4, in_flight=5)
    check_kills(wanted, what)


def test_a_restart_asks_only_for_what_came_after_the_last_cycle() -> None:
    world, wanted = World(), rolling(initial=10, cycles=8)
    with pytest.raises(Killed):
        run(wanted, world=world, until=Moment("saved", 6))
    _, simulation = run(wanted, world=world)
    assert simulation.moments["requested"] <= len(world.requests) - 10 - 5 * 7 + 3


def idle(spec: SearchSpec, devices: int = 4, **options: Any) -> float:
    life = virtual(spec, VirtualWorld(devices=devices), seconds=by_candidate, durable=False, **options)
    life.search(registry.create(spec))
    return life.timeline.idle_share


def test_devices_wait_less_without_a_barrier() -> None:
    numbers = {"initial": 24, "cycles": 12, "children": 10, "promoted_to_2e": 4, "promoted_to_3e": 2, "epochs": 4}
    with_barrier, without = idle(small_econas(**numbers)), idle(rolling(**numbers, in_flight=6))
    assert without < 0.03 < 0.06 < with_barrier


def test_longest_first_changes_the_order_of_requests_and_nothing_else() -> None:
    (plain, before), (sorted_, after) = run(small_econas()), run(small_econas(longest_first=True))
    assert sorted_ == plain
    assert asked(after) != asked(before)
    assert Counter(asked(after)) == Counter(asked(before))
    works = {one.candidate: work_of(plain, one.candidate) for one in plain.history}
    initial = [works[candidate] for candidate, _ in asked(after)[:6]]
    assert initial == sorted(initial, reverse=True)


def work_of(result: Result, candidate: str) -> float:
    found = next(one for one in result.history if one.candidate == candidate)
    return of_cells(CellSpace().decode(found.architecture))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"in_flight": 4}, "expected in_flight only together with barrier = false"),
        ({"barrier": True, "in_flight": 4}, "expected in_flight only together with barrier = false"),
        ({"barrier": False, "longest_first": True}, "expected longest_first only with a barrier"),
        ({"barrier": False, "in_flight": 0}, "in_flight"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidOptions, match=complaint):
        registry.create(small_econas(**options))


def test_spelling_out_the_defaults_is_the_same_search() -> None:
    plain = registry.options(small_econas().strategy)
    assert registry.options(small_econas(barrier=True, longest_first=False).strategy) == plain
    filled = plain.model_dump(mode="json", exclude_none=True)
    assert not {"barrier", "in_flight", "longest_first"} & set(filled)


def test_progress_grows_to_the_total() -> None:
    _, simulation = run(rolling(initial=7, cycles=3))
    done = [done for done, _, _ in simulation.progressed]
    assert done == sorted(done)
    assert all(done <= total for done, total, _ in simulation.progressed)
    assert simulation.progressed[-1][2] == "cycle 3 of 3"
