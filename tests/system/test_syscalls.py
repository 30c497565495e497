"""SIGKILL in the middle of a system call, by strace: at writes, fsyncs and renames of the daemon and of its workers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system import harness

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

# strace counts anew for each process: every worker that takes the place of a killed one is killed too.
RETRIES = "retries = 50\n"


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    harness.run(harness.econas(folder, cycles=1, epoch_seconds=0.0), folder / "store")
    return folder / "store"


@pytest.fixture
def strace() -> str:
    found = shutil.which("strace")
    if found is None:
        pytest.skip("strace is not installed")
    probe = subprocess.run([found, "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        pytest.skip(f"strace may not trace here: {probe.stderr.strip()}")
    return found


@pytest.mark.parametrize(
    ("calls", "occasion"),
    [
        ("fdatasync", 1), ("fdatasync", 4), ("fdatasync", 12), ("fdatasync", 25),
        ("fsync", 2), ("fsync", 7), ("fsync", 20),
        ("rename,renameat,renameat2", 1), ("rename,renameat,renameat2", 5), ("rename,renameat,renameat2", 12),
        ("pwrite64", 3), ("pwrite64", 30), ("pwrite64", 90),
        ("unlink,unlinkat,rmdir", 1),
    ],
)  # fmt: skip
def test_a_process_killed_inside_a_system_call_loses_nothing(
    tmp_path: Path, reference: Path, strace: str, calls: str, occasion: int
) -> None:
    spec, store = harness.econas(tmp_path, cycles=1, epoch_seconds=0.0, more=RETRIES), tmp_path / "store"
    command = [strace, "-f", "-qq", "-o", "/dev/null", "-e", f"inject={calls}:signal=SIGKILL:when={occasion}"]
    command += [sys.executable, "-m", "orchestrator.cli", "run", str(spec), "--store", str(store), "--json"]
    subprocess.run(command, capture_output=True, timeout=200, check=False)
    harness.assert_none_left(store)
    assert harness.run(spec, store)["status"] == "finished"
    assert harness.result(store) == harness.result(reference)
    assert harness.checkpoints(store) == harness.checkpoints(reference)
    assert json.loads(harness.coldframe("check", "--store", str(store), "--json"))["problems"] == []
