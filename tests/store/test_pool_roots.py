"""What only the pool needs: gc keeps just that, check looks for it, and no older coldframe touches it."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from store import format as store_format
from store.blocks import KnowledgePool
from store.check import check
from store.errors import BlobMissing, UnsupportedFormat
from store.format import Operation
from store.gc import collect
from store.opening import Store
from store.records.events import CheckpointQuarantined, WeightsPooled
from tests.store.builders import contribution, drawn, equal, flip, new_store, save, saved, state


def names(*blocks: int) -> frozenset[str]:
    """The names of blocks of the small network that `save` saves."""
    return frozenset(f"cells.{block}" for block in blocks)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store in which nothing but the pool needs a checkpoint, and of it only the blocks 1 and 2; all of it is old."""
    with new_store(tmp_path) as store:
        pooled, newest = save(store.checkpoints, epoch=1), save(store.checkpoints, epoch=2)
        store.journal.append([saved(pooled, epoch=1), saved(newest, epoch=2)])
        made = contribution(1, drawn(1), checkpoint=pooled)
        made = made.model_copy(update={"blocks": made.blocks[1:3]})
        row = store.journal.append([WeightsPooled(search="a", call=0, contribution=made)])
        pool = KnowledgePool.open(tmp_path)
        pool.add(row, "a", made, dict.fromkeys(names(1, 2), 100))
        pool.close()
    then = time.time() - 10_000
    for path in (*(tmp_path / "blobs" / "packs").rglob("*"), *(tmp_path / "manifests").rglob("*")):
        os.utime(path, (then, then))
    return tmp_path


def pooled(folder: Path) -> str:
    """The checkpoint that the pool names."""
    (digest,) = KnowledgePool.open(folder, read_only=True).manifests()
    return digest


def kept(folder: Path, digest: str) -> set[tuple[str, str]]:
    """Role and name of those blocks of weights that can be read; the counts are shared with the other checkpoint."""
    found = set()
    with Store.open(folder, write=False) as store:
        for part in store.checkpoints.manifest(digest).blocks:
            if part.dtype != "float32":
                continue
            try:
                store.blobs.get([part.blob])
            except BlobMissing:
                continue
            found.add((part.role, part.block))
    return found


def test_of_a_checkpoint_that_only_the_pool_needs_its_blocks_of_the_model_stay(folder: Path) -> None:
    digest = pooled(folder)
    before = kept(folder, digest)
    dry = collect(folder)
    assert (dry.manifests_removed, dry.manifests_kept, dry.packs_rewritten) == (0, 2, 1)
    assert kept(folder, digest) == before
    assert collect(folder, dry_run=False).bytes_freed == dry.bytes_freed > 0
    assert kept(folder, digest) == {("model", "cells.1"), ("model", "cells.2")}
    with Store.open(folder, write=False) as store:
        tensors = store.checkpoints.load_blocks(digest, names(1, 2))
    expected = {block: tensors_of for block, tensors_of in state(1)["model"].items() if block in names(1, 2)}
    assert equal(tensors, expected)
    assert check(folder).clean, "what else the checkpoint had is not missed"
    assert check(folder).pool_entries == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: flip(path, path.stat().st_size // 2),
        lambda path: path.write_bytes(path.read_bytes()[:-3]),
    ],
    ids=["missing", "flipped", "cut"],
)
def test_a_pool_whose_file_is_behind_or_damaged_protects_what_the_journal_names(
    folder: Path, spoil: Callable[[Path], None]
) -> None:
    digest = pooled(folder)
    spoil(folder / "pool" / "entries")
    collect(folder, dry_run=False)
    assert kept(folder, digest) == {("model", "cells.1"), ("model", "cells.2")}


def test_what_the_pool_gave_up_is_collected(folder: Path) -> None:
    digest = pooled(folder)
    pool = KnowledgePool.open(folder)
    pool.forget([digest])
    pool.close()
    assert collect(folder, dry_run=False).manifests_removed == 1
    with Store.open(folder, write=False) as store:
        assert digest not in store.checkpoints.digests()


