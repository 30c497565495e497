"""The commands that read a store: list, status, show, story, report, check, gc, devices."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from store.gc import GRACE_SECONDS
from store.lock import StoreLock
from tests.orchestrator.command import coldframe, stored
from tests.orchestrator.telling import Teller, accuracy, candidate, small_search


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored(small_search(), tmp_path_factory.mktemp("reading") / "store")


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    teller = Teller()
    teller.open("halfway")
    teller.train(1, 1)
    teller.start(teller.ask(2, 2))
    return stored(teller, tmp_path_factory.mktemp("unfinished") / "store")


def test_list_shows_each_search_with_its_status_and_totals(store: Path) -> None:
    (found,) = coldframe("list", "--store", store, "--json").json
    assert (found["name"], found["status"]) == ("digits <&> cells", "finished")
    assert found["best_accuracy"] == accuracy(3, 4)
    assert found["totals"]["epochs_trained"] == 8
    assert f"{100 * accuracy(3, 4):.2f} %" in coldframe("list", "--store", store).out


def test_status_is_the_summary_of_run_and_more(store: Path) -> None:
    found = coldframe("status", "--store", store, "--json").json
    assert found["search"] == "5" * 64
    assert set(found["totals"]) == {
        "requests",
        "jobs",
        "attempts",
        "epochs_trained",
        "epochs_resumed_over",
        "memo_hits",
        "seconds",
    }
    assert set(found["best"]) == {
        "architecture",
        "genotype",
        "accuracy",
        "test_accuracy",
        "proxy_accuracy",
        "epochs",
        "parameters",
        "multiply_adds",
        "checkpoint",
    }
    assert found["best"]["accuracy"] == accuracy(3, 4)
    assert len(found["best"]["genotype"]["normal"]) == 8
    shown = coldframe("status", "digits <&> cells", "--store", store).out
    assert "epochs: 8 trained, 2 saved by resuming, 0 saved by memo" in shown
    assert candidate(3).id[:12] in shown


def test_a_search_that_no_process_works_on_is_interrupted_not_running(unfinished: Path) -> None:
    assert coldframe("status", "--store", unfinished, "--json").json["status"] == "interrupted"
    with StoreLock(unfinished):
        held = coldframe("status", "--store", unfinished, "--json").json
    assert held["status"] == "running"
    assert [(job["worker"], job["epoch"]) for job in held["running"]] == [("worker-1", 0)]


@pytest.mark.parametrize("purpose", ["gc", "repair"])
def test_a_search_is_not_running_because_garbage_is_collected(
    unfinished: Path, purpose: Literal["gc", "repair"]
) -> None:
    with StoreLock(unfinished, purpose):
        assert coldframe("status", "--store", unfinished, "--json").json["status"] == "interrupted"


def test_of_two_searches_of_a_name_the_ids_are_told(tmp_path: Path) -> None:
    """Guards `show NAME`, which said that the name was not in the store."""
    teller = Teller()
    teller.open("twin", "a" * 64)
    teller.interrupt()
    teller.open("twin", "b" * 64, pid=200)
    store = stored(teller, tmp_path / "store")
    for command in ("show", "status"):
        ended = coldframe(command, "twin", "--store", store)
        assert ended.code == 2
        assert "'twin' stands for 2: aaaaaaaaaaaa, bbbbbbbbbbbb" in ended.err


@pytest.mark.parametrize("command", ["list", "check", "gc"])
def test_a_file_is_no_store(tmp_path: Path, command: str) -> None:
    file = tmp_path / "file"
    file.write_text("notes")
    ended = coldframe(command, "--store", file)
    assert ended.code == 2
    assert f"{file} is not a store: it is a file, not a folder" in ended.err


def test_a_search_is_named_by_name_or_id_and_an_unknown_one_is_refused(store: Path) -> None:
    assert coldframe("status", "55555", "--store", store).code == 0
    refused = coldframe("status", "absent", "--store", store)
    assert refused.code == 2
    assert "'absent' is not in this store" in refused.err


def test_show_and_story_find_a_job_by_the_beginning_of_its_id(store: Path) -> None:
    job = next(iter(small_search().history.jobs))
    found = coldframe("show", job[:10], "--store", store, "--json").json
    assert (found["kind"], found["id"], found["state"]) == ("job", job, "succeeded")
    assert found["outcome"]["accuracy"] == accuracy(1, 2)
    assert [attempt["reached"] for attempt in found["attempts"]] == [2]
    told = coldframe("story", job[:10], "--store", store, "--json").json
    assert "attempt 1 given to worker-1 on cpu, from the start" in told["story"][1]
    assert coldframe("story", job[:10], "--store", store).out.count("\n") == 1 + len(told["story"])


def test_show_tells_of_searches_and_candidates(store: Path) -> None:
    search = coldframe("show", "digits <&> cells", "--store", store, "--json").json
    assert [one["accuracy"] for one in search["best"]] == [accuracy(3, 4), accuracy(2, 2), accuracy(1, 2)]
    assert search["spec"]["data"]["name"] == "digits"
    found = coldframe("show", candidate(3).id[:12], "--store", store, "--json").json
    assert (found["kind"], len(found["jobs"])) == ("candidate", 2)
    assert "normal_concat" in coldframe("show", "digits <&> cells", "--store", store).out


def test_show_of_a_checkpoint_whose_manifest_is_gone_says_so(store: Path) -> None:
    ended = coldframe("show", small_search().checkpoint(3, 4), "--store", store)
    assert ended.code == 2
    assert "is not in the store" in ended.err


def test_report_writes_a_folder(store: Path, tmp_path: Path) -> None:
    found = coldframe("report", "--store", store, "--output", tmp_path / "out", "--json").json
    assert found["report"] == str(tmp_path / "out" / "report.html")
    assert all(Path(file).stat().st_size > 0 for file in found["files"])


def test_check_reports_problems_with_exit_code_1(store: Path) -> None:
    ended = coldframe("check", "--store", store, "--json")
    assert ended.code == 1, "the told journal names checkpoints that were never written"
    assert ended.json["rows"] == len(small_search().events)
    assert {problem["kind"] for problem in ended.json["problems"]} == {"checkpoint"}
    assert coldframe("check", "--store", store).out.splitlines()[-1].endswith("problems")


def test_check_of_a_sound_store_is_clean(tmp_path: Path) -> None:
    teller = Teller()
    teller.open()
    ended = coldframe("check", "--store", stored(teller, tmp_path / "store"))
    assert ended.code == 0
    assert ended.out.splitlines()[-1] == "clean"


def test_gc_deletes_nothing_unless_asked(tmp_path: Path) -> None:
    teller = Teller()
    teller.open()
    store = stored(teller, tmp_path / "store")
    found = coldframe("gc", "--store", store, "--grace", "0", "--json").json
    assert (found["dry_run"], found["bytes_freed"]) == (True, 0)
    usual = coldframe("gc", "--store", store, "--json").json["grace_seconds"]
    assert usual == GRACE_SECONDS == 3600.0, "as docs/format.md says"
    assert coldframe("gc", "--store", store, "--delete", "--json").json["dry_run"] is False


def test_devices_has_the_cpu_at_least() -> None:
    found = coldframe("devices", "--json").json
    assert found[0]["device"] == "cpu"
    assert all(device["kind"] in {"cpu", "cuda"} for device in found)
    assert "cpu" in coldframe("devices").out
