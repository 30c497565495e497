"""Repair keeps the sound rows of a damaged journal, and the damaged files."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from store.check import check
from store.errors import JournalCorrupt, StoreLocked
from store.journal import Journal
from store.opening import Store
from store.repair import main, repair
from tests.store.builders import delivered, flip, new_store

ROWS = 2500


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with new_store(tmp_path) as store:
        store.journal.append([delivered(index) for index in range(ROWS)])
    return tmp_path


def test_rows_before_the_first_bad_one_are_kept_and_the_store_can_be_used_again(folder: Path) -> None:
    before = [tuple(row) for row in Journal(folder, read_only=True).raw()]
    connection = sqlite3.connect(folder / "journal.sqlite")
    with connection:
        connection.execute("UPDATE events SET payload = x'00' WHERE sequence = 2100")
    connection.close()
    with pytest.raises(JournalCorrupt, match="row 2100"):
        Store.open(folder, write=True)
    done = repair(folder)
    assert (done.kept, done.acknowledged) == (2099, ROWS)
    assert done.damaged is not None
    assert sorted(path.name for path in done.damaged.iterdir()) >= ["journal.head", "journal.sqlite"]
    with Store.open(folder, write=True) as store:
        assert [tuple(row) for row in store.journal.raw()] == before[:2099]
        assert store.journal.append([delivered(0)]) == 2100
    assert check(folder).clean


@pytest.mark.parametrize("damage", ["head", "no head", "no table", "garbage"])
def test_whatever_is_damaged_the_sound_rows_are_kept(folder: Path, damage: str) -> None:
    if damage == "head":
        flip(folder / "journal.head", 3)
        flip(folder / "journal.head", 4099)
    elif damage == "no head":
        (folder / "journal.head").unlink()
    elif damage == "no table":
        (folder / "journal.sqlite").unlink()
    else:
        (folder / "journal.sqlite").write_bytes(b"\x01" * 100_000)
    kept = repair(folder).kept
    assert kept == (ROWS if "head" in damage else 0)
    with Store.open(folder, write=True) as store:
        assert store.journal.count == kept


def test_a_sound_journal_is_left_as_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder)]) == 0
    assert capsys.readouterr().out == f"the journal is sound: {ROWS} rows; nothing was changed\n"
    assert not list(folder.glob("journal-damaged-*"))


def test_the_command_says_what_it_did_or_why_not(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "journal.head").unlink()
    assert main([str(folder)]) == 0
    assert capsys.readouterr().out == f"kept {ROWS} rows; the damaged files are in {folder}/journal-damaged-1\n"
    assert main([]) == 2
    assert main([str(folder / "nothing")]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_a_store_in_use_is_not_repaired(folder: Path) -> None:
    with Store.open(folder, write=True), pytest.raises(StoreLocked):
        repair(folder)
