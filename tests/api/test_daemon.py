"""The API of a real daemon with real workers: the commands' own objects, and a stream that survives its restart."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from store.journal import Journal
from tests.api.client import messages
from tests.faults.serving import Daemon, spec
from tests.orchestrator.command import coldframe

STREAM = {"accept": "text/event-stream"}
COUNTED = {"seconds", "uptime_seconds", "done", "total", "label"}
"""What the daemon alone knows, or what goes on."""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon whose one search is finished."""
    folder = tmp_path_factory.mktemp("daemon")
    with Daemon(folder, more="[api.tcp]\nport = 0\ntoken_file = 'token'\n") as found:
        search = found.submit(spec(folder, "first", epoch_seconds=0.01))
        found.until_ended(search)
        yield found


def only(daemon: Daemon) -> str:
    (found,) = daemon.get("/v1/searches")
    return str(found["search"])


def a_job(daemon: Daemon) -> str:
    events = daemon.get("/v1/events?limit=1000")["events"]
    return str(next(event["job"] for event in events if event["type"] == "job_succeeded"))


def without(value: Any) -> Any:
    """A value without what may differ between two looks."""
    if isinstance(value, dict):
        return {key: without(item) for key, item in value.items() if key not in COUNTED}
    return [without(item) for item in value] if isinstance(value, list) else value


def direct(daemon: Daemon, *arguments: str) -> Any:
    """What a command prints that folds the journal itself, with all its stories."""
    from orchestrator import answers
    from orchestrator.commands.common import reading

    with reading(daemon.store) as found:
        known = answers.Known(found.store, found.history, found.alive)
        made = {
            "list": lambda: answers.searches(known),
            "status": lambda: answers.status(known, arguments[1]),
            "show": lambda: answers.show(known, arguments[1]),
            "story": lambda: answers.story(known, arguments[1]),
            "result": lambda: answers.result(known, arguments[1]),
        }[arguments[0]]()
    return json.loads(json.dumps(made))


def test_answers_are_what_the_commands_print(daemon: Daemon) -> None:
    search, job = only(daemon), a_job(daemon)
    pairs = [
        ("/v1/searches", ("list",)),
        (f"/v1/searches/{search}", ("status", search)),
        (f"/v1/searches/{search}/show", ("show", search)),
        (f"/v1/searches/{search}/result", ("result", search)),
        (f"/v1/jobs/{job}", ("show", job)),
        (f"/v1/show/{job[:16]}", ("show", job)),
        (f"/v1/jobs/{job}/story", ("story", job)),
    ]
    for path, arguments in pairs:
        assert without(daemon.get(path)) == without(direct(daemon, *arguments)), path
    printed = coldframe("list", "--store", daemon.store, "--json").json
    assert without(printed) == without(daemon.get("/v1/searches"))


def test_checkpoints_and_candidates_are_shown_too(daemon: Daemon) -> None:
    events = daemon.get("/v1/events?limit=1000")["events"]
    saved = next(event for event in events if event["type"] == "checkpoint_saved")
    for kind in ("checkpoint", "candidate"):
        shown = daemon.get(f"/v1/show/{saved[kind]}")
        assert (shown["kind"], shown["id"]) == (kind, saved[kind])
        assert without(shown) == without(direct(daemon, "show", saved[kind]))


def test_the_pages_numbers_are_those_of_the_journal(daemon: Daemon) -> None:
    search = only(daemon)
    (rung,) = daemon.get(f"/v1/searches/{search}/rungs")["rungs"]
    result = daemon.get(f"/v1/searches/{search}/result")
    assert rung["best"] == pytest.approx(max(one["accuracy"] for one in result["history"]), abs=1e-6)
    candidates = daemon.get(f"/v1/searches/{search}/candidates")
    assert candidates["total"] == len(result["history"]) == 8
    assert candidates["top"][0]["accuracy"] == pytest.approx(rung["best"], abs=1e-6)
    assert daemon.get(f"/v1/searches/{search}/failures")["failures"] == []
    lanes = daemon.get("/v1/workers")["workers"]
    assert sum(len(lane["segments"]) for lane in lanes) == 8
    assert {one["search"] for lane in lanes for one in lane["segments"]} == {search}
    drawn = daemon.http.get(f"/v1/searches/{search}/cells/1.svg")
    assert (drawn.status_code, drawn.headers["content-type"]) == (200, "image/svg+xml")
    assert drawn.content.startswith(b"<?xml")
    assert daemon.http.get(f"/v1/searches/{search}/cells/99.svg").status_code == 404


