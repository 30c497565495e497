"""A disk that is slow, and people who do not listen: the event loop goes on, heartbeats come, memory stays."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from store.records.events import AttemptFailed
from tests.faults import serving
from tests.faults.serving import Daemon
from tests.system import harness

pytestmark = pytest.mark.timeout(200)

DELAY_SECONDS = 0.5


@pytest.mark.system
def test_a_disk_on_which_every_sync_takes_half_a_second_blocks_neither_the_api_nor_the_heartbeats(
    tmp_path: Path,
) -> None:
    """Scenario 41: strace delays the daemon's and its workers' syncs.

    A worker is silent while it saves, which takes some ten syncs: `hang_seconds` must be longer than that.
    """
    delay = f"inject=fdatasync,fsync:delay_enter={int(DELAY_SECONDS * 1e6)}"
    before = ["strace", "-f", "-qq", "-o", "/dev/null", "--seccomp-bpf", "-e", "trace=fdatasync,fsync", "-e", delay]
    daemon = Daemon(tmp_path, before=before, limits={"hang_seconds": 30.0}).start(90.0)
    search = daemon.submit(serving.spec(tmp_path, "cells", candidates=2, epochs=1, epoch_seconds=0.5))
    took = []
    while daemon.status(search) != "finished":
        began = time.monotonic()
        assert daemon.get("/v1/health")["status"] == "ok"
        took.append(time.monotonic() - began)
        pause = time.monotonic() + 0.05
        daemon.until(lambda pause=pause: time.monotonic() > pause)
    assert len(took) > 20
    assert sorted(took)[len(took) * 9 // 10] < DELAY_SECONDS / 2, "answers waited for the disk"
    assert not [event for event in harness.events(daemon.store) if isinstance(event, AttemptFailed)]
    daemon.kill()


def test_who_does_not_read_costs_no_memory_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    """Scenario 41: watchers and a scraper that stand still while much happens."""
    with Daemon(tmp_path) as daemon, ExitStack() as held:
        deaf = [held.enter_context(asking(daemon, "/v1/events?after=0", "text/event-stream")) for _ in range(10)]
        deaf += [held.enter_context(asking(daemon, "/metrics", "*/*")) for _ in range(10)]
        assert len(deaf) == 20
        before = psutil.Process(daemon.pid).memory_info().rss
        search = daemon.submit(serving.spec(tmp_path, "much", candidates=150, epochs=2, epoch_seconds=0.0))
        daemon.until_ended(search)
        assert psutil.Process(daemon.pid).memory_info().rss - before < 50 << 20
        began = time.monotonic()
        assert daemon.get("/v1/health")["status"] == "ok"
        assert time.monotonic() - began < 5.0
        assert daemon.stop() == 0, "it does not wait for them when it leaves"
    serving.assert_clean(daemon.store)


def asking(daemon: Daemon, path: str, accept: str) -> socket.socket:
    """Asks, with little room for the answer, and never reads it."""
    raw = socket.socket(socket.AF_UNIX)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect(str(daemon.told()["socket"]))
    raw.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n".encode())
    return raw
