"""Garbage collection: dry run first, never anything that the journal needs or that is young."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from store.blobs import BlobStore
from store.check import check
from store.checkpoints import CheckpointStore
from store.errors import JournalCorrupt, ManifestMissing, StoreLocked
from store.gc import collect, collect_states
from store.opening import Store
from store.records.events import CheckpointQuarantined, JobSucceeded, Requested, SearchFinished, StateSaved
from store.records.outcomes import Computed
from store.records.requests import Evaluate
from tests.store.builders import (
    candidate,
    child,
    computation,
    compute_chain,
    equal,
    flip,
    new_store,
    save,
    saved,
    state,
    succeeded,
)


def age(folder: Path, seconds: float = 10_000) -> None:
    """Makes everything that is stored look old."""
    then = time.time() - seconds
    for path in (*(folder / "blobs" / "packs").rglob("*"), *(folder / "manifests").rglob("*")):
        os.utime(path, (then, then))


def files(folder: Path) -> list[Path]:
    """What is stored; SQLite makes its `-wal` and `-shm` wherever it reads."""
    return sorted(path for path in folder.rglob("*") if not path.name.endswith(("-wal", "-shm")))


def size(folder: Path) -> int:
    parts = (folder / "blobs" / "packs", folder / "manifests")
    return sum(path.stat().st_size for part in parts for path in part.rglob("*") if path.is_file())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A candidate trained for three epochs, with an outcome at the second; and one checkpoint that no row names."""
    with new_store(tmp_path) as store:
        digests = [save(store.checkpoints, epoch=epoch) for epoch in (1, 2, 3)]
        for epoch, digest in enumerate(digests, start=1):
            store.journal.append([saved(digest, epoch=epoch)])
        store.journal.append([succeeded(digests[1], epochs=2)])
        save(store.checkpoints, seed=9)
    age(tmp_path)
    return tmp_path


def epochs(folder: Path) -> list[tuple[int, int]]:
    """Candidate and epoch of the checkpoints that can be loaded."""
    with Store.open(folder, write=False) as store:
        manifests = [store.checkpoints.load(digest).manifest for digest in store.checkpoints.digests()]
        return sorted((int(manifest.candidate, 16), manifest.epoch) for manifest in manifests)


def test_a_dry_run_says_what_would_go_and_removes_nothing(folder: Path) -> None:
    before = files(folder)
    report = collect(folder)
    assert (report.dry_run, report.manifests_removed, report.manifests_kept) == (True, 2, 2)
    assert files(folder) == before
    real = collect(folder, dry_run=False)
    assert real.model_copy(update={"dry_run": True}) == report


def test_superseded_and_unnamed_checkpoints_go_and_outcomes_and_the_newest_stay(folder: Path) -> None:
    before = size(folder)
    report = collect(folder, dry_run=False)
    assert epochs(folder) == [(0, 2), (0, 3)]
    assert (report.manifests_removed, report.manifests_kept, report.problems) == (2, 2, ())
    assert report.packs_removed + report.packs_rewritten == 2
    assert report.bytes_freed > 0.8 * (before - size(folder)) > 0
    assert check(folder).clean
    assert collect(folder, dry_run=False).bytes_freed == 0


def test_the_furthest_checkpoint_stays_even_where_fewer_epochs_were_asked_for_later(folder: Path) -> None:
    """Else a training that was interrupted there would lose what it has."""
    with Store.open(folder, write=True) as store:
        again = save(store.checkpoints, epoch=1)
        store.journal.append([saved(again, epoch=1)])
    age(folder)
    collect(folder, dry_run=False)
    assert epochs(folder) == [(0, 1), (0, 2), (0, 3)]


def test_a_manifest_that_another_removes_meanwhile_is_passed_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = CheckpointStore.digests
    monkeypatch.setattr(CheckpointStore, "digests", lambda store: ["0" * 64, *digests(store)])
    assert collect(folder).manifests_removed == 2


def test_what_is_young_stays(folder: Path) -> None:
    assert collect(folder, dry_run=False, grace_seconds=20_000).manifests_removed == 0
    assert len(epochs(folder)) == 4


def test_putting_a_block_again_protects_its_pack(folder: Path) -> None:
    """A writer that found its blocks stored already has not written its manifest yet when gc comes."""
    with Store.open(folder, write=True) as store:
        lonely = set(store.checkpoints.digests()) - {
            row.event.checkpoint  # type: ignore[union-attr]
            for row in store.journal.rows(types=["checkpoint_saved"])
        }
        manifest = store.checkpoints.manifest(lonely.pop())
        store.blobs.put([store.blobs.get([block.blob])[block.blob] for block in manifest.blocks])
    report = collect(folder, dry_run=False)
    assert report.manifests_removed == 2
    with Store.open(folder, write=True) as store:
        assert all(block.blob in store.blobs for block in manifest.blocks)
        assert save(store.checkpoints, seed=9)
    assert check(folder).clean


