"""The Python client, and the example in docs/client.md, against a real daemon."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client import Client
from orchestrator.errors import DaemonGone, RefusedAccess, RefusedName, SpecError
from orchestrator.spec import load
from tests.faults.serving import Daemon, spec
from tests.orchestrator.command import REPOSITORY
from tests.system import harness

pytestmark = pytest.mark.timeout(240)

TCP = """
[api.tcp]
port = 0
token_file = "token"
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("client"), more=TCP) as started:
        yield started


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    with Client.of(daemon.store) as opened:
        yield opened


def blocks(page: str) -> list[str]:
    text = (REPOSITORY / "docs" / page).read_text()
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_example_of_the_docs_runs(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    path = harness.econas(daemon.folder, name="digits", cycles=1, epoch_seconds=0.02)
    known: dict[str, object] = {}
    for block in blocks("client.md"):
        text = block.replace('"/srv/coldframe/store"', repr(str(daemon.store)))
        exec(text.replace('"digits.toml"', repr(str(path))), known)
    printed = capsys.readouterr().out.splitlines()
    result = known["result"]
    assert known["best"] == pytest.approx(result.best[0]["accuracy"], abs=1e-6)  # type: ignore[attr-defined]
    assert printed[0].startswith("digits: finished, ")
    assert "'no such search' is not in this store" in printed[1]
    assert "strategy.cycles" in printed[2]
    assert "search digits is finished and cannot be stopped" in printed[3]


def test_a_spec_may_be_a_map_or_checked_already(client: Client, daemon: Daemon) -> None:
    path = spec(daemon.folder, "twice", candidates=2)
    first = client.submit(path)
    planned = load(path).spec
    assert client.submit(planned)["search"] == first["search"]
    again = client.submit(planned.model_dump(mode="json", exclude_none=True))
    assert (again["search"], again["new"]) == (first["search"], False)
    assert client.wait(first["search"])["status"] == "finished"
    assert list(client.follow(first["search"], after=0))[-1]["type"] == "search_finished", "it has ended already"


def test_a_name_that_no_path_can_hold_is_found_by_the_list(client: Client, daemon: Daemon) -> None:
    path = spec(daemon.folder, "sized", candidates=1)
    path.write_text(path.read_text().replace('"sized"', '"a/b é?"'))
    submitted = client.submit(path)
    assert client.status("a/b é?")["search"] == submitted["search"]
    assert client.wait("a/b é?")["status"] == "finished"


def test_over_tcp_the_token_opens_the_daemon_and_nothing_else_does(daemon: Daemon, tmp_path: Path) -> None:
    told = daemon.told()
    with Client(told["tcp"], token_file=told["token_file"]) as remote:
        assert remote.version()["version"]
    (tmp_path / "wrong").write_text("0" * 64)
    for wrong in (None, tmp_path / "wrong"):
        with Client(told["tcp"], token_file=wrong) as remote, pytest.raises(RefusedAccess):
            remote.searches()
    with Client(told["tcp"], token_file=tmp_path / "none") as remote, pytest.raises(DaemonGone, match="cannot be read"):
        remote.searches()


def test_what_is_not_there_is_said(client: Client, tmp_path: Path) -> None:
    with pytest.raises(DaemonGone, match="none holds this store"):
        Client.of(tmp_path)
    with pytest.raises(RefusedName, match="is not in this store"):
        client.story("abcdef012345")
    with pytest.raises(SpecError, match="cannot be read"):
        client.submit(tmp_path / "none.toml")
    with Client("http://127.0.0.1:1") as nobody, pytest.raises(DaemonGone, match=r"127\.0\.0\.1:1"):
        nobody.searches()


def test_following_goes_on_across_a_restart_and_misses_nothing(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon, Client.of(daemon.store) as client:
        search = client.submit(spec(tmp_path, "long", candidates=8, epoch_seconds=0.2))["search"]
        found: list[dict[str, Any]] = []
        saved = threading.Event()

        def follow() -> None:
            for event in client.follow(search, after=0):
                found.append(event)
                if event["type"] == "checkpoint_saved":
                    saved.set()

        follower = threading.Thread(target=follow)
        follower.start()
        assert saved.wait(60)
        daemon.kill()
        daemon.start()
        follower.join(120)
        assert not follower.is_alive()
    numbers = [event["sequence"] for event in found]
    assert numbers == sorted(set(numbers))
    assert found[-1]["type"] == "search_finished"
    jobs = {event["job"] for event in found if event["type"] == "requested"}
    concerned = [
        row
        for row, event in enumerate(harness.events(daemon.store), start=1)
        if getattr(event, "search", None) == search or getattr(event, "job", None) in jobs
    ]
    assert numbers == concerned
