"""The pool's file: killed, cut, flipped, without room or read only, the pool comes back as the journal has it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from store import blocks
from store.blocks import KnowledgePool
from store.journal import Journal
from store.pool_file import MAGIC, frame, read
from store.pool_roots import as_journalled
from store.records.events import CheckpointQuarantined, WeightsPooled
from tests.store.builders import asking, child, contribution, drawn, finish, flip, new_store
from tests.store.test_kill import kill_after

NETWORKS = 5
SIZES = {f"cells.{block}": 100 for block in range(4)}


def journalled(folder: Path, networks: int = NETWORKS, sizes: Mapping[str, int] | None = None) -> Path:
    """Makes a store with some networks in its journal and its pool; returns the pool's file."""
    with new_store(folder) as store:
        pool = KnowledgePool.open(folder)
        for number in range(1, networks + 1):
            made = contribution(number, drawn(number))
            row = store.journal.append([WeightsPooled(search="a", call=number, contribution=made)])
            pool.add(row, "a", made, sizes)
        pool.close()
    return pool.path


def same(left: KnowledgePool, right: KnowledgePool, networks: int = NETWORKS) -> bool:
    """Whether two pools hold the same, and answer alike."""
    asked = [asking(drawn(number)) for number in range(1, networks + 3)]
    return (left.manifests(), left.sequence, len(left)) == (right.manifests(), right.sequence, len(right)) and all(
        left.match(query, searches=["a"]) == right.match(query, searches=["a"]) for query in asked
    )


def whole(folder: Path) -> KnowledgePool:
    """The pool as the journal alone gives it."""
    path = folder / "pool" / "entries"
    kept = path.read_bytes()
    path.unlink()
    pool = as_journalled(folder, Journal(folder, read_only=True))
    path.write_bytes(kept)
    return pool


def test_what_was_added_is_there_when_the_pool_is_opened_again(tmp_path: Path) -> None:
    journalled(tmp_path)
    pool = KnowledgePool.open(tmp_path)
    assert (len(pool), pool.sequence, pool.damage) == (4 * NETWORKS, NETWORKS, "")
    assert same(pool, whole(tmp_path))
    pool.close()


def test_a_pool_whose_writer_is_killed_goes_on_from_the_journal(tmp_path: Path) -> None:
    draw = random.Random(7)
    rows = 0
    for _ in range(2):
        said = kill_after(child("pool_for_ever", tmp_path), draw.randrange(20, 60))
        pool = KnowledgePool.open(tmp_path, read_only=True)
        assert pool.damage == ""
        assert pool.sequence >= int(said[-1]) > rows, "a kill takes nothing back that was written"
        rows = pool.sequence
        assert same(as_journalled(tmp_path, Journal(tmp_path, read_only=True)), whole(tmp_path), networks=10)


def test_a_file_that_was_cut_anywhere_goes_on_from_the_journal(tmp_path: Path) -> None:
    path = journalled(tmp_path, networks=3)
    data = path.read_bytes()
    lengths = set()
    complete = whole(tmp_path)
    for size in [*range(0, 40), *range(40, len(data), 97), len(data) - 1]:
        path.write_bytes(data[:size])
        pool = as_journalled(tmp_path, Journal(tmp_path, read_only=True))
        assert pool.damage == ""
        assert pool.manifests() == complete.manifests()
        lengths.add(len(KnowledgePool.open(tmp_path, read_only=True)))
    assert lengths == {0, 4, 8}


def test_what_is_added_after_a_cut_takes_the_place_of_what_was_cut_off(tmp_path: Path) -> None:
    path = journalled(tmp_path, networks=3)
    path.write_bytes(path.read_bytes()[:-5])
    pool = KnowledgePool.open(tmp_path)
    assert pool.sequence == 2
    pool.add(3, "a", contribution(3, drawn(3)))
    pool.close()
    assert same(KnowledgePool.open(tmp_path, read_only=True), whole(tmp_path), networks=3)


