"""Devices that leave service and come back: the pure book, and what looks at the driver for it."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.devices import cpu
from orchestrator.devices.keeper import DeviceKeeper
from orchestrator.devices.occupancy import Occupancy
from orchestrator.devices.provider import Reading
from orchestrator.devices.threads import within
from orchestrator.devices.watch import DeviceWatch
from orchestrator.errors import UnknownDevice, WrongState
from orchestrator.serving.config import DevicesConfig
from store.records.events import DeviceLeft, DeviceReturned
from tests.orchestrator.drivers import FakeDriver, gpu

LIMIT_SECONDS = 60.0


def test_the_third_fault_in_ten_minutes_takes_a_device_out() -> None:
    watch = DeviceWatch(["cuda:0", "cuda:1"], limit=3, seconds=600)
    assert watch.fault("cuda:0", "Xid 94", 0) is None
    assert watch.fault("cuda:0", "Xid 94", 300) is None
    assert watch.fault("cuda:1", "Xid 48", 599) is None
    left = watch.fault("cuda:0", "Xid 95", 600)
    assert left == DeviceLeft(device="cuda:0", reason="faults", message="3 faults within 600 s, the last: Xid 95")
    assert list(watch.out) == ["cuda:0"]
    assert watch.fault("cuda:0", "Xid 95", 601) is None, "it is out already"


def test_faults_that_are_long_ago_do_not_count() -> None:
    watch = DeviceWatch(["cuda:0"], limit=3, seconds=600)
    assert [watch.fault("cuda:0", "Xid 94", now) for now in (0, 10, 611, 700)] == [None] * 4
    assert watch.faults("cuda:0", 700) == 2


def test_only_what_was_lost_comes_back_when_the_driver_answers() -> None:
    watch = DeviceWatch(["cuda:0", "cuda:1"], limit=1, seconds=600)
    watch.fault("cuda:0", "Xid 94", 0)
    watch.leave("cuda:1", "lost", "gone")
    assert watch.answered("cuda:0") is None
    assert watch.answered("cuda:1") == DeviceReturned(device="cuda:1", by="driver")
    assert watch.back("cuda:0", "ada") == DeviceReturned(device="cuda:0", by="ada")
    assert watch.faults("cuda:0", 1) == 0, "it starts anew"
    assert watch.back("cuda:0", "ada") is None


@given(
    limit=st.integers(1, 5),
    steps=st.lists(st.tuples(st.floats(0, 100), st.sampled_from(["fault", "back", "lost", "answered"])), max_size=40),
)
def test_a_device_is_out_exactly_if_it_left_last(limit: int, steps: list[tuple[float, str]]) -> None:
    watch, now = DeviceWatch(["d"], limit, 50.0), 0.0
    recent: list[float] = []
    left = False
    for gap, what in steps:
        now += gap
        match what:
            case "fault":
                recent = [*(time for time in recent if now - time <= 50.0), now]
                event = watch.fault("d", "x", now)
                assert (event is not None) == (not left and len(recent) >= limit)
                left = left or event is not None
            case "lost":
                assert (watch.leave("d", "lost", "x") is None) == left
                left = True
            case _:
                event_back = watch.back("d", "x") if what == "back" else watch.answered("d")
                if event_back is not None:
                    assert left
                    left, recent = False, []
        assert ("d" in watch.out) == left


def test_the_idle_share_counts_the_time_in_which_no_worker_of_a_device_has_a_job() -> None:
    occupancy = Occupancy()
    assert occupancy.idle_share("d", 5.0) is None
    occupancy.rests("d", "w0", 0.0)
    occupancy.works("d", "w0", 2.0)
    occupancy.works("d", "w1", 3.0)
    occupancy.rests("d", "w0", 5.0)
    occupancy.rests("d", "w1", 6.0)
    occupancy.rests("d", "w1", 7.0)
    assert occupancy.idle_share("d", 10.0) == pytest.approx((2 + 4) / 10)


def test_a_driver_that_hangs_holds_nobody_up() -> None:
    over = threading.Event()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
        within(0.05, over.wait)
    over.set()
    assert within(5.0, lambda: 7) == 7


# What looks at the driver.


class Heard:
    """What the keeper said."""

    def __init__(self) -> None:
        self.events: list[DeviceLeft | DeviceReturned] = []
        self.seen: list[str] = []

    def device_left(self, event: DeviceLeft) -> None:
        self.events.append(event)

    def device_returned(self, event: DeviceReturned) -> None:
        self.events.append(event)

    def device_seen(self, device: str, reading: Reading) -> None:
        self.seen.append(device)

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(event.device, event.reason if isinstance(event, DeviceLeft) else event.by) for event in self.events]


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(LIMIT_SECONDS):
        while not condition():  # noqa: ASYNC110  (what is looked at is changed by threads)
            await anyio.sleep(0.005)


@asynccontextmanager
async def keeping(driver: FakeDriver, **config: float) -> AsyncIterator[tuple[DeviceKeeper, Heard]]:
    heard = Heard()
    settings = DevicesConfig.model_validate({"poll_seconds": 0.01, "nvml_seconds": LIMIT_SECONDS, **config})
    keeper = DeviceKeeper(driver.devices(), driver, settings, heard, lambda device: {4711})
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeper.run)
        yield keeper, heard
        tasks.cancel_scope.cancel()


async def test_every_device_is_looked_at_again_and_again() -> None:
    driver = FakeDriver(gpu(0), gpu(1))
    async with keeping(driver) as (keeper, heard):
        await until(lambda: min(driver.calls.values()) > 2)
        assert set(heard.seen) == {"cuda:0", "cuda:1"}
        assert keeper.readings["cuda:0"].utilisation == 0.5
        assert driver.ours["cuda:0"] == {4711}
        assert heard.events == []


async def test_a_driver_call_that_hangs_loses_its_device_alone_and_is_not_repeated() -> None:
    """Scenario 42: the loop goes on, nothing more is asked about the device, and it is back when the call is."""
    driver = FakeDriver(gpu(0), gpu(1))
    async with keeping(driver, nvml_seconds=2.0) as (_, heard):
        await until(lambda: driver.calls["cuda:1"] > 0)
        over = driver.hang("cuda:1")
        await until(lambda: heard.told == [("cuda:1", "lost")])
        assert isinstance(heard.events[0], DeviceLeft)
        assert heard.events[0].message == "the driver did not answer within 2 s"
        asked, others = driver.calls["cuda:1"], driver.calls["cuda:0"]
        await until(lambda: driver.calls["cuda:0"] > others + 5)
        assert driver.calls["cuda:1"] == asked
        over.set()
        await until(lambda: heard.told == [("cuda:1", "lost"), ("cuda:1", "driver")])


async def test_a_machine_that_has_no_thread_to_spare_is_asked_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenario 34: a look at a device is not worth the daemon."""
    refused: list[threading.Thread] = []
    driver, real = FakeDriver(gpu(0)), threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name == "driver call" and len(refused) < 3:
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    async with keeping(driver) as (_, heard):
        await until(lambda: driver.calls["cuda:0"] > 0)
        assert len(refused) == 3
        assert heard.events == []


