"""Real processes, killed or starved of space in the middle of writing: what was acknowledged is there."""

from __future__ import annotations

import random
import re
import signal
import subprocess
from pathlib import Path

import pytest

from store.check import check
from store.checkpoints import CheckpointStore
from store.journal import Journal
from store.journal_table import NAME
from store.opening import Store
from tests.store.builders import child, finish, new_store

FILE = re.compile(r"(\w+)\(\d+</\S*/([^/>]+)>")


def kill_after(process: subprocess.Popen[str], lines: int) -> list[str]:
    """Reads so many lines, kills, and returns all lines that the child got out."""
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(lines)]
    process.send_signal(signal.SIGKILL)
    rest, err = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL, err
    return [line.strip() for line in said + rest.splitlines(keepends=True) if line.endswith("\n")]


def test_no_acknowledged_row_is_lost_to_a_kill(tmp_path: Path) -> None:
    draw = random.Random(5)
    rows = 0
    for _ in range(4):
        acknowledged = kill_after(child("append", tmp_path), draw.randrange(1, 60))
        journal = Journal(tmp_path)
        assert journal.count >= int(acknowledged[-1]) > rows
        rows = journal.count
        indices = [row.event.index for row in journal.rows()]  # type: ignore[union-attr]
        assert indices == list(range(rows)), "no gap, nothing twice, nothing out of order"
        journal.close()


def test_no_saved_checkpoint_is_lost_to_a_kill(tmp_path: Path) -> None:
    new_store(tmp_path).close()
    draw = random.Random(6)
    for _ in range(3):
        kill_after(process := child("save_for_ever", tmp_path), draw.randrange(1, 25))
        assert process.returncode == -signal.SIGKILL
        checkpoints = CheckpointStore(tmp_path)
        # Every manifest that is there is whole: it is written after its blocks.
        assert all(checkpoints.load(digest).manifest for digest in checkpoints.digests())
        checkpoints.close()
    with Store.open(tmp_path, write=True):
        pass
    assert check(tmp_path).clean


def test_every_checkpoint_that_save_returned_can_be_loaded_after_a_kill(tmp_path: Path) -> None:
    said = kill_after(child("save_for_ever", tmp_path), 30)
    checkpoints = CheckpointStore(tmp_path, read_only=True)
    assert len({checkpoints.load(digest).manifest.epoch for digest in said}) > 10


def test_where_there_is_no_room_nothing_acknowledged_is_lost_and_it_goes_on_with_room(tmp_path: Path) -> None:
    acknowledged = [int(line) for line in finish(child("fill", tmp_path, 200_000))]
    assert acknowledged[1] > 10
    assert acknowledged[2] == acknowledged[1] + 1, "a refused event is not in the journal"
    journal = Journal(tmp_path)
    assert [row.event.index for row in journal.rows()] == list(range(acknowledged[2]))  # type: ignore[union-attr]
    journal.close()


@pytest.mark.system
def test_each_acknowledgement_follows_a_sync_of_the_log_and_then_of_the_head(tmp_path: Path) -> None:
    """Guards against `synchronous=NORMAL`, which acknowledges what a power loss takes back."""
    trace = tmp_path / "trace"
    under = ("strace", "-f", "-y", "-qq", "-e", "trace=write,fsync,fdatasync", "-o", str(trace))
    folder = tmp_path / "store"
    folder.mkdir()
    assert finish(child("append_some", folder, 5, under=under)) == ["1", "2", "3", "4", "5"]
    synced: set[str] = set()
    acknowledged = 0
    for line in trace.read_text().splitlines():
        if "sync(" in line and (found := FILE.search(line)):
            synced.add(found.group(2))
        elif re.search(r"write\(1<.*?>, \"\d+\\n\"", line):
            assert {f"{NAME}-wal", "journal.head"} <= synced
            synced.clear()
            acknowledged += 1
    assert acknowledged == 5


@pytest.mark.system
@pytest.mark.parametrize("call", ["pwrite64", "fdatasync", "fsync"])
def test_a_kill_at_any_write_or_sync_of_the_journal_loses_nothing_acknowledged(tmp_path: Path, call: str) -> None:
    for number in range(1, 30, 3):
        folder = tmp_path / str(number)
        folder.mkdir()
        under = ("strace", "-f", "-qq", "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={number}")
        out, _ = child("append_some", folder, 8, under=under).communicate(timeout=60)
        acknowledged = len(out.splitlines())
        journal = Journal(folder)
        assert acknowledged <= journal.count <= acknowledged + 1
        journal.close()


@pytest.mark.system
@pytest.mark.parametrize("call", ["fdatasync", "fsync"])
def test_a_sync_that_fails_ends_the_journal_and_loses_nothing_acknowledged(tmp_path: Path, call: str) -> None:
    endings = set()
    for number in range(1, 14, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        under = ("strace", "-f", "-qq", "-e", f"trace={call}", "-e", f"inject={call}:error=EIO:when={number}")
        lines = finish(child("append_some", folder, 8, under=under))
        endings.add(lines[-1])
        acknowledged = sum(line.isdigit() for line in lines)
        journal = Journal(folder)
        assert acknowledged <= journal.count <= acknowledged + 1
        journal.close()
    assert endings & {"JournalFailed 74", "StoreFailed 74"}
    assert endings <= {"JournalFailed 74", "StoreFailed 74", "8"}
