from __future__ import annotations

import time

import pytest

from orchestrator.metrics.gauges import MOST_SHOWN
from orchestrator.serving.service import ServedSearch
from store.records.events import SearchFinished, SearchOpened, SearchStarted
from tests.orchestrator.metrics.desk import Desk
from tests.orchestrator.telling import spec


def served(search: str, status: str, done: int = 0, total: int = 0) -> ServedSearch:
    return ServedSearch(search, status, owner="ada", weight=1.0, priority=0, done=done, total=total)


def opened(desk: Desk, number: int, status: str, *, ended: float) -> str:
    """A search whose last row is so many seconds old, and that has an accuracy."""
    search = f"{number:064x}"
    then = time.time() - ended
    desk.happen(SearchOpened(search=search, spec=spec(f"s{number}")), SearchStarted(search=search, pid=1), time=then)
    desk.happen(SearchFinished(search=search, result={}), time=then)
    desk.told.asked.append(served(search, status, done=3, total=4))
    desk.metrics._fold.best[search] = 0.5
    return search[:12]


def test_devices_show_what_their_driver_says_and_nothing_else() -> None:
    values = Desk().values()
    assert values['device_memory_bytes{device="cuda:0"}'] == 80 << 30
    assert values['device_memory_used_bytes{device="cuda:0"}'] == 10 << 30
    assert values['device_utilisation_ratio{device="cuda:0"}'] == 0.5
    assert values['device_temperature_celsius{device="cuda:0"}'] == 61
    assert values['device_power_watts{device="cuda:0"}'] == 250
    assert values['device_idle_ratio{device="cuda:0"}'] == 0.25
    assert values['device_slots{device="cuda:0"}'] == 2
    assert values['device_busy_slots{device="cuda:0"}'] == 1
    assert values['device_in_service{device="cuda:0"}'] == 1
    shown = [sample for family in Desk().families().values() for sample in family.samples]
    of_cpu = {sample.name: sample.value for sample in shown if sample.labels.get("device") == "cpu"}
    assert of_cpu["coldframe_device_in_service"] == 0
    assert "coldframe_device_temperature_celsius" not in of_cpu


def test_searches_jobs_and_health_are_those_of_the_moment() -> None:
    desk = Desk()
    desk.told.asked = [served("1" * 64, "running"), served("2" * 64, "running"), served("3" * 64, "paused")]
    desk.told.under_way = {("running", "train"): 2, ("queued", "compute"): 5}
    values = desk.values()
    assert values['searches{status="running"}'] == 2
    assert values['searches{status="paused"}'] == 1
    assert values['jobs{kind="train",state="running"}'] == 2
    assert values['jobs{kind="compute",state="queued"}'] == 5
    assert values['health{status="ok"}'] == 1
    assert sum(value for key, value in values.items() if key.startswith("health")) == 1


def test_a_state_without_jobs_is_shown_as_0() -> None:
    shown = Desk().families()["coldframe_jobs"].samples
    assert {sample.labels["state"] for sample in shown} == {"queued", "starting", "running", "stopping"}
    assert {sample.value for sample in shown} == {0.0}


@pytest.mark.parametrize(
    ("status", "ended", "there"),
    [
        ("running", 90_000.0, True),
        ("paused", 90_000.0, True),
        ("finished", 80_000.0, True),
        ("finished", 90_000.0, False),
        ("failed", 90_000.0, False),
        ("stopped", 90_000.0, False),
    ],
)
def test_a_search_has_series_of_its_own_until_a_day_after_its_end(status: str, ended: float, there: bool) -> None:
    desk = Desk()
    search = opened(desk, 1, status, ended=ended)
    values = desk.values()
    labels = f'{{name="s1",search="{search}"}}'
    assert values.get(f"search_best_accuracy{labels}") == (0.5 if there else None)
    assert values.get(f"search_done_ratio{labels}") == (0.75 if there else None)


def test_no_more_searches_than_a_bound_have_series_of_their_own() -> None:
    desk = Desk()
    names = [opened(desk, number, "running", ended=1.0) for number in range(MOST_SHOWN + 5)]
    shown = [sample.labels["search"] for sample in desk.families()["coldframe_search_best_accuracy"].samples]
    assert shown == names[-MOST_SHOWN:]
