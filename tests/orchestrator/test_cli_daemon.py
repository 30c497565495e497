"""Commands that ask a daemon where one holds the store, and the store itself where none does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.reaching import serving
from store.records.events import JobFailed, JobStarted, WorkerEnded
from tests.faults.serving import Daemon, spec
from tests.orchestrator.command import Ended, coldframe
from tests.system import harness

pytestmark = pytest.mark.timeout(240)

TCP = """
[api.tcp]
port = 0
token_file = "token"
"""
FAULTS = """
[[faults]]
kind = "error"
epoch = 1
attempts = 9
every = 4
"""
LIVE = {"memory_bytes", "idle_share", "slots", "busy", "memory_used_bytes", "utilisation"}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon in which a search with failed jobs, and a short one, are finished."""
    folder = tmp_path_factory.mktemp("daemon")
    with Daemon(folder, more=TCP) as started:
        for seed, (name, more) in enumerate((("failing", FAULTS), ("sound", ""))):
            path = spec(folder, name, seed=seed, candidates=8, epochs=2, epoch_seconds=0.01, retries=0, more=more)
            ended = coldframe("submit", path, "--store", started.store, "--json")
            assert (ended.code, ended.json["name"], ended.json["new"], ended.json["daemon"]) == (0, name, True, True)
            started.until_ended(ended.json["search"])
        yield started


@pytest.fixture(scope="module")
def names(daemon: Daemon) -> dict[str, str]:
    """One id of each kind."""
    shown = coldframe("show", "sound", "--store", daemon.store, "--json").json
    given_up = [event.job for event in harness.events(daemon.store) if isinstance(event, JobFailed)]
    best = shown["best"][0]
    candidate = coldframe("show", best["checkpoint"], "--store", daemon.store, "--json").json["candidate"]
    return {"search": shown["id"], "job": given_up[0], "checkpoint": best["checkpoint"], "candidate": candidate}


def commands(names: dict[str, str]) -> list[list[str]]:
    shown = [["show", name] for name in names.values()]
    named = [["status", "sound"], ["status", names["search"][:8]], ["status"], ["why", "failing"]]
    return [["list"], *named, *shown, ["story", names["job"]], ["logs", names["job"]], ["check"], ["gc"]]


def without_live(value: Any) -> Any:
    return [{key: item for key, item in one.items() if key not in LIVE} for one in value]


def live_only(command: list[str], value: Any) -> Any:
    """How far the strategy says it is, the daemon alone knows."""
    if command[0] == "list":
        return [live_only(["status"], one) for one in value]
    return {key: item for key, item in value.items() if key not in {"done", "total", "label"}}


def test_every_command_says_the_same_over_the_socket_over_tcp_and_without_a_daemon(
    daemon: Daemon, names: dict[str, str]
) -> None:
    told = daemon.told()
    remote = ("--url", told["tcp"], "--token-file", told["token_file"])
    asked = commands(names)
    served = {}
    for command in asked:
        over_socket = [coldframe(*command, "--store", daemon.store, *json_) for json_ in ([], ["--json"])]
        assert coldframe(*command, *remote, "--json").json == over_socket[1].json, command
        assert [ended.code for ended in over_socket] == [0, 0], command
        served[" ".join(command)] = over_socket
    assert coldframe("list", *remote) == served["list"][0]
    devices = coldframe("devices", "--store", daemon.store, "--json").json
    assert devices[0]["slots"] == 2
    assert daemon.stop() == 0
    log = [json.loads(line) for line in (daemon.store / "logs" / "daemon.jsonl").read_text().splitlines()]
    ended = [event.worker for event in harness.events(daemon.store) if isinstance(event, WorkerEnded)]
    logged = [line["worker"] for line in log if line.get("event") == "worker_ended"]
    assert sorted(logged) == sorted(ended) == ["worker-0", "worker-1"], "their ends are journalled and logged"
    alone = {}
    try:
        for command in asked:
            alone[" ".join(command)] = [
                coldframe(*command, "--store", daemon.store, *json_) for json_ in ([], ["--json"])
            ]
        idle = coldframe("devices", "--store", daemon.store, "--json").json
    finally:
        daemon.start()
    for command in asked:
        (people, machine), (people_alone, machine_alone) = served[" ".join(command)], alone[" ".join(command)]
        if command[0] == "check":
            continue  # the daemon's end is in the journal now: it has more rows
        assert people_alone == people, command
        assert live_only(command, machine_alone.json) == live_only(command, machine.json), command
    assert without_live(idle) == without_live(devices)


