"""One flipped bit anywhere in a store, and files that were cut: found, or made anew; never believed.

A byte is *idle* if no reader's answer depends on it, such as free space in SQLite's pages. A flip there may pass, but
then everything that can be asked of the store still has the same answer, which is what these tests compare.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from store.blocks import KnowledgePool
from store.check import check
from store.errors import JournalError, StoreError
from store.journal import Journal
from store.opening import Store
from store.pool_roots import as_journalled
from store.records.events import WeightsPooled
from store.repair import repair
from tests.store.builders import asking, contribution, delivered, drawn, requested, save, saved

FEW, MANY = 8, 600
ROWS = 60
FILES = {
    "format": "format",
    "journal": "journal.sqlite",
    "journal's log": "journal.sqlite-wal",
    "head": "journal.head",
    "manifest": "manifests/*/*",
    "pack's index": "blobs/packs/*/*/zarr.json",
    "blocks": "blobs/packs/*/*/c.0",
    "blocks' index": "blobs/index.sqlite",
    "pool": "pool/entries",
}
IDLE = {"journal", "journal's log", "blocks' index"}
"""Files that SQLite writes: they have idle bytes, and what an earlier use left in them."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store as a kill leaves it: rows in the table, more of them in the log, checkpoints, a pool."""
    folder = tmp_path_factory.mktemp("original") / "store"
    store = Store.open(folder, write=True, create=True)
    for epoch in (1, 2):
        store.journal.append([saved(save(store.checkpoints, epoch=epoch, shared=1), epoch=epoch)])
    store.journal.append([delivered(index, search="ab"[index % 2] * 64) for index in range(ROWS)])
    store.journal.append([requested(index) for index in range(8)])
    store.close()
    store = Store.open(folder, write=True)
    pool = KnowledgePool.open(folder)
    digest = store.checkpoints.digests()[0]
    for number in (1, 2):
        made = contribution(number, drawn(number), checkpoint=digest)
        pool.add(store.journal.append([WeightsPooled(search="a", call=number, contribution=made)]), "a", made)
    pool.flush()
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*-shm"))
    pool.close()
    store.close()
    assert check(copy).clean
    shutil.rmtree(copy / "blobs" / "tmp")
    return copy


class Answers(NamedTuple):
    """What can be asked of a store."""

    rows: list[Any]
    by_search: list[Any]
    by_job: list[Any]
    tensors: list[bytes]
    pooled: Any


def answers(folder: Path) -> Answers:
    with Store.open(folder, write=True) as store:
        journal = store.journal
        tensors = [
            np.asarray(array).tobytes()
            for digest in sorted(store.checkpoints.digests())
            for blocks in store.checkpoints.load(digest).tensors.values()
            for arrays in blocks.values()
            for array in arrays.values()
        ]
        pool = as_journalled(folder, journal)
        found = [pool.match(asking(drawn(number)), searches=["a"]) for number in (1, 2, 3)]
        named = [[row for row in journal.raw(search=letter * 64)] for letter in "ab"]
        return Answers([*journal.raw()], named, [*journal.raw(job="b" * 64)], tensors, found)


def copies(
    original: Path, tmp_path: Path, pattern: str, times: int, seed: str
) -> Iterator[tuple[Path, Path, random.Random]]:
    """Yields so many copies of the store, one of its files of a kind, and a generator."""
    draw = random.Random(seed)
    for number in range(times):
        folder = tmp_path / str(number)
        shutil.copytree(original, folder)
        yield folder, draw.choice(sorted(folder.glob(pattern))), draw
        shutil.rmtree(folder)


def flipped(original: Path, tmp_path: Path, kind: str, times: int) -> tuple[int, int]:
    """Flips a bit, so many times; returns how often that was noticed, and how often it changed nothing."""
    sound, noticed, idle = answers(fresh(original, tmp_path / "sound")), 0, 0
    for folder, path, draw in copies(original, tmp_path, FILES[kind], times, kind):
        data = bytearray(path.read_bytes())
        place, bit = draw.randrange(len(data)), draw.randrange(8)
        data[place] ^= 1 << bit
        path.write_bytes(data)
        where = f"{kind}: bit {bit} of byte {place}"
        if is_noticed(lambda folder=folder: check(folder).clean):  # type: ignore[misc]
            noticed += 1
            if kind in {"manifest", "blocks"}:
                assert is_noticed(lambda folder=folder: bool(answers(folder))), where  # type: ignore[misc]
        else:
            assert kind in IDLE, f"{where} was not noticed"
            idle += 1
            assert answers(folder) == sound, where
    return noticed, idle


def fresh(original: Path, folder: Path) -> Path:
    shutil.copytree(original, folder)
    return folder


def is_noticed(look: Callable[[], bool]) -> bool:
    """Whether a look at a store says that something is wrong with it, in one of the store's own errors or in words."""
    try:
        return not look()
    except StoreError:
        return True


@pytest.mark.parametrize("kind", FILES)
def test_a_flipped_bit_is_noticed_or_changes_no_answer(original: Path, tmp_path: Path, kind: str) -> None:
    flipped(original, tmp_path, kind, FEW)


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", FILES)
def test_hundreds_of_flipped_bits_are_noticed_or_change_no_answer(original: Path, tmp_path: Path, kind: str) -> None:
    noticed, idle = flipped(original, tmp_path, kind, MANY)
    print(f"{kind}: {noticed} noticed, {idle} idle")  # noqa: T201 - a figure for docs/results.md
    assert noticed + idle == MANY


@pytest.mark.parametrize("name", ["journal.sqlite", "journal.sqlite-wal", "journal.head"])
@pytest.mark.parametrize("times", [FEW, pytest.param(MANY, marks=[pytest.mark.faults, pytest.mark.timeout(900)])])
def test_a_journal_that_was_cut_anywhere_is_refused_or_whole_and_repair_keeps_its_sound_rows(
    original: Path, tmp_path: Path, name: str, times: int
) -> None:
    sound = [*Journal(fresh(original, tmp_path / "sound"), read_only=True).raw()]
    refused = 0
    for folder, path, draw in copies(original, tmp_path, name, times, name):
        with path.open("r+b") as file:
            file.truncate(draw.randrange(path.stat().st_size))
        assert name != "journal.head" or not check(folder).clean
        try:
            assert [*Journal(folder, read_only=True).raw()] == sound
        except JournalError:
            refused += 1
            if refused % 8 == 1:
                kept = repair(folder).kept
                with Store.open(folder, write=True) as store:
                    assert [*store.journal.raw()] == sound[:kept]
    assert refused > times // 4 or name == "journal.head", "which has two slots"
