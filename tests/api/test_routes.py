"""What each route answers: over a real socket, from a real store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.client import local
from tests.api.fake import Served, configured, serving

SEARCH = "5" * 64


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(configured(tmp_path)) as found:
        yield found


async def test_every_reading_route_answers(served: Served) -> None:
    job = next(iter(served.daemon.history.jobs))
    paths = [
        f"/v1/{name}" for name in ("version", "health", "access", "devices", "workers", "searches", "openapi.json")
    ]
    paths += [f"/v1/searches/{SEARCH[:8]}{rest}" for rest in ("", "/show", "/why", "/result", "/rungs", "/candidates")]
    paths += [f"/v1/searches/{SEARCH}/failures", f"/v1/jobs/{job[:12]}", f"/v1/jobs/{job}/story", f"/v1/show/{job}"]
    async with local(served) as http:
        for path in [*paths, "/v1/events", "/v1/openapi.json"]:
            answer = await http.get(path)
            assert answer.status_code == 200, (path, answer.text)
            assert answer.headers["content-type"] == "application/json"
            assert answer.json() is not None
        assert (await http.get("/metrics")).status_code == 200
        assert (await http.get(f"/v1/jobs/{job}/log")).headers["x-end"] == "0"
        assert (await http.get("/")).headers["content-type"].startswith("text/html")
