"""The stream of events: each once and in order, whoever leaves, comes back, or is slow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.api import feed as feeding
from orchestrator.api.encoding import dumps
from orchestrator.api.feed import Feed
from orchestrator.views import History
from store.opening import Store
from store.records.events import SearchPaused, StateSaved, WorkerStarted
from store.records.messages import Progress
from tests.api.client import local, messages, until
from tests.api.fake import Served, configured, serving

SEARCH = "5" * 64
STREAM = {"accept": "text/event-stream"}
LIMIT = 20


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(configured(tmp_path)) as found:
        yield found


def worker(number: int) -> WorkerStarted:
    return WorkerStarted(worker=f"worker-{number}", pid=number + 1, device="cpu")


async def follow(http: httpx.AsyncClient, last: int, path: str, **headers: str) -> list[dict[str, Any]]:
    """Reads a stream until an event with this number has come."""
    found = b""
    async with asyncio.timeout(LIMIT), http.stream("GET", path, headers=STREAM | headers) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"] == "text/event-stream"
        async for piece in answer.aiter_bytes():
            found += piece
            told = messages(found.rpartition(b"\n\n")[0])
            if told and told[-1]["sequence"] >= last:
                return told
    raise AssertionError(f"the stream ended first: {found!r}")


async def test_a_watcher_has_the_past_and_then_the_present(served: Served) -> None:
    past = served.daemon.store.journal.count
    async with local(served) as http:
        watching = asyncio.create_task(follow(http, past + 3, "/v1/events"))
        await until(lambda: served.daemon.feed.watchers)
        for number in range(3):
            served.daemon.happens(worker(number))
        told = await watching
    assert [event["sequence"] for event in told] == list(range(1, past + 4))
    assert [event["type"] for event in told[:2]] == ["search_opened", "search_started"]
    assert told[-1]["worker"] == "worker-2"
    assert told[-1]["time"] > 0


@pytest.mark.parametrize("way", ["query", "header"])
async def test_a_watcher_goes_on_after_the_last_event_that_it_has(served: Served, way: str) -> None:
    past = served.daemon.store.journal.count
    async with local(served) as http:
        if way == "query":
            told = await follow(http, past, f"/v1/events?after={past - 2}")
        else:
            told = await follow(http, past, "/v1/events?after=1", **{"last-event-id": str(past - 2)})
    assert [event["sequence"] for event in told] == [past - 1, past]


async def test_a_position_of_another_journal_is_refused(served: Served) -> None:
    async with local(served) as http:
        answer = await http.get("/v1/events?after=100000", headers=STREAM)
        assert (answer.status_code, answer.json()["error"]["kind"]) == (409, "ahead")
        for bad in ("after=-1", "after=x", "after=1e3", "limit=0", "limit=1001", "after=%D9%A1"):
            assert (await http.get(f"/v1/events?{bad}")).status_code == 422, bad
        assert (await http.get("/v1/events", headers=STREAM | {"last-event-id": "x"})).status_code == 422


async def test_watchers_that_leave_and_come_back_miss_nothing_and_get_nothing_twice(served: Served) -> None:
    """Events come all the time; each watcher is cut off again and again, in the middle of what it reads."""
    first, last = served.daemon.store.journal.count, served.daemon.store.journal.count + 400

    async def happening() -> None:
        for number in range(0, 400, 5):
            served.daemon.happens(*(worker(number + more) for more in range(5)))
            await asyncio.sleep(0.002)

    async def watching(patience: int) -> list[int]:
        seen: list[int] = []
        async with local(served) as http:
            while not seen or seen[-1] < last:
                after = {"last-event-id": str(seen[-1])} if seen else {}
                seen += await some(http, after, patience)
        return seen

    async def some(http: httpx.AsyncClient, headers: dict[str, str], patience: int) -> list[int]:
        found = b""
        async with http.stream("GET", f"/v1/events?after={first}", headers=STREAM | headers) as answer:
            async for piece in answer.aiter_bytes():
                found += piece
                told = [event["sequence"] for event in messages(found[:patience].rpartition(b"\n\n")[0])]
                if len(found) >= patience or (told and told[-1] >= last):
                    return told
        return []

    async with asyncio.timeout(60):
        *seen, _ = await asyncio.gather(watching(700), watching(3000), watching(1 << 20), happening())
    for one in seen:
        assert one == list(range(first + 1, last + 1))


async def test_a_slow_watcher_is_not_buffered_for_and_reads_on_from_the_journal(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "TAIL_EVENTS", 50)
    monkeypatch.setattr(feeding, "CHUNK_BYTES", 2000)
    first = served.daemon.store.journal.count
    reader, writer = await asyncio.open_unix_connection(served.endpoint.socket, limit=1)
    writer.write(f"GET /v1/events?after={first} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n".encode())
    await until(lambda: served.daemon.feed.watchers)
    for number in range(0, 2000, 100):
        served.daemon.happens(*(worker(number + more) for more in range(100)))
        await asyncio.sleep(0)
        assert len(served.daemon.feed._tail) <= 50
    found = b""
    async with asyncio.timeout(LIMIT * 2):
        while f"id: {first + 2000}\n".encode() not in found:
            found += await reader.read(65536)
    ids = [int(line[4:]) for line in found.split(b"\n") if line.startswith(b"id: ")]
    assert ids == list(range(first + 1, first + 2001))
    writer.close()


async def test_a_filter_tells_of_one_search_and_its_jobs(served: Served) -> None:
    async with local(served) as http:
        page = (await http.get(f"/v1/events?search={SEARCH[:8]}")).json()
        everything = (await http.get("/v1/events")).json()
        job = next(event for event in page["events"] if event["type"] == "job_started")
        assert job["job"] in served.daemon.history.jobs
        assert page["events"] == everything["events"]
        last = served.daemon.happens(worker(1), SearchPaused(search=SEARCH))
        page = (await http.get(f"/v1/events?search={SEARCH}&after={last - 2}")).json()
        assert [event["type"] for event in page["events"]] == ["search_paused"]
        assert page["next"] == page["last"] == last
        assert (await http.get("/v1/events?search=nothing")).status_code == 404


async def test_pages_follow_one_another(served: Served) -> None:
    served.daemon.happens(*(worker(number) for number in range(1200)))
    seen, after = list[int](), 0
    async with local(served) as http:
        while True:
            page = (await http.get(f"/v1/events?after={after}&limit=333")).json()
            if not page["events"]:
                break
            seen += [event["sequence"] for event in page["events"]]
            after = page["next"]
    assert seen == list(range(1, served.daemon.store.journal.count + 1))


async def test_heartbeats_have_no_number_and_come_once_a_second(served: Served) -> None:
    job = next(iter(served.daemon.history.jobs))
    async with local(served) as http, asyncio.timeout(LIMIT):
        async with http.stream("GET", f"/v1/events?after={served.daemon.feed.sequence}", headers=STREAM) as answer:
            pieces = answer.aiter_bytes()
            await anext(pieces)
            for step in range(100):
                beat = Progress(job=job, attempt=1, epoch=2, step=step, images_per_second=float("nan"))
                served.daemon.feed.progress("worker-1", job, beat)
            served.daemon.feed.strategy(SEARCH, 3, 9, "cycle 1 of 3")
            found = b""
            while found.count(b"\n\n") < 2:
                found += await anext(pieces)
    blocks = [block.split(b"\n") for block in found.split(b"\n\n") if block]
    assert [lines[0] for lines in blocks] == [b"event: progress", b"event: strategy"]
    beat, strategy = (json.loads(lines[1].removeprefix(b"data: ")) for lines in blocks)
    assert (beat["worker"], beat["step"], beat["images_per_second"]) == ("worker-1", 0, None)
    assert strategy == {"search": SEARCH, "done": 3, "total": 9, "label": "cycle 1 of 3"}


async def test_too_many_watchers_are_refused(tmp_path: Path) -> None:
    async with serving(configured(tmp_path, watchers=1)) as served, local(served) as http:
        async with http.stream("GET", "/v1/events", headers=STREAM) as first:
            assert first.status_code == 200
            assert (await http.get("/v1/events", headers=STREAM)).status_code == 429
            assert served.meter.reasons == ["watchers"]
        await until(lambda: not served.daemon.feed.watchers)
        async with http.stream("GET", "/v1/events", headers=STREAM) as again:
            assert again.status_code == 200


async def test_streams_end_when_the_daemon_does(tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def watch(served: Served) -> None:
        async with local(served) as http, http.stream("GET", "/v1/events", headers=STREAM) as answer:
            async for _ in answer.aiter_bytes():
                pass
        ended.set()

    async with asyncio.timeout(LIMIT):
        async with serving(configured(tmp_path)) as served:
            task = asyncio.create_task(watch(served))
            await until(lambda: served.daemon.feed.watchers)
        await task
    assert ended.is_set()


async def test_large_and_secret_parts_of_events_are_left_out(served: Served) -> None:
    state = StateSaved(search=SEARCH, requests=1, calls=1, state=b"x" * 1000, rng="{}")
    last = served.daemon.happens(state)
    async with local(served) as http:
        (event,) = (await http.get(f"/v1/events?after={last - 1}")).json()["events"]
        finished = [one for one in (await http.get("/v1/events")).json()["events"] if one["type"] == "search_finished"]
    assert event["state"] == {"bytes": 1000}
    assert finished
    assert "result" not in finished[0]


async def test_events_that_another_wrote_between_are_read_from_the_journal(tmp_path: Path) -> None:
    """The feed hears of event 3 right after event 1: its watcher gets 2 from the journal."""
    with Store.open(tmp_path / "store", write=True, create=True) as store:
        history = History()
        feed = Feed(store.journal, history)
        with feed.watch(0) as watcher:
            store.journal.append([worker(1), worker(2), worker(3)])
            feed.event(1, 1.0, worker(1))
            feed.event(3, 1.0, worker(3))
            found = b""
            async with asyncio.timeout(LIMIT):
                while b"id: 3\n" not in found:
                    found += await watcher.next() or b""
    assert [event["sequence"] for event in messages(found)] == [1, 2, 3]


async def test_an_event_is_encoded_once_for_all_watchers(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    real = feeding.event

    def counted(sequence: int, *rest: Any) -> Any:
        encoded.append(sequence)
        return real(sequence, *rest)

    monkeypatch.setattr(feeding, "event", counted)
    first = served.daemon.store.journal.count
    async with local(served) as http:
        tasks = [asyncio.create_task(follow(http, first + 100, f"/v1/events?after={first}")) for _ in range(8)]
        await until(lambda: served.daemon.feed.watchers == 8)
        served.daemon.happens(*(worker(number) for number in range(100)))
        await asyncio.gather(*tasks)
    assert sorted(encoded) == list(range(first + 1, first + 101))


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_whatever_is_sent_is_json(value: Any) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(dumps(value), parse_constant=refuse)
