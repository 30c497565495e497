"""Plain HTTP over real sockets, for tests that must say exactly what goes over the wire."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.api.fake import Served


@asynccontextmanager
async def local(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    """A client on the Unix socket, by this process's user."""
    transport = httpx.AsyncHTTPTransport(uds=served.endpoint.socket)
    async with httpx.AsyncClient(transport=transport, base_url="http://coldframe", timeout=30, trust_env=False) as http:
        yield http


@asynccontextmanager
async def remote(served: Served, token: str | None = None, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client on the TCP port, with the right token if no other is given; none for an empty one."""
    given = served.token if token is None else token
    named = headers | ({"authorization": f"Bearer {given}"} if given else {})
    url = served.endpoint.tcp or ""
    async with httpx.AsyncClient(base_url=url, headers=named, timeout=30, trust_env=False) as http:
        yield http


async def speak(served: Served, sent: bytes, *, end: bool = False) -> bytes:
    """Sends bytes over the Unix socket and returns all that comes back until the daemon closes."""
    reader, writer = await asyncio.open_unix_connection(served.endpoint.socket)
    writer.write(sent)
    if end:
        writer.write_eof()
    answer = b""
    try:
        while piece := await asyncio.wait_for(reader.read(65536), 30):
            answer += piece
    except ConnectionError:
        pass  # the daemon closed while more was on its way to it; what it said before that is here
    finally:
        writer.close()
    return answer


async def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Waits until something holds, looking again and again."""
    end = time.monotonic() + seconds
    while True:
        if condition():
            return
        assert time.monotonic() < end, "it never came to hold"
        await asyncio.sleep(0.01)


def problem_keys(answer: httpx.Response) -> set[str]:
    """Which keys an answer complains about."""
    error: dict[str, Any] = answer.json()["error"]
    return {problem["key"] for problem in error.get("problems", ())}


def messages(sent: bytes) -> list[dict[str, Any]]:
    """The numbered events in a piece of a stream."""
    found = []
    for block in sent.split(b"\n\n"):
        lines = dict(line.split(b": ", 1) for line in block.split(b"\n") if b": " in line and not line.startswith(b":"))
        if b"id" in lines:
            found.append(json.loads(lines[b"data"]))
            assert found[-1]["sequence"] == int(lines[b"id"])
    return found
