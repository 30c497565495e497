"""The daemon's log, and what jobs printed as the daemon reads it."""

from __future__ import annotations

import io
import json
import logging
import os
import time
from pathlib import Path

import pytest

from orchestrator import reaching
from orchestrator.reaching import Direct
from orchestrator.serving import joblogs, logs
from orchestrator.serving.config import LogConfig
from orchestrator.views import History
from store.records.events import AnyEvent, SearchPaused, SearchSubmitted, WorkerEnded
from tests.orchestrator.command import coldframe
from tests.orchestrator.telling import small_search


def observe(log: logs.DaemonLog, history: History, *events: AnyEvent) -> None:
    for event in events:
        history.event(history.sequence + 1, 0.0, event)
        log.event(history.sequence, 0.0, event)


def written(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "logs" / logs.FILE).read_text().splitlines()]


def test_events_become_lines_for_machines_and_for_people(tmp_path: Path) -> None:
    teller, people, history = small_search(), io.StringIO(), History()
    log = logs.DaemonLog(history)
    with logs.setup(LogConfig(), tmp_path, people):
        observe(log, history, *(event for _, event in teller.events))
        search = teller.search
        observe(log, history, SearchSubmitted(search=search, raw={}, owner="ann"))
        observe(log, history, SearchPaused(search=search, by="bob"))
        observe(log, history, WorkerEnded(worker="worker-1", pid=7, cause="was ended by SIGKILL"))
        log.waiting("the disk is full")
        log.waiting("the disk is full")
        log.waiting(None)
    lines = written(tmp_path)
    last = {line["event"]: line for line in lines}
    assert last["search_submitted"]["owner"] == "ann"
    assert last["search_paused"]["message"] == "search digits <&> cells: paused by bob"
    assert last["worker_ended"]["cause"] == "was ended by SIGKILL"
    assert last["attempt_failed"]["level"] == "warning"
    assert last["job_failed"]["level"] == "error"
    assert "job_succeeded" not in last, "a search has thousands of them"
    assert [line["message"] for line in lines if line["event"] == "waiting"] == [
        "waiting: the disk is full",
        "no longer waiting",
    ]
    said = people.getvalue()
    assert "search digits <&> cells: submitted by ann" in said
    assert "error: " in said
    assert len(said.splitlines()) == len(lines)


def test_at_level_debug_every_job_is_logged_and_at_error_only_what_failed(tmp_path: Path) -> None:
    found = {}
    for level in ("debug", "error"):
        history = History()
        log = logs.DaemonLog(history)
        with logs.setup(LogConfig(level=level), tmp_path / level, io.StringIO()):
            observe(log, history, *(event for _, event in small_search().events))
        found[level] = {line["event"] for line in written(tmp_path / level)}
    assert {"job_started", "job_succeeded", "attempt_failed"} <= found["debug"]
    assert found["error"] == {"job_failed"}


def test_tokens_never_reach_the_log(tmp_path: Path) -> None:
    people = io.StringIO()
    with logs.setup(LogConfig(), tmp_path, people):
        log = logging.getLogger("coldframe.api")
        log.warning("refused: Authorization: Bearer s3cr3t-token", extra=logs.fields(url="/v1?token=s3cr3t-token"))
        log.warning("refused %s", "/v1/searches?token=s3cr3t-token&x=1")
    text = (tmp_path / "logs" / logs.FILE).read_text() + people.getvalue()
    assert "s3cr3t" not in text
    assert "[hidden]&x=1" in text


def test_a_full_file_is_rotated_and_only_so_many_stay(tmp_path: Path) -> None:
    with logs.setup(LogConfig(bytes=4096, keep=2), tmp_path, io.StringIO()):
        for number in range(200):
            logging.getLogger("coldframe.daemon").info("line %d %s", number, "x" * 100)
    files = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert files == ["daemon.jsonl", "daemon.jsonl.1", "daemon.jsonl.2"]
    assert all(path.stat().st_size <= 4096 for path in (tmp_path / "logs").iterdir())


