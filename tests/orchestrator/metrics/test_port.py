from __future__ import annotations

import errno
import gzip
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import httpx
import pytest
from anyio.abc import SocketAttribute
from prometheus_client import Metric
from prometheus_client.registry import Collector

from orchestrator.errors import EndpointUnusable
from orchestrator.metrics import Metrics, registry, serve
from orchestrator.serving.config import MetricsConfig
from store.checkpoints import CheckpointStore
from tests.orchestrator.metrics.desk import Desk, parsed, store_in
from tests.orchestrator.telling import Teller


@asynccontextmanager
async def listening(metrics: Metrics) -> AsyncIterator[int]:
    async with anyio.create_task_group() as tasks:
        port = await tasks.start(serve, MetricsConfig(port=0), metrics)
        yield port
        tasks.cancel_scope.cancel()


async def test_there_is_no_port_unless_one_is_configured() -> None:
    async with anyio.create_task_group() as tasks:
        assert await tasks.start(serve, MetricsConfig(), Desk().metrics) is None


async def test_a_port_that_is_taken_is_an_error_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EndpointUnusable, match=f"metrics: 127.0.0.1:{port} cannot be listened on: Address already"):
            await serve(MetricsConfig(port=port), Desk().metrics)


async def test_the_port_shows_the_metrics_and_nothing_else() -> None:
    async with listening(Desk().metrics) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        shown = await client.get("/metrics")
        assert shown.status_code == 200
        assert "coldframe_build_info" in parsed(shown.text)
        head = await client.head("/metrics")
        assert (head.status_code, head.content) == (200, b"")
        for path in ("/", "/v1/searches", "/metrics/", "/metrics/x", "/METRICS"):
            assert (await client.get(path)).status_code == 404
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            refused = await client.request(method, "/metrics")
            assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


async def test_the_scraper_chooses_the_format() -> None:
    async with listening(Desk().metrics) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        plain = await client.get("/metrics", headers={"Accept": "*/*", "Accept-Encoding": "identity"})
        assert plain.headers["content-type"].startswith("text/plain")
        assert not plain.text.endswith("# EOF\n")
        opened = await client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
        assert opened.headers["content-type"].startswith("application/openmetrics-text")
        assert opened.text.endswith("# EOF\n")
        async with client.stream("GET", "/metrics", headers={"Accept-Encoding": "gzip"}) as packed:
            body = b"".join([part async for part in packed.aiter_raw()])
        assert packed.headers["content-encoding"] == "gzip"
        assert b"coldframe_build_info" in gzip.decompress(body)


async def test_scrapers_that_stop_reading_block_nobody() -> None:
    """Scenario 41: a stopped scraper holds neither the loop nor the next scraper."""
    metrics = Desk().metrics
    async with listening(metrics) as port:
        stopped = []
        for _ in range(5):
            stream = await anyio.connect_tcp("127.0.0.1", port)
            stream.extra(SocketAttribute.raw_socket).setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            for _ in range(50):
                await stream.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: identity\r\n\r\n")
            stopped.append(stream)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60.0) as client:
            for _ in range(5):
                with anyio.fail_after(60):
                    assert (await client.get("/metrics")).status_code == 200
        for stream in stopped:
            await stream.aclose()


async def test_a_scrape_is_cheap_and_is_put_into_text_off_the_loop() -> None:
    desk, teller = Desk(), Teller()
    teller.open()
    teller.train(1, 2)
    desk.happen(*[event for _, event in teller.events])
    threads = set()

    class Spy(Collector):
        def describe(self) -> Iterable[Metric]:
            return []

        def collect(self) -> Iterable[Metric]:
            threads.add(threading.current_thread())
            return []

    desk.metrics.registry.register(Spy())
    async with listening(desk.metrics) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        await client.get("/metrics")
        taken = []
        for _ in range(20):
            before = time.process_time()
            await client.get("/metrics", headers={"Accept-Encoding": "identity"})
            taken.append(time.process_time() - before)
    assert sorted(taken)[len(taken) // 2] < 0.02, "processor time of a scrape, the client's part included"
    assert threading.main_thread() not in threads


async def test_lag_and_sizes_are_measured_while_it_runs(tmp_path: Path) -> None:
    with store_in(tmp_path) as store:
        metrics = Desk(store).metrics
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(metrics.run)
            await _until(lambda: metrics._sizes.measured is not None)
            time.sleep(0.3)  # noqa: ASYNC251 - the loop is blocked on purpose
            await _until(lambda: _lag(metrics) > 0.1)
            tasks.cancel_scope.cancel()
    assert metrics._sizes.by_kind["journal"] > 0


async def test_a_store_that_cannot_be_measured_now_is_measured_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards a daemon that ended because it had no file left to open (scenario 34)."""
    refusals, real = [OSError(errno.EMFILE, os.strerror(errno.EMFILE))] * 2, CheckpointStore.digests

    def digests(checkpoints: CheckpointStore) -> list[str]:
        if refusals:
            raise refusals.pop()
        return real(checkpoints)

    monkeypatch.setattr(CheckpointStore, "digests", digests)
    monkeypatch.setattr(registry, "MEASURE_SECONDS", 0.01)
    with store_in(tmp_path) as store:
        metrics = Desk(store).metrics
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(metrics.run)
            await _until(lambda: metrics._sizes.measured is not None)
            tasks.cancel_scope.cancel()
    assert refusals == []


async def _until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(0.01)


def _lag(metrics: Metrics) -> float:
    shown = metrics.registry.get_sample_value("coldframe_event_loop_lag_seconds_sum")
    assert shown is not None
    return shown


async def test_the_journal_tells_how_long_it_commits(tmp_path: Path) -> None:
    with store_in(tmp_path) as store:
        desk, teller = Desk(store), Teller()
        store.journal.on_commit(desk.metrics.journal_committed)
        teller.open()
        store.journal.append([event for _, event in teller.events])
        assert store.journal.pending_seconds == 0.0
    values = desk.values()
    assert values["journal_rows_total"] == 2
    assert values["journal_commit_seconds_count"] == 1
    assert values["journal_commit_seconds_sum"] > 0
