"""The folder of an export: whole or not at all, also after a SIGKILL; and what `--force` may replace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainers.errors import ExportRefused
from trainers.export import folder

# Exports into each folder in a process that kills itself while it writes, or where it calls something. Forked, to
# import once; not out of pytest, which has threads.
KILLED = """
import json, os, shutil, signal, sys
from pathlib import Path
from trainers.export import folder

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def export(out, moment, exchanges):
    if not exchanges:
        folder.exchange = lambda *_: False
    if moment == "synced":
        folder._sync = kill
    elif moment == "in place":
        folder.sync_folder = lambda path: kill() if path == out.parent else None
    elif moment == "swept":
        shutil.rmtree = kill
    with folder.drafted(out, force=True) as draft:
        (draft / "network.py").write_text("new")
        if moment == "half":
            kill()
        (draft / "card.json").write_text("new")

for out, moment, exchanges in json.loads(sys.argv[1]):
    child = os.fork()
    if child == 0:
        try:
            export(Path(out), moment, exchanges)
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL, (out, moment, exchanges)
"""


def old_export(out: Path) -> None:
    out.mkdir()
    for name in ("network.py", "card.json"):
        (out / name).write_text("old")


def found(out: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in out.iterdir()} if out.exists() else {}


OLD, NEW = ({"network.py": age, "card.json": age} for age in ("old", "new"))


def test_a_kill_leaves_the_old_export_or_the_new_one_or_nothing(tmp_path: Path) -> None:
    moments: list[tuple[str, dict[str, str], dict[str, str]]] = [
        ("half", {}, {}),
        ("synced", {}, {}),
        ("in place", {}, NEW),
    ]
    moments += [("half", OLD, OLD), ("synced", OLD, OLD), ("in place", OLD, NEW), ("swept", OLD, NEW)]
    cases = [(*moment, exchanges) for moment in moments for exchanges in (True, False)]
    outs = [tmp_path / str(number) / "out" for number in range(len(cases))]
    for out, (_, before, _, _) in zip(outs, cases, strict=True):
        out.parent.mkdir()
        if before:
            old_export(out)
    exports = [(str(out), moment, exchanges) for out, (moment, _, _, exchanges) in zip(outs, cases, strict=True)]
    subprocess.run([sys.executable, "-c", KILLED, json.dumps(exports)], check=True)
    for out, case in zip(outs, cases, strict=True):
        assert found(out) == case[2], case
        others = [path.name for path in out.parent.iterdir() if path != out]
        assert all(name.startswith(".out-") and name.endswith(".draft") for name in others), case


def test_two_folders_change_places_in_one_step_or_it_is_said_that_they_cannot(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    exchanged = folder.exchange(tmp_path / "one", tmp_path / "two")
    assert os.listdir(tmp_path / "one") == (["two"] if exchanged else ["one"])
    with pytest.raises(FileNotFoundError, match="gone") if exchanged else pytest.raises(AssertionError):
        assert folder.exchange(tmp_path / "one", tmp_path / "gone")


def test_where_they_cannot_a_new_export_that_gets_no_place_gives_it_back_to_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, rename = tmp_path / "out", Path.rename
    old_export(out)

    def failing(self: Path, target: Path) -> Path:
        if (self / "new").exists():
            raise PermissionError(13, "Permission denied", str(self))
        return rename(self, target)

    monkeypatch.setattr(folder, "exchange", lambda *_: False)
    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(PermissionError), folder.drafted(out, force=True) as draft:
        (draft / "new").touch()
    assert found(out) == OLD
    assert list(tmp_path.iterdir()) == [out]


def test_force_does_not_delete_what_no_export_has(tmp_path: Path) -> None:
    old_export(tmp_path / "out")
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(ExportRefused, match=r"out has an export and also thesis\.tex, which --force would delete"):
        folder.check(tmp_path / "out", force=True)
    (tmp_path / "out" / "thesis.tex").rename(tmp_path / "out" / "__pycache__")
    folder.check(tmp_path / "out", force=True)
