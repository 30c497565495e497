"""The live view of a whole daemon: what it keeps, and how it draws that in terminals of any width."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from orchestrator.board import Board
from orchestrator.overview import Overview

JOB, SEARCH, OTHER = "a" * 64, "5" * 64, "6" * 64


def search(name: str, status: str, **more: Any) -> dict[str, Any]:
    found = {"search": SEARCH, "name": name, "status": status, "opened": 0.0, "seen": 1.0, "running": []}
    found |= {"best_accuracy": None, "best_test_accuracy": None, "owner": "ann", "weight": 1.0, "priority": 0}
    return found | {"done": 0, "total": 0, "label": ""} | more


def device(**more: Any) -> dict[str, Any]:
    found = {"device": "cuda:0", "kind": "cuda", "model": "H100", "state": "in service", "why": "", "slots": 2}
    found |= {"busy": 1, "memory_bytes": 80 << 30, "memory_used_bytes": 40 << 30, "utilisation": 0.5}
    return found | {"temperature": 61.0, "power_watts": 300.0, "faults": 0, "idle_share": 0.25} | more


def overview() -> Overview:
    view = Overview(health={"status": "ok", "reason": "", "uptime_seconds": 7200.0, "sequence": 1234})
    job = {"job": JOB, "words": "train 3f2a to 4", "worker": "worker-0", "device": "cuda:0", "epoch": 1, "epochs": 4}
    running = search(
        "cells", "running", running=[job], best_accuracy=0.9342, done=45, total=100, label="cycle 3 of 10", priority=2
    )
    waiting = search("paused one", "paused", search=OTHER)
    view.refresh([search("old", "finished", search="7" * 64), waiting, running], [device()])
    view.rungs[SEARCH] = [{"epochs": 2, "mean": 0.4, "best": 0.5}, {"epochs": 4, "mean": 0.6, "best": 0.7}]
    view.waits[OTHER] = [{"what": "it was paused by ann", "until": "`coldframe resume` lets it go on"}]
    return view


def beat(**more: Any) -> dict[str, Any]:
    found = {"type": "progress", "worker": "worker-0", "job": JOB, "attempt": 1, "epoch": 2, "step": 5, "steps": 10}
    return found | {"images_per_second": 1234.0, "note": ""} | more


def drawn(view: Overview, width: int, height: int = 30, where: str = "/srv/store") -> list[str]:
    paper = io.StringIO()
    Console(file=paper, width=width, height=height, color_system=None).print(Board(view, where))
    return paper.getvalue().splitlines()


def test_it_shows_searches_workers_devices_and_why_something_waits() -> None:
    view = overview()
    view.take(beat())
    text = "\n".join(drawn(view, 150))
    for shown in ("cells", "running", "45%", "cycle 3 of 10", "93.42 %", "4: 60.0% (70.0%)", "ann", "1, +2"):
        assert shown in text
    for shown in ("worker-0", "train 3f2a to 4", "2 of 4", "1,234", "1 of 2 busy", "75%", "61 °C", "up 2 h 00 min"):
        assert shown in text
    assert "paused one waits: it was paused by ann; until `coldframe resume` lets it go on" in text
    assert [line.split()[0] for line in text.splitlines()[3:6]] == ["cells", "paused", "old"], "what gets on first"


@pytest.mark.parametrize("width", [40, 60, 84, 112, 140, 200])
def test_no_line_is_wider_than_the_terminal_and_the_essential_is_there(width: int) -> None:
    view = overview()
    view.take(beat())
    lines = drawn(view, width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "cells" in text
    assert "worker-0" in text
    if width >= 60:
        assert "running" in text
        assert "93.42 %" in text


def test_many_searches_leave_room_for_the_rest() -> None:
    view = overview()
    view.refresh([search(f"search {number}", "finished", search=f"{number:064d}") for number in range(100)], [device()])
    lines = drawn(view, 100, height=24)
    assert len(lines) <= 24
    assert any(line.startswith("and ") and "other searches" in line for line in lines)


def test_a_heartbeat_of_another_job_is_not_shown_and_a_note_is() -> None:
    view = overview()
    view.take(beat(job="b" * 64))
    (doing,) = view.doing()
    assert (doing.epochs, doing.images_per_second) == ("1 of 4", None)
    view.take(beat(note="decoding images: 5 of 10"))
    (doing,) = view.doing()
    assert (doing.words, doing.epochs, doing.share) == ("decoding images: 5 of 10", "", 0.5)


def test_what_happens_is_told_and_jobs_that_go_well_do_not_hide_it() -> None:
    view = overview()
    paused = {"type": "search_paused", "sequence": 1, "time": 1.0, "search": SEARCH, "by": "ann"}
    assert view.take(paused) is not None
    for number in range(100):
        done = {"type": "job_succeeded", "sequence": 2 + number, "time": 2.0 + number, "job": JOB, "seconds": 1.0}
        view.take(done | {"outcome": {"accuracy": 0.5}})
    told = [line.text for line in view.latest(10)]
    assert told[0] == "search cells: paused by ann"
    assert len(told) == 4
    assert view.take({"type": "delivered", "sequence": 200, "time": 3.0, "search": SEARCH}) is None


def test_of_one_search_only_its_own_is_shown() -> None:
    view = overview()
    view.only = OTHER
    assert [one["name"] for one in view.shown()] == ["paused one"]
    assert list(view.doing()) == []
    assert view.take({"type": "search_paused", "sequence": 1, "time": 1.0, "search": SEARCH, "by": ""}) is None


def test_what_is_wrong_stands_at_the_top() -> None:
    view = overview()
    view.away = "no daemon answers at /run/api.sock: Connection refused"
    view.take({"type": "waiting", "reason": "the disk is full"})
    view.refresh(view.searches, [device(state="out of service", why="3 faults in 10 minutes")])
    lines = drawn(view, 150)
    assert lines[1] == view.away
    assert lines[2] == "waiting: the disk is full"
    assert any("out of service: 3 faults in 10 minutes" in line for line in lines)
    assert any("no searches yet" in line for line in drawn(Overview(), 80))


def test_workers_at_work_and_busy_devices_are_of_one_moment() -> None:
    view = overview()
    view.refresh(view.searches, [device(busy=0, slots=4)])  # asked for a moment later: the daemon says another number
    assert "1 of 4 busy" in "\n".join(drawn(view, 110))
    view.refresh(view.searches, [device(busy=0, slots=0)])  # no daemon, but a search in the foreground
    assert "1 busy" in "\n".join(drawn(view, 110))


def test_how_the_daemon_is_stands_before_a_path_that_is_too_long() -> None:
    assert drawn(overview(), 40, where="/srv/" + "deep/" * 20)[0].startswith("coldframe  ok  /srv/deep/")
