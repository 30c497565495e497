"""A full disk, a disk that fails, a disk that takes no writes, and blobs that somebody removed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from orchestrator.knowledge import Knowledge
from orchestrator.ledger import Ledger
from orchestrator.observer import Silent
from store.blocks import KnowledgePool
from store.errors import StoreFull, StoreLocked
from store.lock import StoreLock, boot
from store.opening import Store
from store.records.events import AttemptFailed, CheckpointQuarantined, JobStarted, SearchOpened, WeightsPooled
from tests.orchestrator import builders
from tests.store.builders import asking, contribution, delivered, drawn, new_store, save
from tests.system import harness


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 4 MB; needs the right to mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False) if shutil.which("mount") else None
    if done is None or done.returncode != 0:
        pytest.skip(f"cannot mount a small tmpfs here: {done.stderr.strip() if done else 'no mount command'}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Leaves no page free; returns the file to remove."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(b"\0" * 4096)
            except OSError:
                return ballast


def test_a_pool_that_cannot_be_opened_for_want_of_room_is_opened_when_there_is_some(small_disk: Path) -> None:
    """The first question to a store's pool says in its format that there is one, which takes a page."""

    class Watching(Silent):
        said = anyio.Event()

        def waiting(self, reason: str | None) -> None:
            self.said.set()

    async def asked(store: Store) -> None:
        ballast = fill(small_disk)
        watching = Watching()
        ledger = Ledger(store.journal, watching, lambda error: None)
        with closing(Knowledge(store)) as knowledge, anyio.fail_after(30):
            with pytest.raises(StoreFull):
                await knowledge.match("a", asking(drawn(1)))
            async with anyio.create_task_group() as tasks:

                async def match() -> None:
                    found = await ledger.when_there_is_room(lambda: knowledge.match("a", asking(drawn(1))))
                    assert found.inheritance.hits == 0

                tasks.start_soon(match)
                await watching.said.wait()
                ballast.unlink()

    with new_store(small_disk / "store") as store:
        anyio.run(asked, store)


def test_a_pool_is_said_to_be_smaller_only_when_that_is_durable(small_disk: Path) -> None:
    folder = small_disk / "store"
    with new_store(folder) as store, closing(KnowledgePool.open(folder)) as pool:
        made = contribution(1, drawn(1), checkpoint=save(store.checkpoints))
        opened = SearchOpened(search="a", spec=builders.spec())
        pooled = WeightsPooled(search="a", call=1, contribution=made)
        pool.add(store.journal.append([opened, pooled]), "a", made)
    ballast = fill(small_disk)
    said = harness.coldframe("pool", "--store", str(folder), "--evict", "0", expected=74)
    assert "taken out" not in said
    assert "no room" in said
    ballast.unlink()
    assert "taken out" in harness.coldframe("pool", "--store", str(folder), "--evict", "0")


def test_a_journal_on_a_full_disk_refuses_and_goes_on_with_room(small_disk: Path) -> None:
    with new_store(small_disk / "store") as store:
        store.journal.append([delivered(0)])
        ballast = fill(small_disk)
        refused = 0
        while not refused:
            try:
                store.journal.append([delivered(store.journal.count)])
            except StoreFull:
                refused = store.journal.count
        ballast.unlink()
        assert store.journal.append([delivered(refused)]) == refused + 1
        assert [row.event.index for row in store.journal.rows()] == list(range(refused + 1))  # type: ignore[union-attr]


@pytest.mark.system
@pytest.mark.parametrize("occasion", [20, pytest.param(45, marks=pytest.mark.faults)])
def test_a_sync_that_fails_ends_the_search_with_74_and_it_ends_well_on_a_sound_disk(
    tmp_path: Path, occasion: int
) -> None:
    spec, store = harness.econas(tmp_path, cycles=1, epoch_seconds=0.0, more="retries = 50\n"), tmp_path / "store"
    strace = ["strace", "-f", "-b", "execve", "-qq", "-o", "/dev/null", "-e"]
    inject = f"inject=fdatasync:error=EIO:when={occasion}"
    command = [*strace, inject, sys.executable, "-m", "orchestrator.cli", "run", str(spec), "--store", str(store)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 74, done.stderr
    assert "Nothing more is acknowledged" in done.stderr
    assert "Traceback" not in done.stderr
    harness.assert_none_left(store)
    assert harness.run(spec, store)["status"] == "finished"
    whole = tmp_path / "whole"
    harness.run(spec, whole)
    assert harness.result(store) == harness.result(whole)


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_blobs_that_somebody_removed_are_missed_before_training_and_an_earlier_checkpoint_is_used(
    tmp_path: Path,
) -> None:
    """Both files of a pack are gone; the promotion that would go on from it is made from the start."""
    store = tmp_path / "store"
    harness.run(harness.econas(tmp_path, cycles=1, epoch_seconds=0.0), store)
    for pack in [path.parent for path in (store / "blobs" / "packs").rglob("zarr.json")]:
        shutil.rmtree(pack)
    assert harness.run(harness.econas(tmp_path, cycles=2, epoch_seconds=0.0), store)["status"] == "finished"
    whole = tmp_path / "whole"
    harness.run(harness.econas(tmp_path, cycles=2, epoch_seconds=0.0), whole)
    assert harness.result(store) == harness.result(whole)
    seen = harness.events(store)
    lost = [event.checkpoint for event in seen if isinstance(event, CheckpointQuarantined)]
    assert lost
    assert {e.reason for e in seen if isinstance(e, AttemptFailed)} == {"corrupt_checkpoint"}
    since = next(place for place, event in enumerate(seen) if isinstance(event, CheckpointQuarantined))
    assert any(event.checkpoint is None for event in seen[since:] if isinstance(event, JobStarted))


@pytest.mark.parametrize(
    "change",
    [{"pid": 1}, {"started": 1}, {"boot": "another"}, {"host": "elsewhere"}, {"purpose": "gc"}],
    ids=lambda change: next(iter(change)),
)
def test_a_forged_note_beside_the_lock_stops_nobody(tmp_path: Path, change: dict[str, object]) -> None:
    """The lock is the kernel's: the note only says who held it, here a process that lives."""
    note = {"pid": os.getppid(), "host": os.uname().nodename, "boot": boot(), "started": 0, "purpose": "write"}
    (tmp_path / "lock").write_text(json.dumps(note | change))
    began = time.monotonic()
    with StoreLock(tmp_path):
        assert json.loads((tmp_path / "lock").read_bytes())["pid"] == os.getpid()
        with pytest.raises(StoreLocked, match=f"process {os.getpid()}"):
            StoreLock(tmp_path)
    assert time.monotonic() - began < 5
