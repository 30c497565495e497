"""Workers that an earlier daemon left behind are ended, and nobody else is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from orchestrator.leftovers import end_leftovers

pytestmark = pytest.mark.timeout(60)
# Says its pid, lets go of its parent, and is deaf to all that can be ignored.
ORPHAN = (
    "import os, signal, sys, time\n"
    "if os.fork(): os._exit(0)\n"
    "os.setsid(); signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print(os.getpid(), flush=True); os.close(1); os.close(2)\n"
    "time.sleep(120)\n"
)


def orphan(store: Path, module: str = "trainers.worker") -> psutil.Process:
    command = [sys.executable, "-c", ORPHAN, module, "--store", str(store)]
    return psutil.Process(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


@pytest.fixture
def kept() -> Iterator[list[psutil.Process]]:
    """Processes that must not be touched; they are ended with the test."""
    found: list[psutil.Process] = []
    yield found
    for process in found:
        process.kill()


async def test_a_worker_of_an_earlier_daemon_is_gone_before_anything_is_started(tmp_path: Path) -> None:
    found = [orphan(tmp_path), orphan(tmp_path)]
    assert await end_leftovers(tmp_path) == []
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in found)


async def test_workers_of_other_stores_and_other_processes_are_left_alone(
    tmp_path: Path, kept: list[psutil.Process]
) -> None:
    kept += [orphan(tmp_path / "other"), orphan(tmp_path, module="orchestrator.cli")]
    assert await end_leftovers(tmp_path) == []
    assert all(process.is_running() for process in kept)
