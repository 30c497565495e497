from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from orchestrator.metrics import sizes
from orchestrator.metrics.sizes import Scales
from store.opening import Store
from tests.orchestrator.metrics.desk import store_in


def saved(store: Store, epoch: int, value: float) -> str:
    """A checkpoint of 8 KiB: half of it the same in all."""
    blocks = {"same": {"w": np.zeros(1024, "f4")}, "own": {"w": np.full(1024, value, "f4")}}
    return store.checkpoints.save(
        candidate="c" * 64, epoch=epoch, step=0, history=(), sums={}, position="{}", tensors={"model": blocks}
    )


def test_every_file_counts_once_where_it_belongs(tmp_path: Path) -> None:
    with store_in(tmp_path) as store:
        (store.folder / "logs" / "jobs").mkdir(parents=True)
        (store.folder / "logs" / "jobs" / "one.log").write_bytes(b"x" * 100_000)
        (store.folder / "cache").mkdir()
        (store.folder / "cache" / "pixels").write_bytes(b"x" * 50_000)
        saved(store, 1, 1.0)
        measured = Scales(store.folder, store.checkpoints).measure()
    by_kind = measured.by_kind
    assert 100_000 <= by_kind["logs"] < 110_000
    assert 50_000 <= by_kind["cache"] < 60_000
    assert min(by_kind[kind] for kind in ("blobs", "manifests", "journal", "other")) > 0
    assert by_kind["pool"] == 0
    assert measured.manifests == 1
    assert measured.disk_total is not None
    assert measured.disk_free is not None
    assert 0 < measured.disk_free < measured.disk_total


def test_the_ratio_says_how_often_blocks_are_named(tmp_path: Path) -> None:
    with store_in(tmp_path) as store:
        scales = Scales(store.folder, store.checkpoints)
        assert scales.measure().dedupe_ratio is None  # there is nothing to compare
        saved(store, 1, 1.0)
        alone = scales.measure().dedupe_ratio
        last = [saved(store, epoch, float(epoch)) for epoch in range(2, 9)][-1]
        shared = scales.measure().dedupe_ratio
        assert alone is not None
        assert shared is not None
        assert alone < 1.0 < shared < 2.0
        # 8 checkpoints of 8 KiB over 9 blocks of 4 KiB, with what the packs say of themselves
        assert shared == pytest.approx(8 * 8192 / (9 * 4096), rel=0.25)
        store.checkpoints.path(last).unlink()
        fewer = scales.measure()
    assert fewer.manifests == 7
    assert fewer.dedupe_ratio == pytest.approx(shared * 7 / 8)


def test_a_store_with_many_manifests_is_read_a_part_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "MANIFESTS_AT_ONCE", 2)
    with store_in(tmp_path) as store:
        for epoch in range(1, 6):
            saved(store, epoch, float(epoch))
        scales = Scales(store.folder, store.checkpoints)
        ratios = [scales.measure().dedupe_ratio for _ in range(3)]
    assert ratios[:2] == [None, None]
    assert ratios[2] is not None


def test_a_damaged_manifest_is_left_to_the_check(tmp_path: Path) -> None:
    with store_in(tmp_path) as store:
        store.checkpoints.path(saved(store, 1, 1.0)).write_bytes(b"nonsense")
        saved(store, 2, 2.0)
        assert Scales(store.folder, store.checkpoints).measure().manifests == 2
