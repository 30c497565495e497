"""One writer at a time, and the second hears who the first is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from store.errors import StoreLocked
from store.lock import StoreLock
from tests.store.builders import child, finish


def test_a_second_writer_is_refused_and_told_the_pid(tmp_path: Path) -> None:
    holder = child("hold_lock", tmp_path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(StoreLocked, match=f"process {holder.pid} on .* `kill {holder.pid}`") as error:
        StoreLock(tmp_path)
    assert (error.value.pid, error.value.exit_code) == (holder.pid, 2)
    holder.communicate("done\n", timeout=30)
    StoreLock(tmp_path).release()


def test_a_killed_holder_blocks_nobody(tmp_path: Path) -> None:
    holder = child("hold_lock", tmp_path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.send_signal(signal.SIGKILL)
    holder.communicate(timeout=30)
    assert json.loads((tmp_path / "lock").read_bytes())["pid"] == holder.pid
    with StoreLock(tmp_path):
        assert json.loads((tmp_path / "lock").read_bytes())["pid"] == os.getpid()


def test_a_stale_note_that_names_a_living_process_blocks_nobody(tmp_path: Path) -> None:
    """After a reboot a pid may belong to somebody else."""
    (tmp_path / "lock").write_text(json.dumps({"pid": 1, "host": "elsewhere", "boot": "another", "started": 1}))
    with StoreLock(tmp_path):
        assert json.loads((tmp_path / "lock").read_bytes())["pid"] == os.getpid()


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b'{"pid": "x"}', b"\xff" * 9000])
def test_an_unreadable_note_still_refuses_the_second(tmp_path: Path, note: bytes) -> None:
    with StoreLock(tmp_path):
        (tmp_path / "lock").write_bytes(note)
        with pytest.raises(StoreLocked, match="another process") as error:
            StoreLock(tmp_path)
    assert error.value.pid is None


def test_the_note_of_another_host_does_not_suggest_a_kill(tmp_path: Path) -> None:
    with StoreLock(tmp_path):
        (tmp_path / "lock").write_text(json.dumps({"pid": 7, "host": "elsewhere", "boot": "another"}))
        with pytest.raises(StoreLocked, match="process 7 on elsewhere") as error:
            StoreLock(tmp_path)
    assert "kill" not in str(error.value)


def test_a_program_that_the_holder_started_does_not_keep_the_lock(tmp_path: Path) -> None:
    lock = StoreLock(tmp_path)
    sleeper = subprocess.Popen(
        [sys.executable, "-c", "print('up', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        close_fds=False,
    )
    assert sleeper.stdout is not None
    assert sleeper.stdout.readline() == "up\n"
    lock.release()
    lock.release()
    StoreLock(tmp_path).release()
    sleeper.communicate("\n", timeout=30)


def test_a_second_daemon_on_a_store_is_refused(tmp_path: Path) -> None:
    with StoreLock(tmp_path):
        (tmp_path / "tmp").mkdir()
        (line,) = finish(child("open_for_writing", tmp_path))
    assert line.startswith("StoreLocked")
    assert f"process {os.getpid()} on" in line
