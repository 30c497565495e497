"""The recipes of docs/operations.md for backups, with daemons that train meanwhile."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from store.journal import Journal
from store.opening import Store
from store.records.events import AnyEvent, CheckpointSaved
from tests.deploy.files import DEPLOY
from tests.faults import serving
from tests.store.builders import delivered, save
from tests.system import harness

PROGRAM = DEPLOY / "backup.py"


def backup(store: Path, destination: Path, expected: int = 0) -> str:
    """Runs the program as the page says, with nothing but a Python."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(PROGRAM), str(store), str(destination)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == expected, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.faults
def test_a_backup_of_a_daemon_that_trains_is_restored_and_ends_with_the_same_result(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    copy = tmp_path / "backup"
    with serving.Daemon(tmp_path / "first") as daemon:
        search = daemon.submit(serving.spec(tmp_path, "kept", candidates=12, epochs=5, epoch_seconds=0.4))
        for least in (5, 20):  # the second adds what is new
            daemon.until_events(partial(_has_saved, least))
            assert "new files" in backup(daemon.store, copy)
        assert serving.results(copy) == {}, "the backup was made too late"
        assert _saved(harness.events(copy)) >= 20
        assert json.loads(harness.coldframe("check", "--store", str(copy), "--json"))["problems"] == []
        daemon.until_ended(search)
        undisturbed = serving.results(daemon.store)
        assert daemon.stop() == 0
    restored = serving.Daemon(tmp_path / "second")
    shutil.copytree(copy, restored.store)
    with restored:
        restored.until_ended(search)
        assert restored.stop() == 0
    assert serving.results(restored.store) == undisturbed
    assert max(harness.epochs_committed(restored.store).values()) == 1  # nothing that the backup had was trained again
    serving.assert_clean(restored.store)


def test_a_backup_holds_what_was_acknowledged_and_never_less_than_the_one_before(tmp_path: Path) -> None:
    source, copy = tmp_path / "store", tmp_path / "backup"
    with Store.open(source, write=True, create=True) as store:
        for number in range(1, 4):
            store.journal.append([delivered(number)])
            backup(source, copy)
            taken = Journal(copy, read_only=True)
            assert taken.count == number
            taken.close()
            with Store.open(copy, write=True):  # as a restored one; what SQLite leaves beside it does not stay
                pass


def test_a_backup_that_is_killed_leaves_the_one_before(tmp_path: Path) -> None:
    source, copy = tmp_path / "store", tmp_path / "backup"
    with Store.open(source, write=True, create=True) as store:
        store.journal.append([delivered(1)])
        backup(source, copy)
        store.journal.append([delivered(2)])
        (source / "manifests" / "ab").mkdir()
        (source / "manifests" / "ab" / "unreadable").symlink_to(tmp_path / "loop")
        (tmp_path / "loop").symlink_to(source / "manifests" / "ab" / "unreadable")
        assert "Error" in backup(source, copy, expected=1)
    taken = Journal(copy, read_only=True)
    assert taken.count == 1
    taken.close()


def test_what_is_removed_meanwhile_is_noticed_and_the_journal_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, copy = tmp_path / "store", tmp_path / "backup"
    loaded = importlib.util.spec_from_file_location("backup", PROGRAM)
    assert loaded is not None
    assert loaded.loader is not None
    program = importlib.util.module_from_spec(loaded)
    loaded.loader.exec_module(program)
    copy_journal = program.copy_journal
    with Store.open(source, write=True, create=True) as store:
        digests = [save(store.checkpoints, seed) for seed in range(5)]

        def collecting(journal: Path, target: Path) -> None:
            """What a collection of garbage by the daemon would do just then."""
            copy_journal(journal, target)
            if removals:
                store.checkpoints.path(removals.pop()).unlink()
                store.journal.append([delivered(len(removals))])

        monkeypatch.setattr(program, "copy_journal", collecting)
        removals = digests[:2]
        assert program.backup(source, copy)[1] == 2
        taken = Journal(copy, read_only=True)
        assert taken.count == store.journal.count == 2
        taken.close()
        removals = digests[2:]
        assert program.backup(source, copy)[1] == program.TRIES


def test_whoever_names_something_else_than_a_store_is_told_how(tmp_path: Path) -> None:
    assert "usage: backup.py STORE DESTINATION" in backup(tmp_path, tmp_path / "there", expected=1)
    assert not (tmp_path / "there").exists()


def _has_saved(least: int, events: list[AnyEvent]) -> bool:
    return _saved(events) >= least


def _saved(events: list[AnyEvent]) -> int:
    return sum(isinstance(event, CheckpointSaved) for event in events)
