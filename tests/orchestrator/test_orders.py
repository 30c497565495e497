"""What may be ordered of a search in which state, and what it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator import spec
from orchestrator.errors import SpecError, TotalLowered, UnknownSearch, WrongState
from orchestrator.memory import Memory
from orchestrator.serving import orders
from orchestrator.serving.orders import Handed
from store.records.events import (
    AnyEvent,
    SearchFailed,
    SearchFinished,
    SearchInterrupted,
    SearchOpened,
    SearchStarted,
)

RAW: dict[str, Any] = {
    "name": "roses",
    "strategy": {"name": "random", "candidates": 8, "epochs": 2},
    "space": {"name": "cell"},
    "trainer": {"name": "scripted"},
    "data": {"name": "digits"},
}


def handed(candidates: int = 8, **more: Any) -> Handed:
    raw = RAW | {"strategy": RAW["strategy"] | {"candidates": candidates}} | more.pop("raw", {})
    return Handed(spec.plan(raw, "roses.toml"), raw, more.pop("owner", "ann"), **more)


def given(*then: Callable[[str], AnyEvent]) -> tuple[Memory, str]:
    """A memory with a submitted search, and what happened to it after that."""
    memory, one = Memory(), handed()
    apply(memory, orders.submit(memory, one))
    apply(memory, [make(one.plan.id) for make in then])
    return memory, one.plan.id


def apply(memory: Memory, events: list[AnyEvent]) -> list[str]:
    for event in events:
        memory.apply(event.type, event.model_dump(mode="python"))
    return [event.type for event in events]


def started(search: str) -> AnyEvent:
    return SearchStarted(search=search, pid=1)


def interrupted(search: str) -> AnyEvent:
    return SearchInterrupted(search=search, reason="SIGTERM")


def finished(search: str) -> AnyEvent:
    return SearchFinished(search=search, result={})


def failed(search: str) -> AnyEvent:
    return SearchFailed(search=search, message="it broke")


def standing(memory: Memory, search: str) -> str:
    return orders.standing(memory.searches[search])


def wanted(memory: Memory, search: str) -> bool:
    return orders.is_wanted(memory.searches[search])


def test_a_submitted_search_is_wanted_until_it_ends() -> None:
    memory, search = given()
    assert standing(memory, search) == "submitted"
    assert wanted(memory, search)
    for event, status, goes_on in (
        (started(search), "running", True),
        (interrupted(search), "interrupted", True),
        (finished(search), "finished", False),
    ):
        apply(memory, [event])
        assert (standing(memory, search), wanted(memory, search)) == (status, goes_on)


def test_a_search_that_was_only_run_in_the_foreground_takes_no_orders() -> None:
    memory, plan = Memory(), handed().plan
    apply(memory, [SearchOpened(search=plan.id, spec=plan.spec), started(plan.id), interrupted(plan.id)])
    assert not wanted(memory, plan.id)
    for order in (orders.pause, orders.resume, orders.stop):
        with pytest.raises(WrongState, match="coldframe submit"):
            order(memory, plan.id, "ann")
    assert apply(memory, orders.submit(memory, handed())) == ["search_submitted"]
    assert wanted(memory, plan.id)


def test_each_order_given_twice_is_given_once() -> None:
    memory, search = given(started)
    for order, status in ((orders.pause, "paused"), (orders.resume, "running"), (orders.stop, "stopped")):
        assert len(apply(memory, order(memory, search, "ann"))) == 1
        assert standing(memory, search) == status
        assert order(memory, search, "bob") == []
    assert apply(memory, orders.submit(memory, handed())) == ["search_submitted"]
    assert wanted(memory, search)
    assert orders.submit(memory, handed()) == []


def test_a_stopped_search_may_be_paused_by_nobody_and_resumed_by_anybody() -> None:
    memory, search = given(started)
    apply(memory, orders.pause(memory, search, "ann"))
    apply(memory, orders.stop(memory, search, "ann"))
    assert standing(memory, search) == "stopped"
    with pytest.raises(WrongState, match="is stopped and cannot be paused"):
        orders.pause(memory, search, "ann")
    (event,) = orders.resume(memory, search, "bob")
    assert event.by == "bob"  # type: ignore[union-attr]
    apply(memory, [event])
    assert wanted(memory, search)


@pytest.mark.parametrize("order", [orders.pause, orders.resume, orders.stop])
def test_a_finished_search_takes_none_of_these(order: Callable[[Memory, str, str], list[AnyEvent]]) -> None:
    memory, search = given(started, finished)
    with pytest.raises(WrongState, match="is finished"):
        order(memory, search, "ann")
    with pytest.raises(WrongState, match="is finished"):
        orders.prioritise(memory, search, 2.0, None, "ann")


def test_a_failed_search_is_tried_again_when_it_is_resumed_or_submitted() -> None:
    for resumed in (True, False):
        memory, search = given(started, failed)
        assert not wanted(memory, search)
        apply(memory, orders.resume(memory, search, "ann") if resumed else orders.submit(memory, handed()))
        assert wanted(memory, search)


def test_a_paused_search_stays_paused_when_it_is_submitted_again() -> None:
    memory, search = given(started)
    apply(memory, orders.pause(memory, search, "bob"))
    assert orders.submit(memory, handed()) == []
    assert apply(memory, orders.submit(memory, handed(12))) == ["search_extended", "search_submitted"]
    assert standing(memory, search) == "paused"
    assert memory.searches[search].paused == "bob"


def test_a_share_is_changed_a_part_at_a_time_and_kept_when_it_is_submitted_again() -> None:
    memory, search = given(started)
    apply(memory, orders.prioritise(memory, search, 3.0, None, "ann"))
    apply(memory, orders.prioritise(memory, search, None, -2, "ann"))
    assert orders.prioritise(memory, search, 3.0, -2, "ann") == []
    apply(memory, orders.submit(memory, handed(9, owner="bob")))
    known = memory.searches[search]
    assert (known.weight, known.priority, known.owner) == (3.0, -2, "ann")


@pytest.mark.parametrize(("weight", "priority"), [(0.0, 0), (float("nan"), 0), (1e9, 0), (1.0, 5000)])
def test_shares_that_cannot_be_are_refused(weight: float, priority: int) -> None:
    memory, search = given(started)
    with pytest.raises(SpecError, match=r"weight|priority"):
        orders.prioritise(memory, search, weight, priority, "ann")
    with pytest.raises(SpecError, match=r"weight|priority"):
        orders.submit(Memory(), handed(weight=weight, priority=priority))


def test_a_raised_total_lets_a_finished_search_go_on_and_a_lowered_one_is_refused() -> None:
    memory, search = given(started, finished)
    assert apply(memory, orders.extend(memory, search, {"candidates": 20})) == ["search_extended"]
    assert wanted(memory, search)
    assert orders.extend(memory, search, {"candidates": 20}) == []
    with pytest.raises(TotalLowered, match="already set to 20"):
        orders.extend(memory, search, {"candidates": 19})
    with pytest.raises(TotalLowered):
        orders.submit(memory, handed(8))
    with pytest.raises(SpecError, match="those that can be raised: candidates"):
        orders.extend(memory, search, {"epochs": 20})


@pytest.mark.parametrize("order", [orders.pause, orders.stop])
def test_a_search_that_ends_before_an_order_takes_hold_goes_on_when_its_total_is_raised(
    order: Callable[[Memory, str, str], list[AnyEvent]],
) -> None:
    memory, search = given(started)
    apply(memory, order(memory, search, "ann"))
    apply(memory, [finished(search)])
    apply(memory, orders.extend(memory, search, {"candidates": 20}))
    assert wanted(memory, search)


def test_what_was_written_is_planned_with_the_totals_of_now() -> None:
    memory, search = given(started)
    apply(memory, orders.extend(memory, search, {"candidates": 20}))
    known = memory.searches[search]
    assert known.submitted is not None
    raw = orders.raised(known.submitted, known)
    plan = spec.plan(raw, known.file)
    assert plan.id == search
    assert plan.spec.strategy.options["candidates"] == 20


def test_a_finished_search_is_submitted_again_without_anything_to_do() -> None:
    memory, search = given(started, finished)
    assert orders.submit(memory, handed()) == []
    assert standing(memory, search) == "finished"


def test_nobody_is_ordered_about_who_is_not_there() -> None:
    with pytest.raises(UnknownSearch):
        orders.pause(Memory(), "f" * 64, "ann")
