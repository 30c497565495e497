"""Too much at once: bodies, depth, candidates, series. It is refused before it costs anything, or done in pieces."""

from __future__ import annotations

import json
import socket
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from store.records.events import JobSucceeded
from tests.faults import serving
from tests.faults.serving import Daemon

pytestmark = pytest.mark.timeout(200)

MEGABYTE = 1 << 20
DEPTH = 10_000
MOST_LAG_SECONDS = 0.1


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon for all that is refused."""
    with Daemon(tmp_path_factory.mktemp("shared"), kept=True) as started:
        yield started


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with Daemon(tmp_path) as started:
        yield started


def memory(daemon: Daemon) -> int:
    return int(psutil.Process(daemon.pid).memory_info().rss)


def test_a_body_of_a_hundred_megabytes_is_refused_before_it_is_read(shared: Daemon) -> None:
    """Scenario 36."""
    before = memory(shared)
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(30.0)
        raw.connect(str(shared.told()["socket"]))
        head = f"POST /v1/searches HTTP/1.1\r\nHost: localhost\r\nContent-Length: {100 * MEGABYTE}\r\n\r\n"
        raw.sendall(head.encode())
        assert raw.recv(64).startswith(b"HTTP/1.1 413")
    assert memory(shared) - before < 50 * MEGABYTE
    assert shared.get("/v1/health")["status"] == "ok"


def test_a_body_that_does_not_say_how_long_it_is_ends_where_it_is_too_long(shared: Daemon) -> None:
    """Scenario 36: in chunks, without end."""
    before, sent = memory(shared), 0
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(30.0)
        raw.connect(str(shared.told()["socket"]))
        raw.sendall(b"POST /v1/searches HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        try:
            while sent < 100 * MEGABYTE:
                raw.sendall(chunk)
                sent += len(chunk)
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert sent < 20 * MEGABYTE, "it was all taken"
    assert memory(shared) - before < 50 * MEGABYTE
    assert shared.get("/v1/health")["status"] == "ok"


@pytest.mark.parametrize("body", ["[" * DEPTH, "[" * DEPTH + "]" * DEPTH, '{"spec":' * DEPTH + "1" + "}" * DEPTH])
def test_deep_nesting_is_a_bad_request(shared: Daemon, body: str) -> None:
    """Scenario 36."""
    answer = shared.http.post("/v1/searches", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}, answer.text
    assert "error" in json.loads(answer.text)
    assert shared.get("/v1/searches") == []


def test_a_million_candidates_are_refused_with_the_key(tmp_path: Path, shared: Daemon) -> None:
    """Scenario 36: a search's result is one record of the journal, which has room for a tenth of that."""
    spec = tomllib.loads(serving.spec(tmp_path, "million", candidates=1_000_000).read_text())
    answer = shared.http.post("/v1/searches", json={"spec": spec})
    assert answer.status_code == 422
    (problem,) = answer.json()["error"]["problems"]
    assert problem["key"] == "strategy.candidates"
    assert problem["value"] == 1_000_000
    assert "100000" in problem["expected"]
    assert shared.get("/v1/searches") == []


@pytest.mark.faults
def test_a_hundred_thousand_candidates_neither_stop_the_daemon_nor_fill_it(tmp_path: Path, daemon: Daemon) -> None:
    """Scenario 36: they are asked for as others end, so that the event loop and the memory never see them all."""
    before = memory(daemon)
    search = daemon.submit(serving.spec(tmp_path, "many", candidates=100_000, epochs=1, epoch_seconds=0.0))
    worst = 0.0
    limit = time.monotonic() + 5.0
    while time.monotonic() < limit:
        began = time.monotonic()
        assert daemon.get("/v1/health")["status"] == "ok"
        worst = max(worst, time.monotonic() - began)
    daemon.until_events(lambda seen: sum(isinstance(event, JobSucceeded) for event in seen) >= 20)
    assert memory(daemon) - before < 50 * MEGABYTE
    assert worst < 10 * MOST_LAG_SECONDS, "an answer took so long that the loop must have stood still"
    lines = daemon.http.get("/metrics").text.splitlines()
    lag = {
        line.split('le="')[1].split('"')[0]: float(line.split()[-1])
        for line in lines
        if "loop_lag_seconds_bucket" in line
    }
    assert lag["+Inf"] > 10
    assert lag["0.25"] / lag["+Inf"] > 0.95
    daemon.order(search, "stop")
    daemon.until_ended(search, status="stopped")
    assert daemon.stop() == 0


@pytest.mark.faults
def test_the_number_of_series_does_not_grow_with_candidates(tmp_path: Path, daemon: Daemon) -> None:
    """Scenario 44."""
    first = daemon.submit(serving.spec(tmp_path, "first", candidates=3, epoch_seconds=0.0))
    daemon.until_ended(first)
    # What is known only after a while is there by then; asking for the metrics is counted too.
    daemon.until(lambda: any("device_utilisation" in name for name in series(daemon)))
    before = series(daemon)
    more = daemon.submit(serving.spec(tmp_path, "first", candidates=60, epoch_seconds=0.0))
    assert more == first, "the same search with a higher total"
    daemon.until_ended(first)
    assert series(daemon) == before


def series(daemon: Daemon) -> set[str]:
    lines = daemon.http.get("/metrics").text.splitlines()
    return {line.rpartition(" ")[0] for line in lines if line and not line.startswith("#")}
