"""Blocks: stored once, verified on read, and set aside when they are damaged."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest

from store.blobs import BlobStore
from store.elements import Block
from store.errors import BlobCorrupt, BlobMissing, InvalidDigest, StoreFailed, StoreReadOnly
from store.packs import read_index, write_pack
from tests.store.builders import child, finish, flip

ABSENT = "0" * 64
HOSTILE = [
    *("../x", "/abs", "a/../../b", "..", ".", "", "\\", "..\\x", "~", "a\0b", "x" * 300, "A" * 64, "g" * 64),
    *(
        "0" * 63,
        "0" * 65,
        "0" * 64 + "\n",
        "0" * 63 + "/",
        "../" + "0" * 61,
        "/" + "0" * 63,
        "\uff10" * 64,
        7,
        None,
        b"0",
    ),
]


def arrays(count: int, start: int = 0) -> list[np.ndarray]:
    return [np.full(100 + number, start + number, dtype=np.float32) for number in range(count)]


def only_pack(blobs: BlobStore) -> Path:
    (name,) = blobs.names()
    return blobs.packs / name[:2] / name


def age(folder: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(folder, (then, then))


def test_blocks_come_back_bit_for_bit_and_writable(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    given = [
        np.array([0.0, -0.0, np.nan, np.inf, 1e-45], dtype=np.float32),
        np.array(5, dtype=np.int64),
        np.arange(12, dtype=np.uint8).reshape(3, 4),
        np.empty(0, dtype=np.float64),
    ]
    digests = blobs.put(given)
    found = BlobStore(tmp_path).get(digests)
    for digest, array in zip(digests, given, strict=True):
        assert found[digest].tobytes() == array.tobytes()
        assert found[digest].dtype == array.dtype
        assert found[digest].shape == (array.size,)
        assert found[digest].flags.writeable


def test_bfloat16_travels_as_its_bits(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    bits = np.arange(5, dtype=np.uint16)
    (digest,) = blobs.put([Block.of(bits, "bfloat16")])
    assert blobs.locate([digest])[digest].dtype == "bfloat16"
    np.testing.assert_array_equal(blobs.get([digest])[digest], bits)


def test_a_block_is_stored_once_and_its_pack_becomes_young_again(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    first = blobs.put(arrays(3))
    pack = only_pack(blobs)
    age(pack, 10_000)
    again = BlobStore(tmp_path).put([*arrays(3), *arrays(1)])
    assert again == [*first, first[0]]
    assert only_pack(blobs) == pack
    assert time.time() - pack.stat().st_mtime < 100


def test_only_what_is_new_is_written(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    blobs.put(arrays(3))
    before = set(blobs.names())
    blobs.put(arrays(5))
    (new,) = set(blobs.names()) - before
    assert len(read_index(blobs.packs / new[:2] / new)) == 2


def test_a_pack_that_vanished_is_written_again(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    (digest,) = blobs.put(arrays(1))
    shutil.rmtree(only_pack(blobs))
    with pytest.raises(BlobMissing, match=digest):
        blobs.get([digest])
    assert digest not in blobs
    assert blobs.put(arrays(1)) == [digest]
    assert digest in blobs


def test_a_pack_that_vanished_cannot_be_quarantined(tmp_path: Path) -> None:
    """The daemon is told of a missing block by a worker, while its own index still names the pack."""
    blobs = BlobStore(tmp_path)
    (digest,) = blobs.put(arrays(1))
    shutil.rmtree(only_pack(blobs))
    assert blobs.quarantine(digest) == ()
    assert digest not in blobs


def test_a_failed_fsync_is_an_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = BlobStore(tmp_path)

    def fail(handle: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreFailed, match="Input/output error") as error:
        blobs.put(arrays(1))
    assert error.value.exit_code == 74
    assert list(blobs.temporary.iterdir()) == list(blobs.names()) == []
    monkeypatch.undo()
    (digest,) = blobs.put(arrays(1))
    assert digest in blobs.get([digest])


def test_a_block_that_vanished_unseen_is_written_again(tmp_path: Path) -> None:
    """The index still names the pack when `put` looks: only the pack's own folder can tell."""
    blobs = BlobStore(tmp_path)
    (digest,) = blobs.put(arrays(1))
    shutil.rmtree(only_pack(blobs))
    assert blobs.put(arrays(1)) == [digest]
    assert digest in blobs.get([digest])


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_refused_before_they_reach_the_disk(tmp_path: Path, name: str) -> None:
    (tmp_path / "x").write_text("secret")
    blobs = BlobStore(tmp_path)
    for use in (lambda: blobs.get([name]), lambda: name in blobs, lambda: blobs.quarantine(name)):
        with pytest.raises(InvalidDigest, match="expected 64 digits"):
            use()