def test_a_flipped_bit_anywhere_is_noticed_and_the_pool_made_anew_from_the_journal(tmp_path: Path) -> None:
    path = journalled(tmp_path, networks=3)
    complete, size = whole(tmp_path), path.stat().st_size
    for offset in [*range(0, 44), *range(44, size, 61), size - 1]:
        flip(path, offset)
        assert "damaged" in KnowledgePool.open(tmp_path, read_only=True).damage or offset < len(MAGIC)
        pool = as_journalled(tmp_path, Journal(tmp_path, read_only=True))
        assert pool.damage
        assert pool.manifests() == complete.manifests()
        flip(path, offset)
    flip(path, size // 2)
    mended = KnowledgePool.open(tmp_path)
    for row in Journal(tmp_path, read_only=True).rows(mended.sequence):
        assert isinstance(row.event, WeightsPooled)
        mended.add(row.sequence, row.event.search, row.event.contribution)
    mended.close()
    again = KnowledgePool.open(tmp_path, read_only=True)
    assert again.damage == ""
    assert same(again, complete, networks=3)


def test_a_sound_record_of_another_make_is_damage_too(tmp_path: Path) -> None:
    path = journalled(tmp_path)
    with path.open("ab") as file:
        file.write(frame({"type": "entries", "entries": b"", "sequence": 9, "counts": {}}))
    pool = KnowledgePool.open(tmp_path, read_only=True)
    assert "cannot be understood" in pool.damage
    assert (len(pool), pool.sequence) == (0, 0)


def test_a_checkpoint_that_was_given_up_is_forgotten_also_by_the_journal_alone(tmp_path: Path) -> None:
    journalled(tmp_path)
    lost = f"{2:064x}"
    journal = Journal(tmp_path)
    journal.append([CheckpointQuarantined(checkpoint=lost, blobs=(), message="")])
    journal.close()
    pool = KnowledgePool.open(tmp_path)
    assert pool.forget([lost]) == 4
    pool.close()
    again = KnowledgePool.open(tmp_path, read_only=True)
    assert lost not in again.manifests()
    assert again.statistics().forgotten == 4
    assert whole(tmp_path).manifests() == again.manifests()


def test_a_pool_that_has_seen_more_than_the_journal_is_begun_anew(tmp_path: Path) -> None:
    journalled(tmp_path)
    assert len(KnowledgePool.open(tmp_path, read_only=True, rows=NETWORKS)) == 4 * NETWORKS
    pool = KnowledgePool.open(tmp_path, rows=NETWORKS - 1)
    assert "5 rows of a journal that has 4" in pool.damage
    assert (len(pool), pool.sequence) == (0, 0)
    pool.add(1, "a", contribution(1, drawn(1)))
    pool.close()
    assert len(KnowledgePool.open(tmp_path, read_only=True)) == 4


def test_where_there_is_no_room_the_pool_goes_on_in_memory_and_writes_later(tmp_path: Path) -> None:
    said = finish(child("pool_in_little_space", tmp_path, 8000))
    forgotten, entries, waiting = map(int, said[0].split())
    assert (forgotten, entries) == (4, 39 * 4)
    assert waiting > 1
    assert said[1].startswith("StoreFull")
    assert 0 < int(said[2]) < entries, "what was written before is still there, whole"
    assert said[3] == "0"
    pool = KnowledgePool.open(tmp_path, read_only=True)
    assert (len(pool), pool.sequence, pool.damage) == (entries, 40, "")


def test_opened_for_reading_nothing_is_written(tmp_path: Path) -> None:
    journalled(tmp_path, sizes=SIZES)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    pool = KnowledgePool.open(tmp_path, read_only=True)
    assert pool.match(asking(drawn(1)), searches=["a"]).matches == 4
    assert pool.add(99, "a", contribution(99, drawn(99))) == 4
    assert pool.forget([f"{1:064x}"]) == 4
    assert pool.evict(800, ()).bytes == 900
    pool.flush()
    pool.close()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_store_whose_pool_was_only_asked_has_no_file(tmp_path: Path) -> None:
    new_store(tmp_path).close()
    pool = KnowledgePool.open(tmp_path)
    assert pool.match(asking(drawn(1)), searches=["a"]).hits == 0
    pool.close()
    assert not pool.path.exists()


def test_how_useful_an_entry_is_and_what_was_asked_survive_a_restart(tmp_path: Path) -> None:
    journalled(tmp_path, sizes=SIZES)
    pool = KnowledgePool.open(tmp_path)
    assert pool.match(asking(drawn(1), bar=1.0), searches=["a"]).matches == 4
    statistics = pool.statistics()
    pool.close()
    again = KnowledgePool.open(tmp_path)
    assert again.statistics() == statistics
    again.evict(450, ())
    assert list(again.manifests()) == [f"{1:064x}"]
    again.close()
    assert list(KnowledgePool.open(tmp_path, read_only=True).manifests()) == [f"{1:064x}"]


def test_the_file_is_written_anew_when_it_has_many_records_or_most_of_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "_FEWEST_RECORDS", 8)
    path = journalled(tmp_path, networks=29, sizes=SIZES)
    assert len(read(path).records) < 8
    pool = KnowledgePool.open(tmp_path)
    assert same(pool, whole(tmp_path), networks=29)
    size = path.stat().st_size
    pool.evict(1000, ())
    assert path.stat().st_size < size / 4
    pool.add(30, "a", contribution(30, drawn(30)))
    pool.close()
    again = KnowledgePool.open(tmp_path, read_only=True)
    assert same(again, pool, networks=30)
    assert again.statistics().evicted == 29 * 4 - 9


def test_a_pool_from_which_everything_went_is_empty_after_a_restart_and_takes_more(tmp_path: Path) -> None:
    journalled(tmp_path, sizes=SIZES)
    pool = KnowledgePool.open(tmp_path)
    assert pool.evict(0, ()).entries == 4 * NETWORKS
    pool.close()
    again = KnowledgePool.open(tmp_path)
    assert (len(again), again.sequence, again.damage) == (0, NETWORKS, "")
    assert again.match(asking(drawn(1)), searches=["a"]).hits == 0
    assert again.add(NETWORKS + 1, "a", contribution(1, drawn(1))) == 4
    again.close()
    assert len(KnowledgePool.open(tmp_path, read_only=True)) == 4
