"""HTTP itself: where a request ends, what waits on a connection, and what other methods and paths are answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.api import protocol, server
from store.records.events import WorkerStarted
from tests.api.client import local, remote, speak, until
from tests.api.fake import Served, configured, serving

SEARCH = "5" * 64
PAUSE = f"POST /v1/searches/{SEARCH}/pause HTTP/1.1\r\nHost: x\r\n".encode()
VERSION = b"GET /v1/version HTTP/1.1\r\nHost: x\r\n"
WATCH = b"GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"
HIDDEN = VERSION + b"X-Hidden: yes\r\n\r\n"
CHUNKED = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(configured(tmp_path)) as found:
        yield found


AMBIGUOUS = {
    "both lengths": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both lengths, the other way": b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
    "the same length twice": b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "a list of lengths": b"Content-Length: 0, 5\r\n\r\n",
    "a signed length": b"Content-Length: +0\r\n\r\n",
    "chunked that is not last": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "an encoding like chunked": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "no encoding": b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a control character before chunked": b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded line": b"X: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a bare carriage return": b"X: a\rContent-Length: 0\r\n\r\n",
    "a negative chunk": CHUNKED + b"-1\r\n{}\r\n0\r\n\r\n",
    "a chunk of more than 64 bits": CHUNKED + b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    "a chunk without an end": CHUNKED + b"2\r\n{}0\r\n\r\n",
}


@pytest.mark.parametrize("rest", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
async def test_a_request_whose_end_is_ambiguous_is_refused_and_nothing_behind_it_is_read(
    served: Served, rest: bytes
) -> None:
    answer = await speak(served, PAUSE + rest + HIDDEN)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert served.daemon.orders == []
    assert served.meter.reasons == ["malformed"]


async def test_what_follows_a_whole_request_and_is_no_http_does_not_answer_for_it(served: Served) -> None:
    answer = await speak(served, PAUSE + b"Content-Length: 0\r\n\r\n" + b"\x16\x03\x01 nonsense\r\n\r\n")
    assert b"400" not in answer


async def test_headers_behind_a_body_are_not_the_requests(served: Served) -> None:
    async with remote(served, "") as http:
        trailer = f"0\r\nAuthorization: Bearer {served.token}\r\n\r\n"
        host = http.base_url.netloc.decode()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(host.rpartition(":")[2]))
    request = PAUSE.replace(b"Host: x", f"Host: {host}".encode())
    writer.write(request + CHUNKED + b"2\r\n{}\r\n" + trailer.encode())
    assert (await asyncio.wait_for(reader.read(), 30)).startswith(b"HTTP/1.1 401 ")
    writer.close()
    assert served.daemon.orders == []


@pytest.mark.parametrize("endless", [b"0\r\nX: ", b"2;x="], ids=["trailer", "chunk extension"])
async def test_what_stands_around_a_body_has_an_end(served: Served, endless: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(served.endpoint.socket)
    writer.write(PAUSE + CHUNKED + endless)
    answer = asyncio.create_task(reader.read())
    async with asyncio.timeout(30):
        while not answer.done():  # in pieces: what is read at once may be longer
            writer.write(b"y" * 1000)
            await asyncio.sleep(0)
    writer.close()
    if answer.exception() is None:  # it may be lost where more is on its way to who has closed
        assert answer.result().startswith(b"HTTP/1.1 400 ")
    assert served.meter.reasons == ["malformed"]
    assert served.daemon.orders == []


async def test_requests_in_a_row_are_answered_in_order_and_too_many_are_not(served: Served) -> None:
    row = (VERSION + b"\r\n") * 8 + VERSION + b"Connection: close\r\n\r\n"
    assert (await speak(served, row)).count(b"HTTP/1.1 200 ") == 9
    assert await speak(served, (VERSION + b"\r\n") * 10_000) == b""
    async with local(served) as http:
        assert (await http.get("/v1/health")).status_code == 200


async def test_a_request_behind_one_that_ends_the_connection_is_not_carried_out(served: Served) -> None:
    answer = await speak(served, VERSION + b"Connection: close\r\n\r\n" + PAUSE + b"Content-Length: 0\r\n\r\n")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert served.daemon.orders == []


async def test_a_watcher_that_asks_for_more_and_leaves_is_gone(served: Served) -> None:
    _, writer = await asyncio.open_unix_connection(served.endpoint.socket)
    writer.write(WATCH + VERSION + b"\r\n")
    await until(lambda: served.daemon.feed.watchers)
    writer.close()
    await until(lambda: not served.daemon.feed.watchers)


async def test_the_rest_of_a_body_that_nobody_reads_has_a_time(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    missing = b"POST /v1/nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
    answer = await speak(served, missing)
    assert answer.startswith(b"HTTP/1.1 404 ")


async def test_who_sends_empty_lines_and_no_request_is_cut_off(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    reader, writer = await asyncio.open_unix_connection(served.endpoint.socket)
    closed = asyncio.create_task(reader.read())
    async with asyncio.timeout(30):
        while not closed.done():
            writer.write(b"\r\n")
            await asyncio.wait({closed}, timeout=0.02)
    assert closed.exception() is not None or closed.result() == b""
    writer.close()


async def test_whoever_is_slow_does_not_hold_up_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "END_SECONDS", 1)
    slow = {
        "half a header": b"GET /v1/hea",
        "half a body": PAUSE + b"Content-Length: 100\r\n\r\n{",
        "answers that are not taken": (b"GET /static/app.js HTTP/1.1\r\nHost: x\r\n\r\n") * 16,
        "a stream that is not read": WATCH,
    }
    held = []
    async with serving(configured(tmp_path)) as served:
        for sent in slow.values():
            reader, writer = await asyncio.open_unix_connection(served.endpoint.socket, limit=1)
            writer.write(sent)
            held.append((reader, writer))
        await until(lambda: served.daemon.feed.watchers)
        served.daemon.happens(*(WorkerStarted(worker=f"w{n}" * 200, pid=n + 1, device="cpu") for n in range(3000)))
        began = time.monotonic()
    assert time.monotonic() - began < 30  # bodies have 30 s, streams 60: not waited for
    for _, writer in held:
        writer.transport.abort()


async def test_head_has_the_headers_of_get_and_no_body(served: Served) -> None:
    async with local(served) as http:
        for path in ("/v1/version", f"/v1/searches/{SEARCH}", "/v1/events", "/metrics", "/", "/static/app.js"):
            got = await http.get(path)
            head = await http.head(path, headers={"accept": "text/event-stream"})
            assert (head.status_code, head.content) == (200, b""), path
            assert head.headers["content-type"] == got.headers["content-type"], path
    assert served.daemon.feed.watchers == 0


async def test_other_methods_are_told_which_there_are(served: Served) -> None:
    async with remote(served) as http:
        for path, allowed in {
            "/v1/searches": "GET, HEAD, POST",
            "/v1/version": "GET, HEAD",
            f"/v1/searches/{SEARCH}/pause": "POST",
            f"/v1/searches/{SEARCH}/priority": "PUT",
            "/": "GET, HEAD",
        }.items():
            for method in ("OPTIONS", "DELETE", "PATCH", "TRACE"):
                answer = await http.request(method, path)
                assert (answer.status_code, answer.headers["allow"]) == (405, allowed), (method, path)
                assert answer.json()["error"]["kind"] == "http"
    assert served.daemon.orders == []


@pytest.mark.parametrize(
    "path",
    "/static/../api.js /static/%2e%2e/page.py /static/..%2fpage.py /static/ /static //static/app.js /static/app.js/"
    " /static/app.js%00.css /static/__init__.py /v1/ /v1/searches/ /index.html".split(),
)
async def test_no_other_path_is_looked_up(served: Served, path: str) -> None:
    answer = await speak(served, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404 ")


async def test_a_preflight_of_another_page_is_refused(served: Served) -> None:
    async with remote(served, "", origin="http://evil.example") as http:
        asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        answer = await http.options("/v1/searches", headers=asked)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_readers_without_the_token_leave_room_for_other_watchers(tmp_path: Path) -> None:
    stream = {"accept": "text/event-stream"}
    async with (
        serving(configured(tmp_path, watchers=2, port={"public_reading": True})) as served,
        remote(served, "") as public,
        local(served) as owner,
        public.stream("GET", "/v1/events", headers=stream) as first,
    ):
        assert first.status_code == 200
        assert (await public.get("/v1/events", headers=stream)).status_code == 429
        async with owner.stream("GET", "/v1/events", headers=stream) as second:
            assert second.status_code == 200