def test_an_unknown_block_is_missing(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    assert ABSENT not in blobs
    assert blobs.quarantine(ABSENT) == ()
    with pytest.raises(BlobMissing, match=ABSENT):
        blobs.get([ABSENT])


def test_a_damaged_block_is_found_on_read_and_its_neighbours_are_not_touched(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    digests = blobs.put(arrays(3))
    entry = blobs.locate(digests)[digests[1]]
    flip(only_pack(blobs) / "c.0", entry.offset + 17)
    with pytest.raises(BlobCorrupt) as error:
        blobs.get(digests)
    assert error.value.digest == digests[1]
    assert set(blobs.get([digests[0], digests[2]])) == {digests[0], digests[2]}


def test_quarantine_keeps_the_sound_blocks_and_the_damaged_one_counts_as_missing(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    given = arrays(4)
    digests = blobs.put(given)
    pack = only_pack(blobs)
    flip(pack / "c.0", blobs.locate(digests)[digests[2]].offset)
    assert blobs.quarantine(digests[2]) == (digests[2],)
    assert not pack.exists()
    assert (blobs.quarantined / pack.name / "c.0").is_file()
    assert [digest in blobs for digest in digests] == [True, True, False, True]
    assert set(BlobStore(tmp_path).get([digests[0], digests[1], digests[3]])) == {*digests} - {digests[2]}
    assert blobs.put(given) == digests
    np.testing.assert_array_equal(blobs.get(digests)[digests[2]], given[2])


def test_a_sound_block_cannot_be_quarantined(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    (digest,) = blobs.put(arrays(1))
    assert blobs.quarantine(digest) == ()
    assert digest in blobs.get([digest])


def test_the_same_pack_can_be_quarantined_twice(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    for _ in range(2):
        (digest,) = blobs.put(arrays(1))
        flip(only_pack(blobs) / "c.0", 3)
        assert blobs.quarantine(digest) == (digest,)
    assert len(list(blobs.quarantined.iterdir())) == 2


@pytest.mark.parametrize("damage", ["truncate", "remove", "metadata"])
def test_quarantine_salvages_what_it_can_prove_sound(tmp_path: Path, damage: str) -> None:
    blobs = BlobStore(tmp_path)
    digests = blobs.put(arrays(4))
    pack = only_pack(blobs)
    places = blobs.locate(digests)
    if damage == "remove":
        (pack / "c.0").unlink()
    else:
        os.truncate(pack / "c.0", places[digests[2]].offset + 5)
    if damage == "metadata":
        flip(pack / "zarr.json", 20)
    with pytest.raises(BlobCorrupt):
        blobs.get([digests[3]])
    blobs.quarantine(digests[3])
    kept = [] if damage == "remove" else digests[:2]
    assert [digest in blobs for digest in digests] == [digest in kept for digest in digests]
    assert set(blobs.get(kept)) == set(kept)


def test_a_block_with_a_second_sound_copy_is_read_from_there(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    digests = blobs.put(arrays(2))
    first = only_pack(blobs)
    shutil.move(first, tmp_path / "aside")
    blobs.refresh()
    blobs.put(arrays(1))
    shutil.move(tmp_path / "aside", first)
    blobs.refresh()
    flip(first / "c.0", 1)
    assert digests[0] in blobs.get([digests[0]])
    blobs.quarantine(digests[0])
    assert set(blobs.get(digests)) == set(digests)


@pytest.mark.parametrize("damage", ["remove", "garbage", "empty", "unfinished", "row"])
def test_the_index_is_made_anew_from_the_packs(tmp_path: Path, damage: str) -> None:
    blobs = BlobStore(tmp_path)
    digests = blobs.put(arrays(3)) + blobs.put(arrays(2, start=50))
    blobs.close()
    index = tmp_path / "blobs" / "index.sqlite"
    if damage == "remove":
        index.unlink()
    elif damage == "garbage":
        index.write_bytes(b"\xff" * 5000)
    elif damage == "empty":
        index.write_bytes(b"")
    else:
        connection = sqlite3.connect(index)
        with connection:
            connection.execute("DELETE FROM blocks" if damage == "unfinished" else "UPDATE blocks SET dtype = 'object'")
            if damage == "unfinished":
                connection.execute("DELETE FROM packs")
        connection.close()
    assert set(BlobStore(tmp_path).get(digests)) == set(digests)


def test_an_index_that_points_elsewhere_does_not_make_a_sound_block_corrupt(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    digests = blobs.put(arrays(3))
    blobs.close()
    connection = sqlite3.connect(tmp_path / "blobs" / "index.sqlite")
    with connection:
        connection.execute("UPDATE blocks SET start = start + 4")
    connection.close()
    assert set(BlobStore(tmp_path).get(digests)) == set(digests)


def test_a_pack_that_another_process_wrote_is_found_even_if_the_index_was_not_told(tmp_path: Path) -> None:
    mine = BlobStore(tmp_path)
    mine.put(arrays(1))
    other = BlobStore(tmp_path)
    digests = other.put(arrays(2, start=70))
    other.index.forget(set(other.names()))
    assert set(mine.get(digests)) == set(digests)


def test_a_store_opened_for_reading_writes_nothing(tmp_path: Path) -> None:
    writer = BlobStore(tmp_path)
    digests = writer.put(arrays(3))
    writer.close()
    (tmp_path / "blobs" / "index.sqlite").unlink()
    before = sorted(path.name for path in (tmp_path / "blobs").rglob("*"))
    reader = BlobStore(tmp_path, read_only=True)
    assert set(reader.get(digests)) == set(digests)
    with pytest.raises(StoreReadOnly, match="opened for reading"):
        reader.put(arrays(1))
    assert sorted(path.name for path in (tmp_path / "blobs").rglob("*")) == before


def test_only_old_strays_are_swept(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    for name, seconds in (("old", 4000), ("young", 10)):
        (blobs.temporary / name).mkdir()
        (blobs.temporary / name / "c.0").write_bytes(b"half")
        age(blobs.temporary / name, seconds)
    assert blobs.sweep() == 1
    assert [entry.name for entry in blobs.temporary.iterdir()] == ["young"]


def test_processes_that_put_the_same_blocks_at_once_agree(tmp_path: Path) -> None:
    children = [child("put", tmp_path, seed) for seed in range(3)]
    for process in children:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in children:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [sorted(finish(process)) for process in children]
    assert answers[0] == answers[1] == answers[2]
    assert len(set(answers[0])) == 40
    blobs = BlobStore(tmp_path)
    assert len(blobs.get(answers[0])) == 40
    assert list(blobs.temporary.iterdir()) == []


def test_a_pack_that_two_writers_put_again_while_a_collection_looks_at_it_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One touched it before it left its name, the other one found it gone and wrote it anew."""
    blobs, other = BlobStore(tmp_path), BlobStore(tmp_path)
    digests = blobs.put(arrays(3))
    other.put(arrays(3))
    pack = only_pack(blobs)
    age(pack, 1000)
    rename = os.rename

    def meanwhile(source: Path, target: Path) -> None:
        monkeypatch.undo()
        rename(source, target)
        os.utime(target)
        other.put(arrays(3))

    monkeypatch.setattr(os, "rename", meanwhile)
    assert not blobs.discard(pack.name, time.time() - 100)
    assert only_pack(blobs) == pack
    assert len(blobs.get(digests)) == 3
    assert list(blobs.temporary.iterdir()) == []


def test_a_pack_that_a_collection_takes_while_it_is_put_again_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer finds the same pack under its name, and when it touches it, none."""
    blobs = BlobStore(tmp_path)
    digests = blobs.put(arrays(3))
    pack, utime = only_pack(blobs), os.utime

    def meanwhile(path: Path) -> None:
        monkeypatch.undo()
        shutil.rmtree(path)
        utime(path)

    monkeypatch.setattr(os, "utime", meanwhile)
    write_pack(blobs.packs, blobs.temporary, [Block.of(array) for array in arrays(3)])
    assert only_pack(blobs) == pack
    assert len(blobs.get(digests)) == 3
