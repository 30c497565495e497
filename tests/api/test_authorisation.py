"""Every route, asked by everyone: over real sockets, by real processes of other users."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrator.api import access, tokens
from orchestrator.api.application import application
from orchestrator.api.feed import Feed
from orchestrator.api.meter import Uncounted
from orchestrator.api.routing import Routes
from store.opening import Store
from tests.api.client import local, remote
from tests.api.fake import FakeDaemon, Served, configured, metrics, serving, store_of

NOBODY = 65534
OPEN = {"/", "/v1/access"}
"""What needs no token on TCP, beside the page's files: they hold nothing of the store."""

# Asks for paths over a Unix socket as another user, and prints the status of each answer.
AS_ANOTHER = """
import json, os, socket, sys
os.setgroups([]); os.setgid({gid}); os.setuid({uid})
found = []
for method, path in json.load(sys.stdin):
    with socket.socket(socket.AF_UNIX) as one:
        try:
            one.connect({socket!r})
        except OSError as error:
            found.append(error.errno)
            continue
        lines = [f"{{method}} {{path}} HTTP/1.1", "Host: localhost", "Connection: close", "Content-Length: 0", "", ""]
        one.sendall("\\r\\n".join(lines).encode())
        answer = b""
        while piece := one.recv(65536):
            answer += piece
        found.append(int(answer.split()[1]))
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """Every route that the application has, with something put in for its parameters."""
    folder = tmp_path_factory.mktemp("routes")
    config = configured(folder)
    with Store.open(store_of(config.store), write=False) as store:
        daemon = FakeDaemon(config, store)
        feed = Feed(store.journal, daemon.history)
        guard = application(daemon, feed, metrics(), Uncounted(), "t" * 43)
        job = next(iter(daemon.history.jobs))
    values = {"search": "5" * 64, "job": job, "what": job, "device": "cpu", "rank": 999}
    assert isinstance(guard._app, Routes)
    return [
        (method, route.path.replace(":int", "").format(**values))
        for route in guard._app.routes
        for method in sorted((route.methods or set()) - {"HEAD"})
    ]


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(configured(tmp_path)) as found:
        yield found


async def ask(http: httpx.AsyncClient, method: str, path: str, **more: Any) -> int:
    """The status of an answer; orders get a body, so that only the guard can be what refuses them."""
    body = {"json": {}} if method != "GET" else {}
    return (await http.request(method, path, **body, **more)).status_code


def is_open(path: str) -> bool:
    return path in OPEN or path.startswith("/static/")


def test_the_table_has_every_route_of_the_contract(routes: list[tuple[str, str]]) -> None:
    assert len(routes) > 30
    assert {"GET", "POST", "PUT"} == {method for method, _ in routes}


async def test_the_owner_is_let_in_everywhere(served: Served, routes: list[tuple[str, str]]) -> None:
    async with local(served) as http:
        for method, path in routes:
            assert await ask(http, method, path) not in {401, 403, 405, 500}, path


async def test_the_right_token_is_let_in_everywhere(served: Served, routes: list[tuple[str, str]]) -> None:
    async with remote(served) as http:
        for method, path in routes:
            assert await ask(http, method, path) not in {401, 403, 405, 500}, path


@pytest.mark.parametrize("wrong", ["", "right-but-last"])
async def test_without_the_token_only_the_page_is_there(
    served: Served, routes: list[tuple[str, str]], wrong: str
) -> None:
    given = served.token[:-1] + ("A" if served.token[-1] != "A" else "B") if wrong == "right-but-last" else wrong
    async with remote(served, given) as http:
        for method, path in routes:
            expected = 200 if not given and method == "GET" and is_open(path) else 401
            assert await ask(http, method, path) == expected, path
    assert "token" in served.meter.reasons
    assert served.daemon.orders == []


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost@evil.example", "", "2130706433"]
)
async def test_a_rebound_name_is_refused_with_the_token_too(
    served: Served, routes: list[tuple[str, str]], host: str
) -> None:
    async with remote(served, host=host) as http:
        for method, path in routes if host == "evil.example" else routes[:3]:
            assert await ask(http, method, path) == 403, path
    assert set(served.meter.reasons) == {"host"}


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:1", "http://localhost:1"])
async def test_a_page_of_another_origin_is_refused_with_the_token_too(
    served: Served, routes: list[tuple[str, str]], origin: str
) -> None:
    async with remote(served, origin=origin) as http:
        for method, path in routes if origin == "null" else routes[:3]:
            assert await ask(http, method, path) == 403, path
    assert set(served.meter.reasons) == {"origin"}


async def test_the_page_itself_may_ask(served: Served) -> None:
    assert served.endpoint.tcp is not None
    async with remote(served, origin=served.endpoint.tcp) as http:
        assert await ask(http, "POST", f"/v1/searches/{'5' * 64}/pause") == 200


async def test_the_page_may_ask_through_a_proxy_that_speaks_tls(served: Served) -> None:
    assert served.endpoint.tcp is not None
    async with remote(served, origin=served.endpoint.tcp.replace("http:", "https:")) as http:
        assert await ask(http, "POST", f"/v1/searches/{'5' * 64}/pause") == 200


async def test_any_origin_is_refused_on_the_unix_socket(served: Served, routes: list[tuple[str, str]]) -> None:
    async with local(served) as http:
        for method, path in routes:
            assert await ask(http, method, path, headers={"origin": "http://coldframe"}) == 403, path


async def test_a_token_in_a_url_is_refused_and_never_written_down(
    served: Served, routes: list[tuple[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    async with remote(served) as http:
        for method, path in routes:
            assert await ask(http, method, f"{path}?token={served.token}") == 403, path
        assert await ask(http, "GET", f"/v1/health?Access_Token={served.token}") == 403
    assert set(served.meter.reasons) == {"token_in_url"}
    assert served.token not in caplog.text
    assert "token_in_url" in caplog.text


async def test_two_tokens_or_two_hosts_are_refused(served: Served) -> None:
    async with remote(served, "") as http:
        both = [("Authorization", "Bearer no"), ("Authorization", f"Bearer {served.token}")]
        assert (await http.get("/v1/health", headers=both)).status_code == 401
    statuses = await raw_statuses(served, "Host: 127.0.0.1\r\nHost: evil.example")
    assert statuses in ([400], [403])


async def raw_statuses(served: Served, headers: str) -> list[int]:
    assert served.endpoint.tcp is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", int(served.endpoint.tcp.rpartition(":")[2]))
    writer.write(f"GET /v1/health HTTP/1.1\r\n{headers}\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return [int(answer.split()[1])]


async def test_reading_is_public_only_where_the_configuration_says_so(
    tmp_path: Path, routes: list[tuple[str, str]]
) -> None:
    config = configured(tmp_path, port={"public_reading": True})
    async with serving(config) as served, remote(served, "") as http:
        for method, path in routes:
            status = await ask(http, method, path)
            assert (status not in {401, 403}) if method == "GET" else status == 401, path
        assert (await http.get("/v1/access")).json() == {"public_reading": True, "token": False, "local": False}
        wrong = {"authorization": "Bearer wrong"}
        assert (await http.get("/v1/health", headers=wrong)).status_code == 401
    assert served.daemon.orders == []


async def test_tokens_are_compared_in_constant_time(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def watched(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(tokens.hmac, "compare_digest", watched)
    async with remote(served, "wrong") as http:
        assert await ask(http, "GET", "/v1/health") == 401
    async with remote(served) as http:
        assert await ask(http, "GET", "/v1/health") == 200
    right = served.token.encode()
    assert compared == [(b"wrong", right), (right, right)]


# Other users, whom the kernel names.


def as_nobody(socket: str, asked: list[tuple[str, str]]) -> list[int]:
    script = AS_ANOTHER.format(uid=NOBODY, gid=NOBODY, socket=socket)
    ended = subprocess.run(
        [sys.executable, "-c", script], input=json.dumps(asked), capture_output=True, text=True, timeout=60, check=True
    )
    found: list[int] = json.loads(ended.stdout)
    return found


def only_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")


def opened(served: Served) -> str:
    """Opens the way to the socket, as an operator might by mistake: then the kernel's word must be what decides."""
    path = Path(served.endpoint.socket)
    open_folders(path)
    path.chmod(0o666)
    return str(path)


