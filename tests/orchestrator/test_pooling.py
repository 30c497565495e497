"""The pool of a store: abreast of the journal, and only of what is there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.pooling import StorePool
from store.opening import Store
from store.packs import CHUNK, pack_folder
from store.records.events import CheckpointQuarantined, WeightsPooled
from store.records.knowledge import BlockKey, Contribution, PoolQuery
from tests.store.builders import flip, new_store, save

CHOICES = (4, 4, 4, 4)
KEYS = {"cells.0": (0, 0, 0, 0), "cells.1": (1, 1, 1, 1), "cells.2": (2, 2, 2, 2)}
SHAPE = (1, 8, 8)
BLOCK_BYTES = 4 * (8 * 4 * 3 * 3 + 8) + 8
"""Of a block of `tests.store.builders.state`: a convolution's weights, its bias, and a counter."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path) as made:
        yield made


def contribution(checkpoint: str, keys: dict[str, tuple[int, ...]] | None = None, **fields: Any) -> Contribution:
    blocks = tuple(BlockKey(name=name, tokens=tokens) for name, tokens in (keys or KEYS).items())
    given: dict[str, Any] = {"space": "s", "choices": CHOICES, "shape": SHAPE, "iterations": 8} | fields
    return Contribution(candidate="c", checkpoint=checkpoint, blocks=blocks, **given)


def contribute(store: Store, seed: int, search: str = "own", **fields: Any) -> str:
    """Saves a network and journals that its blocks enter the pool; returns its checkpoint."""
    checkpoint = save(store.checkpoints, seed=seed)
    store.journal.append([WeightsPooled(search=search, call=seed, contribution=contribution(checkpoint, **fields))])
    return checkpoint


def query(*keys: tuple[int, ...], bar: float = 0.5) -> PoolQuery:
    blocks = tuple(BlockKey(name=f"b{place}", tokens=key) for place, key in enumerate(keys or KEYS.values()))
    return PoolQuery(space="s", choices=CHOICES, shape=SHAPE, blocks=blocks, bar=bar)


def sources(pool: StorePool, *keys: tuple[int, ...], searches: set[str] | None = None) -> list[str]:
    return [one.source for one in pool.match(query(*keys), searches or {"own"}).inheritance.blocks]


def test_what_was_journalled_is_found_whether_before_the_pool_was_opened_or_after(store: Store) -> None:
    first = contribute(store, 1, keys={"cells.0": (0, 0, 0, 0)})
    pool = StorePool(store)
    assert sources(pool, (0, 0, 0, 1), (3, 3, 3, 3)) == [f"{first}/cells.0", ""]
    second = contribute(store, 2, keys={"cells.1": (3, 3, 3, 3)})
    assert sources(pool, (0, 0, 0, 1), (3, 3, 3, 3)) == [f"{first}/cells.0", f"{second}/cells.1"]
    pool.close()


def test_a_search_sees_its_own_blocks_and_those_of_its_sources(store: Store) -> None:
    mine, others = contribute(store, 1, "own"), contribute(store, 2, "other")
    pool = StorePool(store)
    key = (0, 0, 0, 0)
    assert sources(pool, key, searches={"own"}) == [f"{mine}/cells.0"]
    assert sources(pool, key, searches={"other"}) == [f"{others}/cells.0"]
    assert sources(pool, key, searches={"own", "other"}) == [f"{mine}/cells.0"], "the first that came"
    assert sources(pool, key, searches={"third"}) == [""]
    pool.close()


def test_a_row_that_the_pool_did_not_hear_of_is_taken_in_at_the_next_start(store: Store) -> None:
    """A kill between the journal's row and the pool; and it is taken in once."""
    with_pool = StorePool(store)
    contribute(store, 1)
    with_pool.follow()
    with_pool.close()
    second = contribute(store, 2, keys={"cells.3": (3, 3, 3, 3)})
    for _ in range(2):
        pool = StorePool(store)
        assert sources(pool, (3, 3, 3, 3)) == [f"{second}/cells.3"]
        assert pool.statistics().entries == 4
        pool.close()


