from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from orchestrator.serving.notify import LONGEST_STATUS, Notifier


class Manager:
    """The other end of the notify socket."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.setblocking(False)
        self.address = address

    def heard(self) -> list[str]:
        """What came since the last time."""
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(65536).decode())
            except BlockingIOError:
                return messages

    def environment(self, watchdog: float | None = None) -> dict[str, str]:
        named = {"NOTIFY_SOCKET": self.address}
        if watchdog is not None:
            named |= {"WATCHDOG_USEC": str(round(watchdog * 1e6)), "WATCHDOG_PID": str(os.getpid())}
        return named


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@coldframe-test-{os.getpid()}"
    manager = Manager(address)
    yield manager
    manager.socket.close()


def test_ready_status_and_stopping_are_told_as_systemd_reads_them(manager: Manager) -> None:
    notifier = Notifier(manager.environment())
    notifier.ready("serves 2 searches")
    notifier.status("one\nWATCHDOG=trigger")
    notifier.status("x" * 2 * LONGEST_STATUS)
    notifier.stopping("drains")
    assert manager.heard() == [
        "READY=1\nSTATUS=serves 2 searches",
        "STATUS=one WATCHDOG=trigger",
        f"STATUS={'x' * LONGEST_STATUS}",
        "STOPPING=1\nSTATUS=drains",
    ]


async def test_without_a_manager_nothing_is_said_and_nothing_fails(tmp_path: Path) -> None:
    for environment in ({}, {"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "nonsense"}):
        notifier = Notifier(environment)
        notifier.ready("serves")
        await notifier.watch(lambda: {})
        assert notifier.watchdog_seconds is None


@pytest.mark.parametrize(
    ("named", "expected"),
    [({"WATCHDOG_USEC": "3000000"}, 3.0), ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None), ({}, None)],
)
def test_a_watchdog_of_another_process_is_not_ours(named: dict[str, str], expected: float | None) -> None:
    assert Notifier({"NOTIFY_SOCKET": "@anything"} | named).watchdog_seconds == expected


async def _next(manager: Manager, wanted: str) -> None:
    with anyio.fail_after(10):
        while wanted not in "\n".join(manager.heard()):  # noqa: ASYNC110 - it comes from a socket
            await anyio.sleep(0.005)


async def test_the_watchdog_hears_at_half_of_its_time(manager: Manager) -> None:
    async with anyio.create_task_group() as tasks:
        begun = time.monotonic()
        tasks.start_soon(Notifier(manager.environment(watchdog=0.4)).watch, dict)
        for _ in range(4):
            await _next(manager, "WATCHDOG=1")
        assert 0.55 < time.monotonic() - begun < 5.0  # at 0, 0.2, 0.4 and 0.6 s
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("part", ["journal", "acting"])
async def test_the_watchdog_hears_nothing_while_a_part_makes_no_progress(manager: Manager, part: str) -> None:
    stalled = {"journal": 0.0, "acting": 0.0}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Notifier(manager.environment(watchdog=0.2)).watch, lambda: stalled)
        await _next(manager, "WATCHDOG=1")
        stalled[part] = 0.05  # less than half of the time: it may just be at work
        await _next(manager, "WATCHDOG=1")
        stalled[part] = 61.0
        await _next(manager, f"STATUS=no progress: {part} for 61 s")
        manager.heard()
        await anyio.sleep(0.5)
        assert not any("WATCHDOG" in message for message in manager.heard())
        stalled[part] = 0.0
        await _next(manager, "WATCHDOG=1\nSTATUS=makes progress again")
        tasks.cancel_scope.cancel()


async def test_the_watchdog_hears_nothing_while_the_loop_is_blocked(manager: Manager) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Notifier(manager.environment(watchdog=0.2)).watch, dict)
        await _next(manager, "WATCHDOG=1")
        manager.heard()
        time.sleep(0.5)  # noqa: ASYNC251 - this is the fault
        assert manager.heard() == []
        await _next(manager, "WATCHDOG=1")
        tasks.cancel_scope.cancel()


async def test_a_drain_asks_for_more_time_until_its_own_is_over(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.serving.notify.EXTEND_SECONDS", 0.2)
    with anyio.fail_after(5):
        await Notifier(manager.environment()).draining(0.35)
    assert manager.heard() == ["EXTEND_TIMEOUT_USEC=200000"] * 4