def test_a_failed_job_shows_its_last_words_wherever_it_is_shown(daemon: Daemon, names: dict[str, str]) -> None:
    where = ("--store", str(daemon.store))
    story = coldframe("story", names["job"], *where)
    assert "it printed last:" in story.out
    assert "RuntimeError" in story.out.partition("it printed last:")[2]
    assert coldframe("show", names["job"], *where, "--json").json["last_words"]
    logs = coldframe("logs", names["job"], *where).out
    assert logs.startswith("== attempt 1 on worker-")
    assert "Traceback (most recent call last)" in logs
    sound = next(
        event.job
        for event in harness.events(daemon.store)
        if isinstance(event, JobStarted)
        and event.job not in {names["job"]}
        and not (daemon.store / "logs" / "jobs" / f"{event.job}.log").exists()
    )
    assert coldframe("logs", sound, *where) == Ended(0, "", "this job has printed nothing\n")


def test_orders_change_a_search_that_runs(daemon: Daemon) -> None:
    where = ("--store", str(daemon.store))
    path = spec(daemon.folder, "ordered", candidates=20, epochs=2, epoch_seconds=0.5)
    search = coldframe("submit", path, *where, "--weight", "2", "--json").json["search"]
    daemon.until(lambda: daemon.status(search) == "running")
    assert coldframe("pause", "ordered", *where).out.startswith(f"search ordered ({search[:12]}): paus")
    daemon.until(lambda: daemon.status(search) == "paused")
    assert "coldframe resume ordered" in coldframe("why", "ordered", *where).out
    assert "coldframe resume ordered" in coldframe("status", "ordered", *where).out
    assert coldframe("priority", "ordered", "--weight", "3", "--priority", "-1", *where, "--json").code == 0
    listed = next(one for one in coldframe("list", *where, "--json").json if one["search"] == search)
    assert (listed["status"], listed["weight"], listed["priority"]) == ("paused", 3.0, -1)
    assert coldframe("resume", "ordered", *where).code == 0
    assert coldframe("stop", "ordered", *where).code == 0
    daemon.until(lambda: daemon.status(search) == "stopped")
    refused = coldframe("pause", "ordered", *where, "--json")
    assert (refused.code, refused.json["error"]["kind"]) == (2, "WrongState")
    lowered = coldframe("extend", "ordered", "--set", "candidates=3", *where, "--json")
    assert (lowered.code, lowered.json["error"]["kind"]) == (2, "TotalLowered")
    assert coldframe("extend", "ordered", "--set", "candidates=many", *where).code == 2


def test_what_needs_a_store_for_itself_says_what_to_do_while_a_daemon_has_it(daemon: Daemon) -> None:
    path = spec(daemon.folder, "foreground")
    ended = coldframe("run", path, "--store", daemon.store)
    assert ended.code == 2
    assert f"coldframe submit {path} --store {daemon.store}" in ended.err
    for command in (("retrain", "sound", "--recipe", "digits"), ("pool", "--evict", "0")):
        ended = coldframe(*command, "--store", daemon.store, "--json")
        assert (ended.code, ended.json["error"]["kind"]) == (2, "DaemonHolds")
        assert f"`kill {daemon.told()['pid']}`" in ended.err


def test_bad_input_is_a_clear_error_of_the_daemon_too(daemon: Daemon, tmp_path: Path) -> None:
    where = ("--store", str(daemon.store))
    for share in ("nan", "inf", "-1", "1000"):
        ended = coldframe("priority", "sound", "--weight", share, *where)
        assert (ended.code, "weight is " in ended.err) == (2, True), share
    assert "grace_seconds is inf: expected a finite number" in coldframe("gc", "--grace", "inf", *where).err
    text = spec(tmp_path, "odd").read_text()
    for value, shown in (("nan", "nan"), ("1979-05-27", "'1979-05-27'")):
        (tmp_path / "odd.toml").write_text(text.replace("steps = 4", f"steps = {value}"))
        ended = coldframe("submit", tmp_path / "odd.toml", *where)
        assert (ended.code, f"trainer.steps is {shown}: expected" in ended.err) == (2, True)
    for name in ("", "..", "a/b", os.fsdecode(b"\xff")):
        for command in ("status", "show", "logs", "pause"):
            ended = coldframe(command, name, *where)
            assert (ended.code, "is not in this store" in ended.err) == (2, True), (command, name)
    assert "job 'sound' is not in this store" in coldframe("logs", "sound", *where).err