@pytest.mark.parametrize("harm", ["removed", "damaged", "of a journal that was longer"])
def test_a_pool_that_is_lost_is_made_again_with_the_same_answers(store: Store, harm: str) -> None:
    made = [contribute(store, seed, generation=seed % 2) for seed in range(1, 5)]
    store.journal.append([CheckpointQuarantined(checkpoint=made[0], blobs=(), message="flipped")])
    contribute(store, 5, "other")
    pool = StorePool(store)
    before = pool.match(query(), {"own", "other"}), pool.match(query((1, 1, 1, 0)), {"other"})
    pool.close()
    entries = store.folder / "pool" / "entries"
    if harm == "removed":
        shutil.rmtree(entries.parent)
    elif harm == "damaged":
        entries.write_bytes(entries.read_bytes()[: entries.stat().st_size // 2] + bytes(64))
    else:
        _of_a_longer_journal(store, entries)
    again = StorePool(store)
    assert (again.match(query(), {"own", "other"}), again.match(query((1, 1, 1, 0)), {"other"})) == before
    again.close()


def _of_a_longer_journal(store: Store, entries: Path) -> None:
    """Puts a pool's file in place that has seen rows which this journal does not have."""
    with new_store(store.folder.parent / "longer") as longer:
        for seed in range(8):
            contribute(longer, seed)
        pool = StorePool(longer)
        pool.close()
        shutil.copy(longer.folder / "pool" / "entries", entries)


@pytest.mark.parametrize("harm", ["manifest removed", "manifest damaged", "blocks set aside"])
def test_a_source_that_is_not_there_is_passed_over_for_the_next_best_and_told(store: Store, harm: str) -> None:
    lost = contribute(store, 1)
    kept = contribute(store, 2, keys={"cells.0": (0, 0, 0, 3)})
    pool = StorePool(store)
    path = store.checkpoints.path(lost)
    if harm == "manifest removed":
        path.unlink()
    elif harm == "manifest damaged":
        pool.close()
        path.write_bytes(b"damaged")
        pool = StorePool(store)
    else:
        _damage_blocks(store, lost)
    answer = pool.match(query((0, 0, 0, 0), (1, 1, 1, 1)), {"own"})
    assert [(one.source, one.similarity) for one in answer.inheritance.blocks] == [(f"{kept}/cells.0", 0.75), ("", 0.0)]
    (told,) = answer.lost
    assert (told.checkpoint, told.blobs) == (lost, ())
    assert told.message
    assert pool.statistics().forgotten == 3
    assert pool.match(query(), {"own"}).lost == (), "it is told once"
    pool.close()


def _damage_blocks(store: Store, checkpoint: str) -> None:
    """Flips a bit of a checkpoint's weights, and quarantines them as the daemon does."""
    manifest = store.checkpoints.manifest(checkpoint)
    weights = next(block.blob for block in manifest.blocks if (block.role, block.dtype) == ("model", "float32"))
    (place,) = store.blobs.index.find([weights])[weights]
    chunk = pack_folder(store.blobs.packs, place.pack) / CHUNK
    flip(chunk, place.entry.offset)
    assert store.blobs.quarantine(weights) == (weights,)


def test_a_quarantined_checkpoint_is_forgotten_and_is_welcome_again_when_it_was_saved_anew(store: Store) -> None:
    lost = contribute(store, 1)
    pool = StorePool(store)
    assert sources(pool, (0, 0, 0, 0)) == [f"{lost}/cells.0"]
    store.journal.append([CheckpointQuarantined(checkpoint=lost, blobs=(), message="flipped")])
    assert sources(pool, (0, 0, 0, 0)) == [""]
    contribute(store, 1)
    assert sources(pool, (0, 0, 0, 0)) == [f"{lost}/cells.0"]
    pool.close()
    again = StorePool(store)
    assert sources(again, (0, 0, 0, 0)) == [f"{lost}/cells.0"]
    again.close()


def test_only_blocks_that_the_checkpoint_has_are_taken_in(store: Store) -> None:
    """The trainer decides which blocks a network has: `scripted` has made-up ones, `tabular` none."""
    pool = StorePool(store)
    checkpoint = save(store.checkpoints)
    named = contribution(checkpoint, {"cells.0": (0, 0, 0, 0), "stem": (1, 1, 1, 1)})
    assert [block.name for block in pool.held(named).blocks] == ["cells.0"]
    assert pool.held(contribution("f" * 64)).blocks == ()
    pool.close()


def test_the_bytes_of_blocks_are_counted_and_a_quota_takes_the_least_useful(store: Store) -> None:
    first = contribute(store, 1, keys={"cells.0": (0, 0, 0, 0)}, accuracy=0.9)
    second = contribute(store, 2, keys={"cells.0": (1, 1, 1, 1)}, accuracy=0.1)
    third = contribute(store, 3, keys={"cells.0": (2, 2, 2, 2)}, accuracy=0.5)
    pool = StorePool(store)
    assert pool.statistics().bytes == 3 * BLOCK_BYTES
    assert pool.evict(3 * BLOCK_BYTES, set()).entries == 0
    for _ in range(3):
        sources(pool, (2, 2, 2, 2))
    assert pool.evict(2 * BLOCK_BYTES, {second}).entries == 0, "what is needed anyway does not count"
    evicted = pool.evict(int(1.5 * BLOCK_BYTES), {second})
    assert (evicted.entries, evicted.bytes) == (1, BLOCK_BYTES)
    assert sources(pool, *((n, n, n, n) for n in range(3))) == ["", f"{second}/cells.0", f"{third}/cells.0"]
    assert pool.statistics().evicted == 1
    assert first in store.checkpoints.digests(), "only gc removes from the disk"
    pool.close()