def test_a_disk_that_takes_nothing_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    path = tmp_path / "logs" / logs.FILE
    path.symlink_to("/dev/full")
    with logs.setup(LogConfig(), tmp_path, io.StringIO()):
        log = logging.getLogger("coldframe.daemon")
        log.info("lost")
        log.info("lost too")
    path.unlink()
    with logs.setup(LogConfig(), tmp_path, io.StringIO()):
        logging.getLogger("coldframe.daemon").info("here")
    assert [line["message"] for line in written(tmp_path)] == ["here"]


def job_file(store: Path, job: str, text: str, age: float = 0.0) -> None:
    path = joblogs.path(store, job)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (time.time() - age, time.time() - age))


def test_the_last_words_are_those_of_the_latest_attempt(tmp_path: Path) -> None:
    job_file(tmp_path, "a", "== attempt 1\nold\n== attempt 2\none\n\n  two  \n")
    assert joblogs.tail(tmp_path, "a") == ["one", "  two  "]
    assert joblogs.said(tmp_path, "a") == "; it said last: two"
    assert joblogs.tail(tmp_path, "none") == []
    assert joblogs.said(tmp_path, "none") == ""


def test_a_job_is_read_on_from_an_offset_also_after_it_was_cut(tmp_path: Path) -> None:
    job_file(tmp_path, "a", "one\ntwo\n")
    piece = joblogs.read(tmp_path, "a")
    assert piece == ("one\ntwo\n", 8)
    job_file(tmp_path, "a", "one\ntwo\nthree\n")
    assert joblogs.read(tmp_path, "a", piece.end) == ("three\n", 14)
    assert joblogs.read(tmp_path, "a", 99) == ("", 14)
    assert joblogs.read(tmp_path, "none", 5) == ("", 0)


def test_a_character_of_which_a_part_is_there_is_left_for_the_next_piece(tmp_path: Path) -> None:
    path = joblogs.path(tmp_path, "a")
    path.parent.mkdir(parents=True)
    path.write_bytes("aé".encode()[:-1])
    assert joblogs.read(tmp_path, "a") == ("a", 1)
    path.write_bytes("aéb".encode())
    assert joblogs.read(tmp_path, "a", 1) == ("éb", 4)


def test_the_oldest_files_go_and_those_of_failed_jobs_last(tmp_path: Path) -> None:
    for age, job in enumerate("abcdef"):
        job_file(tmp_path, job, job, age=age)
    assert joblogs.thin(tmp_path, 3, {"f", "e"}) == 3
    assert sorted(path.stem for path in joblogs.folder(tmp_path).iterdir()) == ["a", "e", "f"]
    assert joblogs.thin(tmp_path / "none", 3, set()) == 0


def test_the_observer_thins_in_a_thread(tmp_path: Path) -> None:
    for age in range(20):
        job_file(tmp_path, f"{age:02d}", "x", age=age)
    thinner = joblogs.Thinner(tmp_path, 10)
    for sequence, (_, event) in enumerate(small_search().events, start=1):
        thinner.event(sequence, 0.0, event)
    until = time.monotonic() + 20
    while len(list(joblogs.folder(tmp_path).iterdir())) > 10:
        assert time.monotonic() < until
        os.sched_yield()
    assert len(list(joblogs.folder(tmp_path).iterdir())) == 10


def test_what_a_job_prints_without_end_is_printed_up_to_now(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Between two looks it prints more; who does not follow it does not wait for its end."""
    path = joblogs.path(tmp_path, "a")
    path.parent.mkdir(parents=True)
    path.write_text("x" * (joblogs.PIECE_BYTES + 1))

    class Endless(Direct):
        def log(self, job: str, offset: int) -> tuple[str, int, bool]:
            piece = joblogs.read(tmp_path, job, offset)
            with path.open("a") as file:
                file.write("y")
            return piece.text, piece.end, False

    monkeypatch.setattr(reaching, "Direct", Endless)
    ended = coldframe("logs", "a", "--store", tmp_path, "--json").json
    assert (len(ended["text"]), ended["over"]) == (joblogs.PIECE_BYTES + 2, False)