def test_what_was_pooled_and_then_quarantined_is_collected_though_the_pool_did_not_hear_of_it(folder: Path) -> None:
    with Store.open(folder, write=True) as store:
        store.journal.append([CheckpointQuarantined(checkpoint=pooled(folder), blobs=(), message="")])
    assert collect(folder, dry_run=False).manifests_removed == 1
    assert check(folder).pool_entries == 0


def test_check_tells_of_entries_whose_checkpoint_is_gone(folder: Path) -> None:
    digest = pooled(folder)
    (folder / "manifests" / digest[:2] / digest).unlink()
    (problem,) = check(folder).problems
    assert (problem.kind, problem.where) == ("pool", digest)
    assert "cells.1, cells.2" in problem.message


def test_check_tells_of_entries_whose_blocks_are_gone(folder: Path) -> None:
    digest = pooled(folder)
    with Store.open(folder, write=False) as store:
        (blob,) = {
            part.blob
            for part in store.checkpoints.manifest(digest).blocks
            if (part.role, part.block, part.dtype) == ("model", "cells.2", "float32")
        }
        pack = store.blobs.packs / store.blobs.index.find([blob])[blob][0].pack[:2]
    shutil.rmtree(pack)
    (problem,) = (problem for problem in check(folder).problems if problem.kind == "pool")
    assert problem.where == digest
    assert "are not there: cells.1, cells.2" in problem.message


def test_check_tells_of_a_damaged_file_and_changes_nothing(folder: Path) -> None:
    path = folder / "pool" / "entries"
    flip(path, path.stat().st_size // 2)
    before = path.read_bytes()
    (problem,) = check(folder).problems
    assert (problem.kind, problem.where) == ("pool", str(path))
    assert "made anew from the journal" in problem.message
    assert path.read_bytes() == before


@pytest.mark.parametrize("lost", [True, False], ids=["lost", "damaged"])
def test_what_a_quota_took_is_not_missed_when_the_file_that_said_so_is_gone(folder: Path, lost: bool) -> None:
    pool = KnowledgePool.open(folder)
    assert pool.evict(0, ()).entries == 2
    pool.close()
    assert collect(folder, dry_run=False).manifests_removed == 1
    path = folder / "pool" / "entries"
    path.unlink() if lost else flip(path, path.stat().st_size // 2)
    assert [problem.where for problem in check(folder).problems] == ([] if lost else [str(path)])


def features(folder: Path) -> dict[str, list[str]]:
    """What the store's format asks for."""
    found: dict[str, list[str]] = json.loads((folder / "format").read_text())["features"]
    return found


@pytest.mark.parametrize("operation", ["read", "write", "check", "gc"])
def test_a_coldframe_that_knows_no_pool_leaves_a_store_with_one_alone(
    folder: Path, operation: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_format.require(folder, operation)
    monkeypatch.setattr(store_format, "FEATURES", store_format.FEATURES - {store_format.POOL})
    with pytest.raises(UnsupportedFormat, match=f"{operation} needs knowledge-pool"):
        store_format.require(folder, operation)


def test_a_store_without_a_pool_stays_as_it_is(tmp_path: Path) -> None:
    new_store(tmp_path).close()
    before = (tmp_path / "format").read_bytes()
    KnowledgePool.open(tmp_path, read_only=True).close()
    assert (tmp_path / "format").read_bytes() == before
    assert all(store_format.POOL not in needed for needed in features(tmp_path).values())
    assert not (tmp_path / "pool").exists()


def test_what_a_format_says_beside_the_pool_stays(tmp_path: Path) -> None:
    new_store(tmp_path).close()
    path = tmp_path / "format"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"features": {"read": ["chained-journal"], "write": []}}))
    store_format.add_feature(tmp_path, store_format.POOL)
    pool = [store_format.POOL]
    assert features(tmp_path) == {"read": ["chained-journal", *pool], "write": pool, "check": pool, "gc": pool}
