"""A journal that is not what was acknowledged does not open, and says which row."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from store.errors import JournalCorrupt, JournalError, JournalTruncated
from store.journal import Journal
from store.journal_head import NOTHING, HeadState, create_head, read_head
from store.journal_table import Entry, link
from tests.store.builders import delivered, flip

ROWS = 300


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    journal = Journal(tmp_path)
    for start in range(0, ROWS, 10):
        journal.append([delivered(start + step) for step in range(10)])
    journal.close()
    return tmp_path


def change(folder: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(folder / "journal.sqlite")
    with connection:
        connection.execute(statement, values)
    connection.close()


def refusal(folder: Path, *, read_only: bool) -> JournalError:
    with pytest.raises(JournalError) as refused:
        Journal(folder, read_only=read_only)
    return refused.value


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET payload = payload || x'00' WHERE sequence = 123",
        "UPDATE events SET time = time + 1 WHERE sequence = 123",
        "UPDATE events SET type = 'worker_ended' WHERE sequence = 123",
        "UPDATE events SET search = 'other' WHERE sequence = 123",
        "UPDATE events SET job = NULL WHERE sequence = 123",
        "UPDATE events SET payload = 12 WHERE sequence = 123",
        "UPDATE events SET previous = zeroblob(32) WHERE sequence = 123",
        "UPDATE events SET hash = zeroblob(32) WHERE sequence = 123",
        "DELETE FROM events WHERE sequence = 123",
        "UPDATE events SET sequence = 1000 WHERE sequence = 123",
    ],
)
def test_an_altered_row_is_named(folder: Path, statement: str, read_only: bool) -> None:
    change(folder, statement)
    error = refusal(folder, read_only=read_only)
    assert isinstance(error, JournalCorrupt)
    assert error.sequence == 123
    assert "row 123" in str(error)
    assert f"python -m store.repair {folder}" in str(error)


def test_rows_cut_from_the_end_are_missed(folder: Path) -> None:
    change(folder, "DELETE FROM events WHERE sequence > 290")
    error = refusal(folder, read_only=False)
    assert isinstance(error, JournalTruncated)
    assert (error.rows, error.acknowledged) == (290, 300)


def test_a_table_that_vanished_is_missed(folder: Path) -> None:
    (folder / "journal.sqlite").unlink()
    assert isinstance(refusal(folder, read_only=True), JournalTruncated)
    assert isinstance(refusal(folder, read_only=False), JournalTruncated)


def test_another_history_with_a_sound_chain_is_not_the_acknowledged_one(folder: Path) -> None:
    rows = [(row.sequence, Entry(*row[1:])) for row in Journal(folder, read_only=True).raw()]
    last = NOTHING
    for sequence, entry in rows:
        altered = entry._replace(time=entry.time + 1)
        following = link(last, sequence, altered)
        change(
            folder,
            "UPDATE events SET time = ?, previous = ?, hash = ? WHERE sequence = ?",
            *(altered.time, last, following, sequence),
        )
        last = following
    error = refusal(folder, read_only=True)
    assert isinstance(error, JournalCorrupt)
    assert error.sequence == ROWS


def test_bit_flips_in_the_table_never_pass_unnoticed(folder: Path) -> None:
    """Guards against SQLite's own checks, which miss most of them (`integrity_check` says ok)."""
    path = folder / "journal.sqlite"
    sound = path.read_bytes()
    before = [tuple(row) for row in Journal(folder, read_only=True).raw()]
    draw = random.Random(1)
    noticed = 0
    for _ in range(60):
        flip(path, draw.randrange(len(sound)))
        try:
            # A flip in an index, in free space or in an unused header field changes no row.
            assert [tuple(row) for row in Journal(folder, read_only=True).raw()] == before
        except JournalError:
            noticed += 1
        path.write_bytes(sound)
    assert noticed > 20


def test_a_log_that_lost_its_end_is_noticed(tmp_path: Path) -> None:
    """SQLite opens a truncated or flipped write-ahead log without complaint, with fewer rows."""
    journal = Journal(tmp_path / "a") if (tmp_path / "a").mkdir() is None else None
    assert journal is not None
    for index in range(40):
        journal.append([delivered(index)])
    files = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir() if path.is_file()}
    journal.close()
    draw = random.Random(2)
    log = files["journal.sqlite-wal"]
    for number in range(30):
        copy = tmp_path / f"copy-{number}"
        copy.mkdir()
        for name, data in files.items():
            if name != "journal.sqlite-shm":
                (copy / name).write_bytes(data)
        if number % 2:
            (copy / "journal.sqlite-wal").write_bytes(log[: draw.randrange(len(log))])
        else:
            flip(copy / "journal.sqlite-wal", draw.randrange(len(log)))
        error = refusal(copy, read_only=False)
        assert isinstance(error, JournalTruncated | JournalCorrupt)


def test_rows_that_were_committed_but_not_acknowledged_are_adopted(folder: Path) -> None:
    """A process killed between the transaction and the head leaves more rows than the head has."""
    hashes = sqlite3.connect(folder / "journal.sqlite")
    (last,) = hashes.execute("SELECT hash FROM events WHERE sequence = 297").fetchone()
    hashes.close()
    create_head(folder, HeadState(297, last))
    assert Journal(folder, read_only=True).count == ROWS
    told = list[int]()
    journal = Journal(folder, told=lambda sequence, entry: told.append(sequence))
    assert journal.count == ROWS
    assert told == list(range(1, ROWS + 1)), "whoever folds the journal as it is opened hears of them too"
    journal.close()
    head = read_head(folder)
    assert head is not None
    assert head.rows == ROWS


@pytest.mark.parametrize("offset", [0, 8, 20, 79, 4096, 4104, 4170])
def test_a_torn_head_slot_leaves_the_other(folder: Path, offset: int) -> None:
    flip(folder / "journal.head", offset)
    journal = Journal(folder)
    assert journal.count == ROWS
    journal.append([delivered(0)])
    journal.close()
    assert Journal(folder, read_only=True).count == ROWS + 1


def test_a_head_without_a_sound_slot_is_refused(folder: Path) -> None:
    flip(folder / "journal.head", 10)
    flip(folder / "journal.head", 4100)
    assert "no slot of it is sound" in str(refusal(folder, read_only=True))
    (folder / "journal.head").write_bytes(b"")
    assert "no slot of it is sound" in str(refusal(folder, read_only=False))


def test_a_missing_head_is_refused(folder: Path) -> None:
    (folder / "journal.head").unlink()
    assert "journal.head is missing" in str(refusal(folder, read_only=True))
    assert "journal.head is missing" in str(refusal(folder, read_only=False))


def test_a_file_that_is_no_table_is_refused(folder: Path) -> None:
    (folder / "journal.sqlite").write_bytes(b"not a database, but long enough to be looked at" * 100)
    assert isinstance(refusal(folder, read_only=True), JournalCorrupt)
    assert isinstance(refusal(folder, read_only=False), JournalCorrupt)


def test_a_journal_whose_making_was_interrupted_opens(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "journal.sqlite")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    assert Journal(tmp_path, read_only=True).count == 0
    journal = Journal(tmp_path)
    assert journal.append([delivered(0)]) == 1
    journal.close()