def test_a_pack_that_is_mostly_dead_is_written_anew_and_its_live_blocks_stay(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        first = save(store.checkpoints, epoch=1, shared=1)
        second = save(store.checkpoints, epoch=2, shared=1)
        store.journal.append([saved(first, epoch=1), saved(second, epoch=2)])
        packs = set(store.blobs.names())
    age(tmp_path)
    report = collect(tmp_path, dry_run=False)
    assert (report.packs_rewritten, report.packs_kept, report.packs_removed) == (1, 1, 0)
    with Store.open(tmp_path, write=False) as store:
        assert len(set(store.blobs.names()) & packs) == 1
        assert equal(store.checkpoints.load(second).tensors, state(2, shared=1))
    assert check(tmp_path).clean
    assert size(tmp_path) < 1.1 * report.bytes_kept


def test_a_store_in_use_is_collected_only_in_a_dry_run(folder: Path) -> None:
    with Store.open(folder, write=True):
        assert collect(folder).manifests_removed == 2
        with pytest.raises(StoreLocked):
            collect(folder, dry_run=False)


def test_nothing_is_removed_on_the_word_of_a_damaged_journal(folder: Path) -> None:
    (folder / "journal.head").write_bytes(b"")
    before = size(folder)
    with pytest.raises(JournalCorrupt):
        collect(folder, dry_run=False)
    assert size(folder) == before


def test_nothing_is_removed_while_a_needed_manifest_is_damaged(folder: Path) -> None:
    with Store.open(folder, write=False) as store:
        (event,) = (row.event for row in store.journal.rows(types=["job_succeeded"]))
        path = store.checkpoints.path(event.outcome.checkpoint)  # type: ignore[union-attr]
    flip(path, 5)
    age(folder)
    before = size(folder)
    report = collect(folder, dry_run=False)
    assert size(folder) == before
    assert "Nothing was removed" in report.problems[0]


def test_a_damaged_pack_is_left_alone(folder: Path) -> None:
    pack = next(path.parent for path in (folder / "blobs" / "packs").rglob("zarr.json"))
    flip(pack / "zarr.json", 5)
    age(folder)
    report = collect(folder, dry_run=False)
    assert any("left alone" in problem for problem in report.problems)
    assert pack.exists()


def test_a_kill_between_manifests_and_blocks_leaves_a_sound_store(folder: Path) -> None:
    checkpoints = CheckpointStore(folder)
    for digest in checkpoints.digests():
        if checkpoints.manifest(digest).candidate == f"{9:064x}":
            checkpoints.path(digest).unlink()
    assert check(folder).clean
    collect(folder, dry_run=False)
    assert epochs(folder) == [(0, 2), (0, 3)]


def test_checkpoints_that_an_evaluation_a_state_or_a_result_needs_stay(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        digests = [save(store.checkpoints, epoch=epoch) for epoch in range(1, 7)]
        for epoch, digest in enumerate(digests, start=1):
            store.journal.append([saved(digest, epoch=epoch)])
        asked = Evaluate(candidate=candidate(), checkpoint=digests[0])
        store.journal.append(
            [
                Requested(search="a", index=0, job=asked.key, request=asked, answer="queued"),
                StateSaved(search="a", requests=0, calls=0, state=b"\x01" + digests[4].encode(), rng="{}"),
                StateSaved(search="a", requests=0, calls=0, state=b"\x01" + digests[1].encode() + b"\xff", rng="{}"),
                SearchFinished(search="a", result={"best": [{"checkpoint": digests[2]}]}),
            ]
        )
    age(tmp_path)
    collect(tmp_path, dry_run=False)
    assert [epoch for _, epoch in epochs(tmp_path)] == [1, 2, 3, 6]


def test_of_a_candidate_whose_newest_checkpoint_was_given_up_the_one_before_stays(folder: Path) -> None:
    with Store.open(folder, write=True) as store:
        newest = [row.event.checkpoint for row in store.journal.rows(types=["checkpoint_saved"])][-1]  # type: ignore[union-attr]
        store.journal.append([CheckpointQuarantined(checkpoint=newest, blobs=(), message="damaged")])
    collect(folder, dry_run=False)
    assert epochs(folder) == [(0, 2)]
    with Store.open(folder, write=False) as store, pytest.raises(ManifestMissing):
        store.checkpoints.load(newest)


def test_collecting_an_empty_store_does_nothing(tmp_path: Path) -> None:
    new_store(tmp_path).close()
    assert collect(tmp_path, dry_run=False).bytes_freed == 0
    shutil.rmtree(tmp_path / "blobs")
    shutil.rmtree(tmp_path / "manifests")
    assert collect(tmp_path).bytes_kept == 0


@pytest.mark.parametrize("epoch", [1, 7])
def test_a_writer_that_was_stopped_between_blocks_and_manifest_loses_nothing(folder: Path, epoch: int) -> None:
    """Its blocks are new (epoch 7), or were found stored in a pack that nothing else needs (epoch 1)."""
    with Store.open(folder, write=False) as store:
        old = store.checkpoints.digests()
    writer = child("save_with_a_pause", folder, epoch)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "blocks are stored\n"
    assert collect(folder, dry_run=False).manifests_removed == 2
    out, err = writer.communicate("go on\n", timeout=30)
    assert writer.returncode == 0, err
    assert (out.strip() in old) == (epoch == 1)
    with Store.open(folder, write=False) as store:
        assert equal(store.checkpoints.load(out.strip()).tensors, state(epoch))


def test_a_pack_that_is_touched_while_it_is_removed_stays(folder: Path) -> None:
    blobs = BlobStore(folder)
    (pack, *_) = blobs.names()
    before = time.time() - 100
    os.utime(blobs.packs / pack[:2] / pack)
    assert not blobs.discard(pack, before)
    assert pack in set(blobs.names())
    os.utime(blobs.packs / pack[:2] / pack, (before - 1, before - 1))
    assert blobs.discard(pack, before)
    assert pack not in set(blobs.names())
    assert list(blobs.temporary.iterdir()) == []


def state_saved(requests: int, state: bytes = b"", pending: tuple[int, ...] = ()) -> StateSaved:
    return StateSaved(search="s", requests=requests, calls=0, state=state, rng="{}", pending=pending)


def left_of(folder: Path, states: list[str]) -> list[int]:
    """Collects what is old, and returns which of some states can still be loaded."""
    age(folder)
    assert collect(folder, dry_run=False).problems == ()
    assert check(folder).clean
    with Store.open(folder, write=False) as store:
        there = set(store.checkpoints.digests())
        left = [place for place, digest in enumerate(states) if digest in there]
        assert all(store.checkpoints.load(states[place]).tensors for place in left)
        return left


def test_states_computed_since_the_last_saved_state_stay_and_what_it_mentions(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        states = compute_chain(store, 7)
        store.journal.append([state_saved(5, states[4].encode())])
    assert left_of(tmp_path, states) == [4, 5, 6]


def test_states_that_a_saved_request_under_way_makes_stay(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        states = compute_chain(store, 5)
        store.journal.append([state_saved(4, pending=(2,))])
    assert left_of(tmp_path, states) == [2, 4]


def test_of_a_finished_search_only_the_state_of_its_result_stays(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        states = compute_chain(store, 4)
        store.journal.append([state_saved(2), SearchFinished(search="s", result={"state": states[2]})])
    assert left_of(tmp_path, states) == [2]


def test_a_state_that_another_search_waits_for_stays(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        states = compute_chain(store, 3)
        store.journal.append([SearchFinished(search="s", result={}), computation(9, states[1], search="other")])
    assert left_of(tmp_path, states) == [1]


def test_without_a_saved_state_all_states_stay(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        states = compute_chain(store, 3)
    assert left_of(tmp_path, states) == [0, 1, 2]


def test_a_writer_collects_superseded_states_and_nothing_else_that_has_a_name(folder: Path) -> None:
    """Checkpoints of trainings wait for `coldframe gc`; a state that shares blocks with one that goes stays whole."""
    with Store.open(folder, write=True) as store:
        states = compute_chain(store, 4)
        shared = computation(9)
        tensors = {"state": store.checkpoints.load(states[0]).tensors["state"]}
        states.append(save(store.checkpoints, candidate=shared.job, epoch=0, history=[], tensors=tensors))
        outcome = Computed(value=b"", state=states[-1])
        store.journal.append([shared, JobSucceeded(job=shared.job, attempt=1, outcome=outcome, seconds=1.0)])
        store.journal.append([state_saved(3)])
        before = set(store.checkpoints.digests()) - set(states)
        assert collect_states(store.journal, store.checkpoints) == set(), "they are young"
        assert collect_states(store.journal, store.checkpoints, grace_seconds=0.0) == set(states[:3])
        assert set(store.checkpoints.digests()) == before | {states[3], states[4]}
        assert store.checkpoints.load(states[4]).tensors["state"].keys() == tensors["state"].keys()
        packs = len(list(store.blobs.names()))
        assert collect_states(store.journal, store.checkpoints, grace_seconds=0.0) == set(states[:3])
        assert len(list(store.blobs.names())) == packs
    assert check(folder).clean
