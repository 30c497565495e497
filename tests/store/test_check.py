"""`check` finds every kind of damage, and changes nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from store.check import CheckReport, check
from store.opening import Store
from store.records.events import CheckpointQuarantined
from tests.store.builders import flip, new_store, save, saved, succeeded


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with two checkpoints: one that is superseded, one that is needed."""
    with new_store(tmp_path) as store:
        first, second = (save(store.checkpoints, epoch=epoch) for epoch in (1, 2))
        store.journal.append([saved(first, epoch=1), saved(second, epoch=2)])
    return tmp_path


def digests(folder: Path) -> tuple[str, str]:
    """The superseded checkpoint's digest and the needed one's."""
    with Store.open(folder, write=False) as store:
        rows = list(store.journal.rows(types=["checkpoint_saved"]))
    first, second = (row.event.checkpoint for row in rows)  # type: ignore[union-attr]
    return first, second


def pack_of(folder: Path, digest: str) -> Path:
    with Store.open(folder, write=False) as store:
        blob = store.checkpoints.manifest(digest).blocks[0].blob
        name = store.blobs.index.find([blob])[blob][0].pack
        return store.blobs.packs / name[:2] / name


def times(folder: Path) -> dict[Path, int]:
    """When each file was written; SQLite makes its `-wal` and `-shm` wherever it reads, and they hold nothing."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm"))]
    return {path: path.stat().st_mtime_ns for path in files}


def kinds(report: CheckReport) -> set[str]:
    return {problem.kind for problem in report.problems}


def test_a_sound_store_is_clean_and_counted(folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    before = times(folder)
    report = check(folder, lambda done, total: seen.append((done, total)))
    assert report.clean
    assert (report.rows, report.packs, report.manifests, report.checkpoints) == (2, 2, 2, 1)
    assert report.blocks > 0
    assert report.bytes > 2 * 9000
    assert seen == [(0, 2), (1, 2), (2, 2)]
    assert times(folder) == before
    assert CheckReport.model_validate_json(report.model_dump_json()) == report
    assert report.model_dump(mode="json")["clean"] is True


def damage_block(folder: Path) -> None:
    flip(pack_of(folder, digests(folder)[1]) / "c.0", 100)


def damage_metadata(folder: Path) -> None:
    flip(pack_of(folder, digests(folder)[1]) / "zarr.json", 100)


def cut_chunk(folder: Path) -> None:
    os.truncate(pack_of(folder, digests(folder)[1]) / "c.0", 100)


def lengthen_chunk(folder: Path) -> None:
    with (pack_of(folder, digests(folder)[1]) / "c.0").open("ab") as chunk:
        chunk.write(b"x")


def remove_chunk(folder: Path) -> None:
    (pack_of(folder, digests(folder)[1]) / "c.0").unlink()


def remove_pack(folder: Path) -> None:
    shutil.rmtree(pack_of(folder, digests(folder)[1]))


def remove_manifest(folder: Path) -> None:
    digest = digests(folder)[1]
    (folder / "manifests" / digest[:2] / digest).unlink()


def damage_superseded_manifest(folder: Path) -> None:
    digest = digests(folder)[0]
    flip(folder / "manifests" / digest[:2] / digest, 3)


def damage_journal(folder: Path) -> None:
    (folder / "journal.head").write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (damage_block, {"block", "checkpoint"}),
        (damage_metadata, {"pack", "checkpoint"}),
        (cut_chunk, {"block", "pack", "checkpoint"}),
        (lengthen_chunk, {"pack"}),
        (remove_chunk, {"pack", "checkpoint"}),
        (remove_pack, {"checkpoint"}),
        (remove_manifest, {"checkpoint"}),
        (damage_superseded_manifest, {"manifest"}),
        (damage_journal, {"journal"}),
    ],
)
def test_every_kind_of_damage_is_reported(folder: Path, damage: Callable[[Path], None], expected: set[str]) -> None:
    damage(folder)
    report = check(folder)
    assert not report.clean
    assert kinds(report) == expected
    assert all(problem.message and problem.where for problem in report.problems)


def test_a_superseded_checkpoint_may_be_incomplete_or_gone(folder: Path) -> None:
    superseded, needed = digests(folder)
    with Store.open(folder, write=True) as store:
        first, second = (
            {block.blob for block in store.checkpoints.manifest(digest).blocks} for digest in (superseded, needed)
        )
        own = sorted(first - second)[0]
        place = store.blobs.index.find([own])[own][0]
        flip(store.blobs.packs / place.pack[:2] / place.pack / "c.0", place.entry.offset)
        assert store.blobs.quarantine(own) == (own,)
    assert check(folder).clean
    (folder / "manifests" / superseded[:2] / superseded).unlink()
    assert check(folder).clean


def test_what_was_quarantined_and_journalled_is_no_problem_until_it_is_saved_again(folder: Path) -> None:
    digest = digests(folder)[1]
    damage_block(folder)
    with Store.open(folder, write=True) as store:
        blobs = [block.blob for block in store.checkpoints.manifest(digest).blocks]
        lost = [gone for blob in blobs for gone in store.blobs.quarantine(blob)]
        assert len(lost) == 1
        store.journal.append([CheckpointQuarantined(checkpoint=digest, blobs=tuple(lost), message="damaged")])
    report = check(folder)
    assert report.clean
    assert (report.quarantined_packs, report.quarantined_checkpoints, report.checkpoints) == (1, 1, 1)
    with Store.open(folder, write=True) as store:
        assert save(store.checkpoints, epoch=2) == digest
        store.journal.append([saved(digest, epoch=2), succeeded(digest, epochs=2)])
    report = check(folder)
    assert (report.clean, report.quarantined_checkpoints, report.checkpoints) == (True, 0, 1)


def test_a_damaged_manifest_that_was_given_up_is_no_problem(folder: Path) -> None:
    digest = digests(folder)[1]
    os.truncate(folder / "manifests" / digest[:2] / digest, 10)
    assert kinds(check(folder)) == {"manifest"}
    with Store.open(folder, write=True) as store:
        store.journal.append([CheckpointQuarantined(checkpoint=digest, blobs=(), message="damaged")])
    assert check(folder).clean


def test_a_check_works_beside_a_writer(folder: Path) -> None:
    with Store.open(folder, write=True) as store:
        store.journal.append([saved(save(store.checkpoints, epoch=3), epoch=3)])
        report = check(folder)
    assert (report.clean, report.rows, report.checkpoints) == (True, 3, 1)
