"""The store under `coldframe serve`: killed inside its system calls, and collected while searches run."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from store.check import check
from store.opening import Store
from store.records.events import CheckpointQuarantined, SearchSubmitted
from tests.faults import serving
from tests.faults.serving import Daemon
from tests.system import harness

JOURNAL = [
    *(("pwrite64", number) for number in range(43, 100, 8)),
    *(("fdatasync", number) for number in range(3, 33, 4)),
]
"""Calls of the journal's thread while a search runs: the thread that opens a known store makes fewer."""
START = [("fsync", 3), ("fsync", 8), ("fsync", 12), ("rename,renameat,renameat2", 1), ("unlink,unlinkat", 1)]
"""Calls of the thread that makes a new store."""


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    harness.run(serving.spec(folder, "small", epoch_seconds=0.0, retries=50), folder / "store")
    return folder / "store"


@pytest.mark.system
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("calls", "occasion"),
    [("fdatasync", 20), *(pytest.param(*each, marks=pytest.mark.faults) for each in JOURNAL + START)],
)
def test_a_daemon_killed_inside_a_system_call_loses_nothing(
    tmp_path: Path, reference: Path, calls: str, occasion: int
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    inject = ["-e", f"trace={calls}", "-e", f"inject={calls}:signal=SIGKILL:when={occasion}"]
    daemon = Daemon(tmp_path, before=["strace", "-f", "-b", "execve", "-qq", "-o", "/dev/null", *inject])
    if (calls, occasion) not in START:
        Store.open(daemon.store, write=True, create=True).close()
    process = daemon.spawn()
    spec = serving.spec(tmp_path, "small", epoch_seconds=0.0, retries=50)
    until = time.monotonic() + 100
    asked = submitted = False
    while process.poll() is None and time.monotonic() < until:
        if not submitted and daemon.answers():
            asked = True
            with suppress(httpx.TransportError):  # it died while it answered
                daemon.submit(spec)
                submitted = True
        elif submitted and serving.results(daemon.store):
            daemon.kill()
            pytest.fail("the search ended before the daemon came to that call")
    assert asked == ((calls, occasion) not in START)
    harness.assert_none_left(daemon.store)
    daemon.before = []
    with daemon:
        search = daemon.submit(spec)
        daemon.until_ended(search)
        assert daemon.stop() == 0
    assert serving.results(daemon.store)[search] == harness.result(reference)
    assert harness.checkpoints(daemon.store) == harness.checkpoints(reference)
    assert len([event for event in harness.events(daemon.store) if isinstance(event, SearchSubmitted)]) >= 1
    serving.assert_clean(daemon.store)


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_garbage_is_collected_while_searches_run_and_they_end_as_they_would_have(tmp_path: Path) -> None:
    """Everything that is stored looks old, so that only what is needed protects it."""
    spec = serving.spec(tmp_path, "running", candidates=6, epochs=6, epoch_seconds=0.25)
    whole = tmp_path / "whole"
    with Daemon(tmp_path) as daemon:
        search = daemon.submit(spec)
        removed = 0
        while daemon.status(search) != "finished":
            for path in (*(daemon.store / "manifests").rglob("*"), *(daemon.store / "blobs" / "packs").rglob("*")):
                if path.exists() and path.stat().st_mtime < time.time() - 1.5:
                    os.utime(path, (time.time() - 10_000,) * 2)
            removed += daemon.post("/v1/gc", {"delete": True, "grace_seconds": 0})["manifests_removed"]
            assert daemon.post("/v1/check")["problems"] == []
        assert removed > 0
        assert daemon.stop() == 0
    harness.run(spec, whole)
    assert serving.results(daemon.store)[search] == harness.result(whole)
    assert not [event for event in harness.events(daemon.store) if isinstance(event, CheckpointQuarantined)]
    assert check(daemon.store).clean