async def test_a_gpu_that_its_driver_gives_up_is_lost_until_it_answers() -> None:
    driver = FakeDriver(gpu(0))
    async with keeping(driver) as (_, heard):
        driver.lost["cuda:0"] = "GPU is lost"
        await until(lambda: heard.told == [("cuda:0", "lost")])
        asked = driver.calls["cuda:0"]
        await until(lambda: driver.calls["cuda:0"] > asked + 2)
        assert len(heard.events) == 1
        driver.lost.clear()
        await until(lambda: heard.told == [("cuda:0", "lost"), ("cuda:0", "driver")])


async def test_faults_of_the_driver_and_of_jobs_count_together() -> None:
    driver = FakeDriver(gpu(0))
    async with keeping(driver, faults=3) as (keeper, heard):
        driver.faults["cuda:0"].extend(["Xid 94", "Xid 94"])
        await until(lambda: keeper.watch.faults("cuda:0", anyio.current_time()) == 2)
        keeper.fault("cuda:0", "CUDA error: unspecified launch failure")
        assert heard.told == [("cuda:0", "faults")]
        await until(lambda: driver.calls["cuda:0"] > 5)
        keeper.back("cuda:0", "ada")
        assert heard.told == [("cuda:0", "faults"), ("cuda:0", "ada")]


async def test_orders_about_unknown_devices_or_in_the_wrong_state_are_refused() -> None:
    async with keeping(FakeDriver(gpu(0))) as (keeper, heard):
        with pytest.raises(UnknownDevice, match=r"no device 'cuda:7': expected one of cuda:0"):
            keeper.back("cuda:7", "ada")
        with pytest.raises(WrongState, match="device cuda:0 is in service"):
            keeper.back("cuda:0", "ada")
        assert heard.events == []


async def test_the_cpu_is_never_at_fault() -> None:
    driver = FakeDriver(cpu())
    async with keeping(driver, faults=1) as (keeper, heard):
        keeper.fault("cpu", "CUDA error")
        keeper.leave("cpu", "stuck", "process 1 does not end")
        assert heard.events == []


async def test_what_left_for_its_faults_is_still_out_for_the_next_daemon_and_what_was_lost_is_looked_at_again() -> None:
    driver = FakeDriver(gpu(0), gpu(1), gpu(2))
    async with keeping(driver) as (keeper, _):
        reasons = {"cuda:0": "faults", "cuda:1": "lost", "cuda:2": "stuck", "cuda:9": "faults"}
        keeper.recall(DeviceLeft.model_validate({"device": d, "reason": r, "message": ""}) for d, r in reasons.items())
        assert list(keeper.watch.out) == ["cuda:0"]
