"""What jobs print: a file for each, with a heading for each attempt, never too long, and never a reason to fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from store.records import arrays
from store.records.messages import Failed, Finished
from store.records.requests import Compute
from tests.trainers.harness import Daemon, assign
from trainers.output import cut

FUNCTIONS = """
import os, sys

def say(text, times):
    for _ in range(times):
        print(text)
    os.write(2, b"from C\\n")
    return times

def fail(text):
    print(text)
    raise ArithmeticError("by design")

def crash(text):
    print(text)
    os.abort()

def repeat(text, times):
    for _ in range(times):
        print(text)
    return times

def nothing():
    return 0
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with computations that print, installed in the worker's environment."""
    folder = tmp_path / "packages"
    folder.mkdir()
    (folder / "speaking.py").write_text(FUNCTIONS)
    meta = folder / "speaking-1.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: speaking\nVersion: 1.0\n")
    lines = [f"{name} = speaking:{name}" for name in ("say", "repeat", "fail", "crash", "nothing")]
    (meta / "entry_points.txt").write_text("\n".join(["[coldframe.computations]", *lines]) + "\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))


def ask(function: str, *arguments: object) -> Compute:
    return Compute(function=f"speaking:{function}", arguments=arrays.pack(list(arguments)))


def printed(store: Path, job: str) -> list[str]:
    return (store / "logs" / "jobs" / f"{job}.log").read_text().splitlines()


@pytest.mark.usefixtures("packages")
def test_each_job_has_a_file_of_what_it_printed_and_a_silent_one_has_none(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        said = assign(ask("say", "hello ünïcode", 2))
        assert isinstance(daemon.do(said), Finished)
        silent = assign(ask("nothing"))
        assert isinstance(daemon.do(silent), Finished)
        failing = assign(ask("fail", "a last word"))
        assert isinstance(daemon.do(failing), Failed)
        again = failing.model_copy(update={"attempt": 2})
        assert isinstance(daemon.do(again), Failed)
    heading, *lines = printed(tmp_path, said.job)
    assert heading.startswith("== attempt 1 on ")
    assert "cpu" in heading
    assert lines == ["hello ünïcode", "hello ünïcode", "from C"]
    assert not (tmp_path / "logs" / "jobs" / f"{silent.job}.log").exists()
    both = printed(tmp_path, failing.job)
    assert [line.split(" on ")[0] for line in both if line.startswith("== ")] == ["== attempt 1", "== attempt 2"]
    assert both.count("a last word") == 2
    assert both[-1] == "ArithmeticError: by design"
    assert "hello" not in (tmp_path / "worker.log").read_text()


@pytest.mark.usefixtures("packages")
def test_the_last_words_of_a_process_that_crashes_are_in_its_jobs_file(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        crashing = assign(ask("crash", "a last word"))
        daemon.send(crashing)
        assert daemon.status() < 0
    lines = printed(tmp_path, crashing.job)
    assert lines[1] == "a last word"
    assert any("Fatal Python error: Aborted" in line for line in lines)


@pytest.mark.usefixtures("packages")
def test_a_job_that_prints_too_much_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        chatty = assign(ask("say", "x" * 99, 400), log_bytes=4096)
        assert isinstance(daemon.do(chatty), Finished)
    path = tmp_path / "logs" / "jobs" / f"{chatty.job}.log"
    lines = printed(tmp_path, chatty.job)
    assert path.stat().st_size < 4096 + 200
    assert lines[0].startswith("== attempt 1")
    assert lines[-1] == "from C"
    assert [line for line in lines if "left out here" in line]


ENDLESS = """
import sys
from pathlib import Path
from tests.trainers.harness import assign
from store.records import arrays
from store.records.requests import Compute
from trainers.output import Output

output = Output(Path(sys.argv[1]), "worker-0", "cpu")
chatty = assign(Compute(function="a:b", arguments=arrays.pack([])), log_bytes=4096)
output.begin(chatty)
path = Path(sys.argv[1]) / "logs" / "jobs" / f"{chatty.job}.log"
for line in range(1000):
    print(line, "x" * 99)
    output.look()
    assert path.stat().st_size <= 3 * 4096, path.stat().st_size
assert path.read_text().splitlines()[-1].startswith("999 ")
"""


def test_a_job_that_prints_without_end_is_cut_while_it_runs(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", ENDLESS, tmp_path], capture_output=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.usefixtures("packages")
def test_a_full_disk_costs_the_words_and_not_the_job(tmp_path: Path) -> None:
    """A limit on the size of files stands for it: what is printed beyond it cannot be written."""
    with Daemon(tmp_path, limit_bytes=2000) as daemon:
        assert isinstance(daemon.do(assign(ask("repeat", "x" * 99, 400))), Finished)
        second = assign(ask("repeat", "y", 1))
        assert isinstance(daemon.do(second), Finished)
    assert printed(tmp_path, second.job)[-1] == "y"


def test_cutting_leaves_whole_lines_and_says_how_much_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "log"
    lines = [f"line {number:04d}\n" for number in range(1000)]
    path.write_text("".join(lines))
    with path.open("ab", buffering=0) as writer:
        cut(path, 1000)
        writer.write(b"after\n")
    kept = path.read_text().splitlines(keepends=True)
    gone = next(line for line in kept if line.startswith("["))
    at = kept.index(gone)
    assert kept[:at] == lines[:at]
    assert kept[at + 1 : -1] == lines[-(len(kept) - at - 2) :]
    assert kept[-1] == "after\n"
    assert int(gone.split()[0][1:]) == 10 * (1000 - at - (len(kept) - at - 2))