def test_a_copy_of_a_store_is_not_taken_for_the_daemons(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "copy" / "run").mkdir(parents=True)
    for name in ("lock", "run/daemon.json"):
        shutil.copy2(daemon.store / name, tmp_path / "copy" / name)
    assert (serving(daemon.store), serving(tmp_path / "copy")) == (True, False)


def watching(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "orchestrator.cli", *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
        # A shell that starts the tests in the background has SIGINT ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def test_who_stops_watching_harms_nothing(daemon: Daemon) -> None:
    path = spec(daemon.folder, "watched", candidates=400, epochs=2, epoch_seconds=0.2)
    watcher = watching("submit", path, "--follow", "--store", daemon.store)
    assert watcher.stdout is not None
    line = next(line for line in watcher.stdout if "done after" in line)
    assert "train" in line
    watcher.send_signal(signal.SIGINT)
    _, err = watcher.communicate(timeout=60)
    assert (watcher.returncode, err) == (130, "no longer watching; the searches go on\n")
    assert coldframe("stop", "watched", "--store", daemon.store).code == 0, "it went on, and makes room now"
    short = spec(daemon.folder, "followed", candidates=2, seed=5)
    machine = watching("submit", short, "--follow", "--store", daemon.store, "--json")
    out, err = machine.communicate(timeout=120)
    assert (machine.returncode, err) == (0, "")
    submitted, *events = [json.loads(line) for line in out.splitlines()]
    assert submitted["name"] == "followed"
    assert (events[0]["type"], events[-1]["type"]) == ("search_opened", "search_finished")
    assert coldframe("watch", "watched", "--store", daemon.store).code == 0, "it has ended already"


def test_the_daemons_log_is_json_says_who_ordered_what_and_holds_no_token(daemon: Daemon) -> None:
    coldframe("status", "none such", "--url", daemon.told()["tcp"])  # without the token: refused
    daemon.until(lambda: "refused" in (daemon.store / "logs" / "daemon.jsonl").read_text())
    text = (daemon.store / "logs" / "daemon.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert {"time", "level", "message"} <= set.intersection(*(set(line) for line in lines))
    by_event = {line.get("event"): line for line in lines}
    assert by_event["search_submitted"]["owner"]
    assert by_event["worker_started"]["pid"]
    assert by_event["job_failed"]["level"] == "error"
    assert (daemon.folder / "token").read_text().strip() not in text + daemon.said()


def test_without_a_daemon_orders_and_submissions_wait_for_the_next_one(tmp_path: Path) -> None:
    where = ("--store", str(tmp_path / "store"))
    path = spec(tmp_path, "queued", candidates=2)
    first = coldframe("submit", path, *where)
    assert first.code == 0
    assert "the next one takes the search up" in first.out
    assert coldframe("submit", path, *where, "--json").json["new"] is False
    assert coldframe("list", *where, "--json").json[0]["status"] == "submitted"
    assert coldframe("pause", "queued", *where, "--json").json["status"] == "paused"
    assert coldframe("resume", "queued", *where, "--json").json["status"] == "submitted"
    assert coldframe("priority", "queued", "--priority", "5", *where).code == 0
    assert coldframe("extend", "queued", "--set", "candidates=3", *where).code == 0
    assert coldframe("stop", "queued", *where, "--json").json["status"] == "stopped"
    assert coldframe("show", "queued", *where, "--json").json["spec"]["strategy"]["options"]["candidates"] == 3
    listed = coldframe("list", *where, "--json").json[0]
    assert (listed["status"], listed["priority"]) == ("stopped", 5)
    assert coldframe("devices", "--return", "cpu", *where).code == 2


def test_a_daemon_that_is_gone_is_one_line(tmp_path: Path) -> None:
    where = ("--store", str(tmp_path / "store"))
    coldframe("submit", spec(tmp_path, "old", candidates=2), *where)
    (tmp_path / "store" / "run").mkdir(exist_ok=True)
    note = {"pid": os.getpid(), "socket": str(tmp_path / "store" / "run" / "api.sock")}
    (tmp_path / "store" / "run" / "daemon.json").write_text(json.dumps(note))
    assert coldframe("list", *where).code == 0, "an old note: nobody holds the store"
    ended = coldframe("list", "--url", "http://127.0.0.1:1", "--json")
    assert (ended.code, ended.json["error"]["kind"], len(ended.err.splitlines())) == (2, "DaemonGone", 1)
    both = coldframe("list", *where, "--url", "http://127.0.0.1:1")
    assert (both.code, "not both" in both.err) == (2, True)
    assert coldframe("list", *where, COLDFRAME_URL="http://127.0.0.1:1").code == 0, "an option goes first"
    assert coldframe("list").code == 2
