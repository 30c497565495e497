"""Folders of decoded images: one holder at a time, and garbage when nobody has opened them for a while."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from store import caches, check, gc
from store.checkpoints import CheckpointStore
from store.opening import Store

WEEK = 7 * 24 * 3600.0


@pytest.fixture
def store(tmp_path: Path) -> Path:
    Store.open(tmp_path / "store", write=True, create=True).close()
    return tmp_path / "store"


def _cache(store: Path, name: str, days: float) -> Path:
    """A cache of 8,192 bytes that was last opened some days ago."""
    folder = store / "cache" / name
    with caches.held(folder, lambda: None):
        (folder / "pixels").write_bytes(b"\1" * 8192)
    then = time.time() - days * 24 * 3600
    for path in (*folder.iterdir(), folder):
        os.utime(path, (then, then))
    return folder


def test_caches_that_nobody_has_opened_for_a_week_are_garbage(store: Path) -> None:
    old, young, opened = _cache(store, "old", 8), _cache(store, "young", 6), _cache(store, "opened", 80)
    caches.used(opened)
    dry = gc.collect(store)
    assert (dry.caches_removed, dry.caches_kept) == (1, 2)
    assert dry.cache_bytes_freed >= 8192
    assert dry.cache_bytes_kept >= 2 * 8192
    assert old.exists()
    done = gc.collect(store, dry_run=False)
    assert done == dry.model_copy(update={"dry_run": False})
    assert [folder.exists() for folder in (old, young, opened)] == [False, True, True]
    assert list((store / "tmp").iterdir()) == []


def test_a_cache_that_is_being_made_is_no_garbage(store: Path) -> None:
    folder = _cache(store, "old", 30)
    with caches.held(folder, lambda: None):
        os.utime(folder / "lock", (0, 0))
        assert gc.collect(store, dry_run=False).caches_kept == 1
    assert (folder / "pixels").exists()
    assert gc.collect(store, dry_run=False).caches_removed == 1


def test_a_store_without_caches_has_none(store: Path) -> None:
    report = gc.collect(store)
    assert (report.caches_kept, report.caches_removed, report.cache_bytes_kept) == (0, 0, 0)


def test_a_check_does_not_stumble_over_caches(store: Path) -> None:
    _cache(store, "0", 1)
    assert check.check(store).clean
    CheckpointStore(store, read_only=True).close()


_HOLDER = """
import sys
from pathlib import Path
from store import caches
with caches.held(Path(sys.argv[1]), lambda: None):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_cache_has_one_holder_and_the_kernel_frees_it_when_that_one_dies(store: Path) -> None:
    folder, asked = store / "cache" / "0", 0
    command = [sys.executable, "-c", _HOLDER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"

        def waiting() -> None:
            nonlocal asked
            asked += 1
            if asked == 2:
                holder.kill()

        with caches.held(folder, waiting):
            assert asked >= 2


def test_whoever_waited_for_a_cache_that_was_collected_makes_it_anew(store: Path) -> None:
    folder = store / "cache" / "0"
    command = [sys.executable, "-c", _HOLDER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"

        def waiting() -> None:
            folder.rename(store / "tmp" / "collected")
            holder.kill()
            holder.wait()

        with caches.held(folder, waiting):
            assert (folder / "lock").exists()
