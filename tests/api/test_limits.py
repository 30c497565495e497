"""What is too much: long, deep, slow and malformed requests, and how little they cost."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from orchestrator.api import bodies, protocol
from tests.api.client import local, problem_keys, remote, speak
from tests.api.fake import Served, as_json, configured, serving, spec

SEARCHES = "/v1/searches"
LIMIT = 1 << 20


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(configured(tmp_path)) as found:
        yield found


def head(more: str, path: str = SEARCHES) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{more}\r\n\r\n".encode()


async def test_a_length_that_is_too_long_is_refused_before_a_byte_of_the_body(served: Served) -> None:
    answer = await speak(served, head(f"Content-Length: {LIMIT + 1}"))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert served.meter.reasons == ["body"]


@pytest.mark.parametrize("length", ["-1", "1e3", "99999999999999999999999999", "0x10"])
async def test_a_length_that_is_no_number_is_refused(served: Served, length: str) -> None:
    answer = await speak(served, head(f"Content-Length: {length}"))
    assert answer.split()[1] in {b"400", b"413"}


async def test_a_chunked_body_is_cut_off_at_the_limit(served: Served) -> None:
    piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
    answer = await speak(served, head("Transfer-Encoding: chunked") + piece * 17)
    assert answer.startswith(b"HTTP/1.1 413 ")


async def lag_while(work: Callable[[], Awaitable[None]]) -> float:
    """The most work between two turns of the loop while something was done, in seconds of this thread's processor time.

    Of the clock on the wall it would also be the machine's other work.
    """
    longest, done = 0.0, asyncio.Event()

    async def watch() -> None:
        nonlocal longest
        while not done.is_set():
            began = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - began)

    watching = asyncio.create_task(watch())
    await work()
    done.set()
    await watching
    return longest


async def test_a_body_of_100_mb_costs_neither_memory_nor_the_loop(served: Served) -> None:
    process, before = psutil.Process(), psutil.Process().memory_info().rss
    piece = b"100000\r\n" + b"[" * (1 << 20) + b"\r\n"
    peak = 0

    async def send(header: str) -> None:
        nonlocal peak
        reader, writer = await asyncio.open_unix_connection(served.endpoint.socket)
        writer.write(head(header))
        try:
            for _ in range(100):
                writer.write(piece)
                await writer.drain()
                peak = max(peak, process.memory_info().rss)
        except ConnectionError:
            pass  # that is how it ends: the daemon reads no more of it
        answer = b""
        try:
            answer = await asyncio.wait_for(reader.read(65536), 30)
        except ConnectionError:
            pass
        assert answer[:13] in {b"HTTP/1.1 413 ", b""}
        writer.close()

    lag = await lag_while(lambda: send("Transfer-Encoding: chunked"))
    lag = max(lag, await lag_while(lambda: send(f"Content-Length: {100 << 20}")))
    assert peak - before < 50 << 20
    assert lag < 0.1
    async with local(served) as http:
        assert (await http.get("/v1/health")).status_code == 200


@pytest.mark.parametrize("opening", [b"[", b'{"spec":', b'[{"a":'])
async def test_deep_nesting_is_refused_and_does_not_hold_the_loop(served: Served, opening: bytes) -> None:
    async with local(served) as http:

        async def send() -> None:
            headers = {"content-type": "application/json"}
            answer = await http.post(SEARCHES, content=opening * 10_000, headers=headers)
            assert (answer.status_code, answer.json()["error"]["kind"]) == (400, "malformed")
            closed = opening * 40 + b"1" + b"]}"[: 1 + (b"{" in opening)] * 40
            answer = await http.post(SEARCHES, content=closed, headers=headers)
            assert answer.status_code == 400

        assert await lag_while(send) < 0.1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nothing",
        b"[1, 2]",
        b"\xff\xfe",
        b'{"spec": NaN}',
        b'{"spec": {"seed": Infinity}}',
        b'{"spec": {"seed": 1e999}}',
        b'{"spec": {"seed": ' + b"9" * 5000 + b"}}",
        b'{"spec": {"name": "\\ud800"}}',
        b'{"spec": {"name": "a\\u0000b"}}',
        b'{"spec": {}, "more": 1}',
        b'{"spec": {}, "weight": "1"}',
        b'{"spec": {}, "weight": 0}',
        b'{"spec": {}, "priority": 1.5}',
        b'{"spec": {}, "folder": "not/absolute"}',
    ],
)
async def test_a_malformed_body_is_answered_and_changes_nothing(served: Served, body: bytes) -> None:
    before = served.daemon.store.journal.count
    async with local(served) as http:
        answer = await http.post(SEARCHES, content=body, headers={"content-type": "application/json"})
    assert answer.status_code in {400, 422}, answer.text
    assert answer.json()["error"]["message"]
    assert served.daemon.store.journal.count == before


async def test_another_type_than_json_is_refused(served: Served) -> None:
    async with local(served) as http:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            answer = await http.post(SEARCHES, content=as_json({"spec": spec()}), headers={"content-type": kind})
            assert answer.status_code == 415
    assert served.daemon.orders == []


async def test_headers_have_a_limit(served: Served) -> None:
    answer = await speak(served, b"GET /v1/health HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 70_000 + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert served.meter.reasons == ["headers"]


async def test_headers_that_never_end_are_cut_off(served: Served) -> None:
    reader, writer = await asyncio.open_unix_connection(served.endpoint.socket)
    writer.write(b"GET /v1/health HTTP/1.1\r\nHost: x\r\n")
    answer = asyncio.create_task(reader.read(65536))
    for _ in range(20):
        writer.write(b"X: " + b"y" * 1000 + b"\r\n")
        await asyncio.sleep(0)  # lets the daemon, which shares this loop, read it in pieces
    assert (await asyncio.wait_for(answer, 30)).startswith(b"HTTP/1.1 400 ")
    assert served.meter.reasons == ["malformed"]
    writer.close()


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET\r\n\r\n", b"\0" * 100 + b"\r\n\r\n"])
async def test_what_is_no_http_is_answered_with_400(served: Served, sent: bytes) -> None:
    assert (await speak(served, sent, end=True))[:13] in {b"HTTP/1.1 400 ", b""}
    async with local(served) as http:
        assert (await http.get("/v1/health")).status_code == 200


async def test_one_who_says_nothing_is_cut_off(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
    assert await speak(served, b"GET /v1/health HTT") == b""
    reader, writer = await asyncio.open_unix_connection(served.endpoint.socket)
    writer.write(b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(65536), 30)).startswith(b"HTTP/1.1 200 ")
    writer.write(b"GET /v1/hea")
    assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()


async def test_a_body_that_does_not_come_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.2)
    answer = await speak(served, head("Content-Length: 100") + b"{")
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_strangers_cannot_take_all_connections(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "CONNECTIONS", 4)
    assert served.endpoint.tcp is not None
    port = int(served.endpoint.tcp.rpartition(":")[2])
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        assert await asyncio.wait_for(reader.read(), 30) == b""
    except ConnectionResetError:
        pass  # the same, said less politely
    writer.close()
    async with local(served) as http:
        assert (await http.get("/v1/health")).status_code == 200
    for _, one in held:
        one.close()


async def test_every_answer_has_headers_that_keep_pages_in_their_place(served: Served) -> None:
    async with remote(served) as http:
        for path in ("/v1/health", "/v1/nothing", "/", "/metrics"):
            answer = await http.get(path)
            policy = answer.headers["content-security-policy"]
            assert ("default-src 'self'" if path == "/" else "default-src 'none'") in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"
            assert "access-control-allow-origin" not in answer.headers
            assert "server" not in answer.headers
        assert (await http.get("/v1/health")).headers["cache-control"] == "no-store"


async def test_a_spec_over_tcp_reaches_open_folders_only(tmp_path: Path) -> None:
    open_folder, secret = tmp_path / "data", tmp_path / "secret"
    for folder in (open_folder, secret):
        folder.mkdir()
    (open_folder / "away").symlink_to(secret)
    (open_folder / "loop").symlink_to(open_folder / "loop")
    store = tmp_path / "store"
    hostile = ["relative", "~/x", "$HOME/x", str(secret), "/etc/passwd", str(store), f"{open_folder}/../secret"]
    hostile += [f"{open_folder}/away", f"{open_folder}/away/x", f"{open_folder}/loop", f"{open_folder}$HOME", "x" * 300]
    hostile += ["/" + "y" * 5000, "//etc", "\\\\host", "file:///etc/passwd", "/proc/self/root/etc"]
    async with serving(configured(tmp_path, data_folders=(open_folder, tmp_path / "store"))) as served:
        async with remote(served) as http:
            for path in hostile:
                data = {"name": "npz", "path": path}
                answer = await http.post(SEARCHES, json={"spec": spec(data=data), "folder": str(secret)})
                assert (answer.status_code, problem_keys(answer)) == (422, {"data.path"}), (path, answer.text)
            for options in ({"table": "/etc/passwd"}, {"options": {"table": "/etc/passwd"}}):
                answer = await http.post(SEARCHES, json={"spec": spec(trainer={"name": "tabular"} | options)})
                (key,) = problem_keys(answer)
                assert key.startswith("trainer.")
                assert key.endswith("table")
            reference = {"trainer": {"name": "tabular", "table": "/etc/passwd"}}
            answer = await http.post(SEARCHES, json={"spec": spec(reference=reference)})
            assert problem_keys(answer) == {"reference.trainer.table"}
        assert served.daemon.orders == []


async def test_a_log_is_of_a_job_that_is_known(served: Served) -> None:
    (served.daemon.store.folder / "logs" / "secret.log").parent.mkdir(parents=True, exist_ok=True)
    (served.daemon.store.folder / "logs" / "secret.log").write_text("secret")
    async with local(served) as http:
        for name in ("..%2Fsecret", "..", "....", "%2e%2e%2fsecret", "%00%00%00%00", "a" * 300, "*" * 8):
            answer = await http.get(f"/v1/jobs/{name}/log")
            assert answer.status_code == 404, name
            assert "secret" not in json.dumps(answer.json()["error"].get("problems", []))
