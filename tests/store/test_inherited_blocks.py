"""Blocks that networks still to be trained start from: garbage collection leaves them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from store.blobs import BlobStore
from store.check import check
from store.errors import BlobMissing, ManifestMissing
from store.gc import collect
from store.opening import Store
from store.records.candidates import DataSpec, Named
from store.records.events import (
    AnyEvent,
    CheckpointQuarantined,
    JobSucceeded,
    Requested,
    SearchFinished,
    SearchOpened,
    StateSaved,
    WeightsMatched,
)
from store.records.knowledge import Inheritance, InheritedBlock
from store.records.outcomes import Measured
from store.records.requests import Train
from store.records.spec import SearchSpec
from store.roots import Roots
from tests.store.builders import candidate, new_store, save, saved

BLOCK = "cells.2"


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A checkpoint that nothing but its block would keep: its candidate has a newer one."""
    with new_store(tmp_path) as store:
        digest, newer = save(store.checkpoints, seed=1, epoch=1), save(store.checkpoints, seed=1, epoch=2)
        store.journal.append([saved(digest, seed=1, epoch=1), saved(newer, seed=1, epoch=2)])
    return digest


def collected(folder: Path, *events: AnyEvent) -> None:
    """Journals events, and collects everything that is not needed."""
    with Store.open(folder, write=True) as store:
        store.journal.append(events)
    then = time.time() - 10_000
    for path in (*(folder / "blobs" / "packs").rglob("*"), *(folder / "manifests").rglob("*")):
        os.utime(path, (then, then))
    assert collect(folder, dry_run=False).problems == ()
    assert check(folder).clean


def blocks_there(folder: Path, digest: str) -> set[tuple[str, str]]:
    """Role and name of a manifest's blocks whose weights are in the store; none if the manifest is gone."""
    with Store.open(folder, write=False) as store:
        try:
            blocks = store.checkpoints.manifest(digest).blocks
        except ManifestMissing:
            return set()
        weights = [block for block in blocks if block.dtype == "float32"]  # their counters are alike, and so shared
        return {(block.role, block.block) for block in weights if _is_there(store.blobs, block.blob)}


def _is_there(blobs: BlobStore, digest: str) -> bool:
    try:
        return bool(blobs.get([digest]))
    except BlobMissing:
        return False


def training(source: str) -> Requested:
    """A request for a network that starts from the source's block."""
    request = Train(candidate=candidate(7).inheriting((f"cells.0={source}/{BLOCK}",)), epochs=3)
    return Requested(search="a" * 64, index=0, job=request.key, request=request, answer="queued")


def matched(source: str, call: int = 0, search: str = "a" * 64) -> WeightsMatched:
    """The pool's answer that names the source's block."""
    blocks = (
        InheritedBlock(block="cells.0", source=f"{source}/{BLOCK}", similarity=0.9),
        InheritedBlock(block="cells.1", source="", similarity=0.2),
    )
    return WeightsMatched(search=search, call=call, inheritance=Inheritance(blocks=blocks))


def state(calls: int) -> StateSaved:
    return StateSaved(search="a" * 64, requests=0, calls=calls, state=b"\x90", rng="{}")


def test_without_a_use_it_goes(tmp_path: Path, source: str) -> None:
    collected(tmp_path, state(0))
    assert blocks_there(tmp_path, source) == set()


def test_the_block_of_a_queued_training_stays_and_the_others_of_its_network_go(tmp_path: Path, source: str) -> None:
    collected(tmp_path, training(source))
    assert blocks_there(tmp_path, source) == {("model", BLOCK)}


def test_a_training_that_has_ended_needs_its_start_no_more(tmp_path: Path, source: str) -> None:
    asked, outcome = training(source), Measured(parameters=1, multiply_adds=1)
    collected(tmp_path, asked, JobSucceeded(job=asked.job, attempt=1, outcome=outcome, seconds=1.0))
    assert blocks_there(tmp_path, source) == set()


def test_what_the_pool_answered_since_the_last_saved_state_stays(tmp_path: Path, source: str) -> None:
    collected(tmp_path, state(3), matched(source, call=3))
    assert blocks_there(tmp_path, source) == {("model", BLOCK)}


def test_what_the_pool_answered_before_the_last_saved_state_goes(tmp_path: Path, source: str) -> None:
    collected(tmp_path, matched(source, call=2), state(3))
    assert blocks_there(tmp_path, source) == set()


def test_a_finished_search_needs_no_answers(tmp_path: Path, source: str) -> None:
    collected(tmp_path, matched(source), SearchFinished(search="a" * 64, result={}))
    assert blocks_there(tmp_path, source) == set()


def test_a_block_that_cannot_be_read_is_not_demanded(tmp_path: Path, source: str) -> None:
    lost = CheckpointQuarantined(checkpoint=source, blobs=(), message="flipped")
    with Store.open(tmp_path, write=True) as store:
        path = store.checkpoints.path(source)
    path.write_bytes(b"damaged")
    collected(tmp_path, matched(source), lost)


def test_what_a_later_search_took_over_stays_though_its_source_went_on(tmp_path: Path, source: str) -> None:
    strategy = Named(name="fnas", options={"transfer": {"critic": source}})
    spec = SearchSpec(name="later", strategy=strategy, space=Named(name="cell"), data=DataSpec(name="digits"))
    collected(tmp_path, SearchOpened(search="b" * 64, spec=spec))
    assert {role for role, _ in blocks_there(tmp_path, source)} == {"model", "optimizer"}


def test_answers_of_different_searches_are_kept_apart(tmp_path: Path, source: str) -> None:
    with Store.open(tmp_path, write=True) as store:
        store.journal.append([matched(source), matched(source, search="b" * 64), state(1)])
        assert Roots.of(store.journal).inherited.by_manifest() == {source: {BLOCK}}
        store.journal.append([SearchFinished(search="b" * 64, result={})])
        assert Roots.of(store.journal).inherited.by_manifest() == {}
