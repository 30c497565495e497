"""`coldframe run`, as a process: its JSON, its report, its exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.orchestrator.command import LIMIT_SECONDS, REPOSITORY, process

SPEC = """
name = "{name}"
[strategy]
name = "random"
candidates = {samples}
epochs = 2
[space]
name = "cell"
[trainer]
name = "scripted"
epoch_seconds = {seconds}
[data]
name = "digits"
"""


def spec(folder: Path, name: str = "small", *, samples: int = 3, seconds: float = 0.0) -> Path:
    path = folder / f"{name}.toml"
    path.write_text(SPEC.format(name=name, samples=samples, seconds=seconds))
    return path


def test_run_ends_with_one_json_object_and_a_report(tmp_path: Path) -> None:
    ended = process("run", spec(tmp_path), "--store", tmp_path / "store", "--json", "--report", tmp_path / "report")
    assert ended.code == 0, ended.err
    found = ended.json
    assert set(found) == {"search", "name", "status", "best", "totals"}
    assert (found["name"], found["status"]) == ("small", "finished")
    assert (found["totals"]["requests"], found["totals"]["epochs_trained"]) == (3, 6)
    assert found["best"]["epochs"] == 2
    assert len(found["best"]["checkpoint"]) == 64
    assert "search small" in ended.err, "what people read goes to stderr"
    assert (tmp_path / "report" / "report.html").stat().st_size > 0


def test_a_second_search_for_the_same_candidates_trains_nothing_and_says_so(tmp_path: Path) -> None:
    store = tmp_path / "store"
    first = process("run", spec(tmp_path, "first"), "--store", store, "--json").json
    second = process("run", spec(tmp_path, "second"), "--store", store)
    assert second.code == 0, second.err
    assert "Nothing was trained: the store had every answer." in second.out
    assert "epochs: 0 trained, 0 saved by resuming, 6 saved by memo" in second.out
    assert process("run", spec(tmp_path, "second"), "--store", store, "--json").json["best"] == first["best"]


def test_a_spec_that_cannot_be_used_is_refused_with_all_that_is_wrong(tmp_path: Path) -> None:
    path = spec(tmp_path)
    path.write_text(path.read_text().replace("candidates", "candidats") + "[resources]\nworkers = 0\n")
    ended = process("run", path, "--store", tmp_path / "store", "--json")
    assert ended.code == 2
    assert ended.json["error"]["kind"] == "SpecError"
    for named in (str(path), "candidats", "resources.workers"):
        assert named in ended.err
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_drains_the_search_and_the_same_command_goes_on(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    path, store = spec(tmp_path, samples=4, seconds=0.3), tmp_path / "store"
    command = [sys.executable, "-m", "orchestrator.cli", "run", str(path), "--store", str(store), "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=REPOSITORY, **pipes) as running:  # type: ignore[call-overload]
        while ": " not in (line := running.stderr.readline()) or "train " not in line:
            assert line, "the search ended before a job did"
        running.send_signal(number)
        out, err = running.communicate(timeout=LIMIT_SECONDS)
    assert running.returncode == code, err
    assert json.loads(out)["status"] == "interrupted"
    ended = process("run", path, "--store", store, "--json").json
    assert ended["status"] == "finished"
    assert ended["totals"]["epochs_trained"] == 8