def open_folders(path: Path) -> None:
    """Lets everyone through this test's folders above a path."""
    for folder in path.parents:
        if "pytest" in str(folder):
            folder.chmod(folder.stat().st_mode | 0o011)


async def test_another_user_cannot_even_connect(served: Served) -> None:
    only_root()
    found = await asyncio.to_thread(as_nobody, served.endpoint.socket, [("GET", "/v1/health")])
    assert found == [13]  # EACCES: the folder is 0700, the socket 0600


async def test_another_user_is_refused_on_every_route_where_the_way_is_open(
    served: Served, routes: list[tuple[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    only_root()
    found = await asyncio.to_thread(as_nobody, opened(served), routes)
    assert set(found) == {403}
    assert set(served.meter.reasons) == {"uid"}
    assert served.daemon.orders == []
    assert "refused" in caplog.text
    assert f"nobody (uid {NOBODY})" in caplog.text


async def test_a_user_of_the_configuration_is_let_in(tmp_path: Path) -> None:
    only_root()
    name = pwd.getpwuid(NOBODY).pw_name
    async with serving(configured(tmp_path, users=(name,))) as served:
        way = opened(served)
        asked = [("GET", "/v1/health"), ("POST", f"/v1/searches/{'5' * 64}/pause")]
        assert await asyncio.to_thread(as_nobody, way, asked) == [200, 200]
    (order,) = served.daemon.orders
    assert (order[2].name, order[2].local) == (name, True)


async def test_a_member_of_the_group_is_let_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only_root()
    monkeypatch.setattr(access.sockets.grp, "getgrnam", lambda name: type("Group", (), {"gr_gid": NOBODY})())
    access._groups.cache_clear()
    async with serving(configured(tmp_path, group="lab")) as served:
        path = Path(served.endpoint.socket)
        assert [(mode(one), group(one)) for one in (path, path.parent)] == [(0o660, NOBODY), (0o710, NOBODY)]
        open_folders(path.parent)
        assert await asyncio.to_thread(as_nobody, str(path), [("GET", "/v1/health")]) == [200]


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def group(path: Path) -> int:
    return path.stat().st_gid