def test_people_who_want_words_get_the_lines_of_the_command(daemon: Daemon) -> None:
    search = only(daemon)
    answer = daemon.http.get(f"/v1/searches/{search}", headers={"accept": "text/plain"})
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == coldframe("status", search, "--store", daemon.store).out


def test_the_whole_journal_comes_as_events(daemon: Daemon) -> None:
    journal = Journal(daemon.store, read_only=True)
    expected = [(row.sequence, row.type, row.search, row.job) for row in journal.raw()]
    journal.close()
    events, after = list[dict[str, Any]](), 0
    while page := daemon.get(f"/v1/events?after={after}&limit=7")["events"]:
        events += page
        after = page[-1]["sequence"]
    told = [(one["sequence"], one["type"], one.get("search"), one.get("job")) for one in events]
    assert told[: len(expected)] == expected


def test_metrics_count_what_the_api_does(daemon: Daemon) -> None:
    bad = httpx.get(f"{daemon.told()['tcp']}/v1/health", headers={"authorization": "Bearer wrong"}, trust_env=False)
    assert bad.status_code == 401
    shown = daemon.http.get("/metrics").text
    assert 'coldframe_api_refused_total{reason="token"} 1.0' in shown
    assert 'route="/v1/searches/{search}"' in shown
    assert only(daemon) not in shown


def test_refusals_stand_in_the_daemons_log_and_the_token_does_not(daemon: Daemon) -> None:
    token = (daemon.folder / "token").read_text().strip()
    for path in (f"/v1/health?token={token}", "/v1/searches"):
        wrong = {"authorization": f"Bearer {token}x"}
        assert httpx.get(f"{daemon.told()['tcp']}{path}", headers=wrong, trust_env=False).status_code in {401, 403}
    log = daemon.store / "logs" / "daemon.jsonl"
    daemon.until(lambda: "token_in_url" in log.read_text())
    written = log.read_text() + daemon.said()
    assert token not in written
    assert '"reason": "token_in_url"' in log.read_text()


def test_no_file_of_the_store_is_reached(daemon: Daemon) -> None:
    for path in (
        "/journal.sqlite",
        "/static/../../journal.sqlite",
        "/v1/../lock",
        "/static/%2e%2e/%2e%2e/lock",
    ):
        assert daemon.http.get(path).status_code == 404, path


@pytest.mark.faults
@pytest.mark.timeout(180)
def test_a_watcher_of_a_killed_daemon_goes_on_with_the_next_one(tmp_path: Path) -> None:
    """SIGKILL in the middle of a stream; Last-Event-ID at the next daemon: every row once, in order."""
    daemon = Daemon(tmp_path)
    seen: list[int] = []

    def watch(enough: int) -> None:
        found, before = b"", list(seen)
        headers = STREAM | ({"last-event-id": str(seen[-1])} if seen else {})
        with httpx.Client(transport=httpx.HTTPTransport(uds=daemon.told()["socket"]), timeout=60) as http:
            with http.stream("GET", "http://localhost/v1/events", headers=headers) as answer:
                for piece in answer.iter_bytes():
                    found += piece
                    told = messages(found.rpartition(b"\n\n")[0])
                    seen[:] = before + [one["sequence"] for one in told]
                    if len(seen) >= enough or (told and told[-1]["type"] == "search_finished"):
                        return

    with daemon:
        daemon.submit(spec(tmp_path, "watched", candidates=12, epoch_seconds=0.05))
        watch(30)
        os.kill(daemon.pid, signal.SIGKILL)
        daemon.ended()
        daemon.start()
        watch(10_000)
    journal = Journal(daemon.store, read_only=True)
    last = next(row.sequence for row in journal.rows(types={"search_finished"}))
    journal.close()
    assert seen == list(range(1, last + 1))
