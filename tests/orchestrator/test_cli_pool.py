"""`coldframe pool`: what the knowledge pool holds, and making it smaller."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from store.check import check
from store.opening import Store
from store.records.events import SearchOpened
from tests.orchestrator.builders import spec
from tests.orchestrator.command import coldframe
from tests.orchestrator.test_pooling import BLOCK_BYTES, contribute
from tests.store.builders import new_store


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two searches with a network of three blocks each; the second's is of generation 1 and more steps."""
    with new_store(tmp_path) as made:
        made.journal.append([SearchOpened(search=name * 64, spec=spec(f"search {name}")) for name in "ab"])
        contribute(made, 1, "a" * 64)
        contribute(made, 2, "b" * 64, generation=1, iterations=16, shape=(3, 8, 8))
    return tmp_path


def test_it_shows_what_there_is_and_by_whom(store: Path) -> None:
    found = coldframe("pool", "--store", store, "--json").json
    assert (found["entries"], found["checkpoints"], found["bytes"]) == (6, 2, 6 * BLOCK_BYTES)
    assert found["searches"] == [
        {
            "search": name * 64,
            "name": f"search {name}",
            "space": "cell",
            "networks": 1,
            "shapes": [shape],
            "iterations": {str(steps): 1},
            "generations": {str(generation): 1},
            "blocks": 3,
        }
        for name, shape, steps, generation in (("a", [1, 8, 8], 8, 0), ("b", [3, 8, 8], 16, 1))
    ]
    said = coldframe("pool", "--store", store).out
    assert "knowledge pool: 6 blocks of 2 networks, 7.0 KiB" in said
    assert "search b" in said
    assert "3 x 8 x 8" in said
    assert not (store / "pool").exists(), "reading writes nothing"


def test_it_is_empty_where_nothing_was_put_in(tmp_path: Path) -> None:
    new_store(tmp_path).close()
    assert coldframe("pool", "--store", tmp_path).out == "knowledge pool: 0 blocks of 0 networks, 0 B\n"


def test_it_is_made_smaller_and_gc_frees_the_rest(store: Path) -> None:
    ended = coldframe("pool", "--store", store, "--evict", str(4 * BLOCK_BYTES), "--json").json
    assert ended["taken_out"]["entries"] == ended["evicted"] == 6 - ended["entries"]
    assert 0 < ended["bytes"] <= 4 * BLOCK_BYTES
    assert coldframe("pool", "--store", store, "--json").json["entries"] == ended["entries"]
    age(store)
    assert coldframe("gc", "--store", store, "--delete", "--grace", "0", "--json").code == 0
    with Store.open(store, write=False) as opened:
        kept = sum(entry.size for pack in opened.blobs.names() for entry in opened.blobs.index.entries(pack))
    assert ended["bytes"] <= kept < 6 * BLOCK_BYTES
    assert check(store).clean
    shutil.rmtree(store / "pool")
    again = coldframe("pool", "--store", store, "--json").json
    assert again["entries"] == ended["entries"], "made again, it has no blocks that are gone from the disk"
    none = coldframe("pool", "--store", store, "--evict", "0")
    assert "knowledge pool: 0 blocks" in none.out
    assert "`coldframe gc` frees what is left over" in none.out


def age(folder: Path) -> None:
    """Makes what is stored look old."""
    for path in (*(folder / "blobs" / "packs").rglob("*"), *(folder / "manifests").rglob("*")):
        os.utime(path, (time.time() - 10_000,) * 2)


def test_it_is_not_made_smaller_while_a_search_runs(store: Path) -> None:
    with Store.open(store, write=True):
        assert coldframe("pool", "--store", store, "--json").json["entries"] == 6
        ended = coldframe("pool", "--store", store, "--evict", "0", "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (2, "StoreLocked")


def test_a_negative_quota_is_refused(store: Path) -> None:
    ended = coldframe("pool", "--store", store, "--evict", "-1")
    assert ended.code == 2
    assert "--evict" in ended.err
