"""Checkpoints: the same state has the same name, comes back bit for bit, and damage is always noticed."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from store.checkpoints import CheckpointStore
from store.errors import (
    BlobCorrupt,
    BlobMissing,
    InvalidDigest,
    ManifestCorrupt,
    ManifestMissing,
    NotCanonical,
    StoreReadOnly,
)
from store.manifests import LARGEST_MANIFEST, decode, encode
from store.records.base import canonical
from tests.store.builders import child, equal, finish, flip, save, state

dtypes = st.sampled_from(["float32", "float64", "float16", "int64", "uint8", "bool"])
shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
names = st.text(st.characters(codec="utf-8"), max_size=8)
blocks = st.dictionaries(names, dtypes.flatmap(lambda dtype: hnp.arrays(dtype, shapes)), min_size=1, max_size=4)
states = st.dictionaries(
    st.sampled_from(["model", "optimizer"]), st.dictionaries(names, blocks, min_size=1, max_size=3), min_size=1
)


def reverse(value: Any) -> Any:
    """The same mappings, the other way round."""
    return {key: reverse(value[key]) for key in reversed(value)} if isinstance(value, dict) else value


@settings(max_examples=25, deadline=None)
@given(tensors=states)
def test_any_state_comes_back_and_its_digest_does_not_depend_on_order(
    tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, Any]
) -> None:
    checkpoints = CheckpointStore(tmp_path_factory.mktemp("store"))
    digest = save(checkpoints, tensors=tensors, sums={"loss": 1.5, "images": 3.0})
    assert save(checkpoints, tensors=reverse(tensors), sums={"images": 3.0, "loss": 1.5}) == digest
    loaded = checkpoints.load(digest)
    assert equal(loaded.tensors, tensors)
    assert all(block.covers for block in loaded.manifest.blocks)
    assert encode(loaded.manifest) == canonical(loaded.manifest)


def test_a_checkpoint_comes_back_in_another_process_store_with_its_place_in_the_training(tmp_path: Path) -> None:
    digest = save(CheckpointStore(tmp_path), seed=3, epoch=2, step=7, sums={"loss": 0.1}, position='{"rng": 1}')
    manifest, tensors = CheckpointStore(tmp_path).load(digest)
    assert (manifest.candidate, manifest.epoch, manifest.step) == (f"{3:064x}", 2, 7)
    assert [each.epoch for each in manifest.history] == [1, 2]
    assert (manifest.sums, manifest.position) == ({"loss": 0.1}, '{"rng": 1}')
    assert equal(tensors, state(3002))
    assert tensors["model"]["cells.1"]["cells.1.batches"].shape == ()
    assert CheckpointStore(tmp_path).manifest(digest) == manifest


def test_loaded_tensors_are_writable_and_do_not_overlap_even_where_blocks_are_equal(tmp_path: Path) -> None:
    checkpoints = CheckpointStore(tmp_path)
    alike = {"w": np.zeros((2, 2), dtype=np.float32), "b": np.zeros(2, dtype=np.float32)}
    digest = save(checkpoints, tensors={"model": {"a": alike, "b": alike}, "optimizer": {"a": alike}})
    tensors = checkpoints.load(digest).tensors
    arrays = [array for blocks in tensors.values() for named in blocks.values() for array in named.values()]
    for number, array in enumerate(arrays):
        assert (array == 0).all()
        array += number + 1
    assert equal(checkpoints.load(digest).tensors["model"], {"a": alike, "b": alike})


def test_some_blocks_are_read_alone_and_the_others_may_be_gone(tmp_path: Path) -> None:
    checkpoints = CheckpointStore(tmp_path)
    digest = save(checkpoints)
    wanted = ("cells.1", "cells.3")
    keep = [
        each.blob for each in checkpoints.manifest(digest).blocks if (each.role, each.block) == ("model", "cells.1")
    ]
    assert equal(checkpoints.load_blocks(digest, wanted), {name: state(1)["model"][name] for name in wanted})
    assert equal(
        checkpoints.load_blocks(digest, wanted[:1], "optimizer"), {"cells.1": state(1)["optimizer"]["cells.1"]}
    )
    assert checkpoints.load_blocks(digest, ["elsewhere"]) == {}
    (pack,) = checkpoints.blobs.names()
    assert checkpoints.blobs.rewrite(pack, keep, newer_than=float("inf"))
    assert equal(checkpoints.load_blocks(digest, wanted[:1]), {"cells.1": state(1)["model"]["cells.1"]})
    for ask in (lambda: checkpoints.load(digest), lambda: checkpoints.load_blocks(digest, wanted)):
        with pytest.raises(BlobMissing):
            ask()


def test_a_damaged_block_is_noticed_by_who_reads_it_and_by_nobody_else(tmp_path: Path) -> None:
    checkpoints = CheckpointStore(tmp_path)
    digest = save(checkpoints)
    weights = state(1)["model"]["cells.2"]["cells.2.weight"].tobytes()
    (pack,) = checkpoints.blobs.names()
    chunk = checkpoints.blobs.packs / pack[:2] / pack / "c.0"
    flip(chunk, chunk.read_bytes().index(weights) + 5)
    with pytest.raises(BlobCorrupt):
        checkpoints.load_blocks(digest, ["cells.1", "cells.2"])
    assert equal(checkpoints.load_blocks(digest, ["cells.1"]), {"cells.1": state(1)["model"]["cells.1"]})
    with pytest.raises(ManifestMissing):
        checkpoints.load_blocks("0" * 64, ["cells.1"])


def test_bfloat16_is_named_in_the_manifest(tmp_path: Path) -> None:
    checkpoints = CheckpointStore(tmp_path)
    tensors = {"model": {"a": {"w": np.arange(4, dtype=np.uint16).reshape(2, 2), "n": np.array(3, dtype=np.uint16)}}}
    digest = save(checkpoints, tensors=tensors, dtypes={("model", "a", "w"): "bfloat16"})
    loaded = checkpoints.load(digest)
    assert [(block.dtype, block.names) for block in loaded.manifest.blocks] == [
        ("bfloat16", ("w",)),
        ("uint16", ("n",)),
    ]
    assert equal(loaded.tensors, tensors)


def test_everything_that_decides_the_state_decides_the_digest(tmp_path: Path) -> None:
    checkpoints = CheckpointStore(tmp_path)
    changes: list[dict[str, Any]] = [
        *({}, {"step": 1}, {"sums": {"loss": 1.0}}, {"position": "{ }"}, {"candidate": "x"}, {"history": []}),
        {"tensors": state(5)},
    ]
    assert len({save(checkpoints, **change) for change in changes}) == len(changes)


def test_unchanged_blocks_are_shared_between_checkpoints(tmp_path: Path) -> None:
    checkpoints = CheckpointStore(tmp_path)
    first, second = (checkpoints.manifest(save(checkpoints, epoch=epoch, shared=3)) for epoch in (1, 2))
    shared = {block.blob for block in first.blocks} & {block.blob for block in second.blocks}
    assert len(shared) == 6 + 4  # the weights and the momentum of three blocks, and four counters


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused_in_the_manifest(tmp_path: Path, value: float) -> None:
    with pytest.raises(NotCanonical, match="not finite"):
        save(CheckpointStore(tmp_path), sums={"loss": value})


def test_tensors_may_hold_any_bits(tmp_path: Path) -> None:
    tensors = {"model": {"a": {"w": np.array([np.nan, -np.inf, -0.0], dtype=np.float32)}}}
    checkpoints = CheckpointStore(tmp_path)
    assert equal(checkpoints.load(save(checkpoints, tensors=tensors)).tensors, tensors)


def test_an_absent_checkpoint_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ManifestMissing, match="earlier one"):
        CheckpointStore(tmp_path).load("0" * 64)


@pytest.mark.parametrize("name", ["../" + "0" * 61, "/etc/passwd", "", "0" * 64 + "\0", "F" * 64])
def test_hostile_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidDigest):
        CheckpointStore(tmp_path).load(name)


def test_every_flipped_or_lost_byte_of_a_manifest_is_detected(tmp_path: Path) -> None:
    checkpoints = CheckpointStore(tmp_path)
    digest = save(checkpoints)
    path = checkpoints.path(digest)
    sound = path.read_bytes()
    draw = random.Random(4)
    for offset in (draw.randrange(len(sound)) for _ in range(200)):
        flip(path, offset)
        with pytest.raises(ManifestCorrupt, match="digest that names it"):
            checkpoints.load(digest)
        path.write_bytes(sound[:offset])
        with pytest.raises(ManifestCorrupt, match="digest that names it"):
            checkpoints.load(digest)
        path.write_bytes(sound)
    assert checkpoints.load(digest).manifest.epoch == 1


def test_saving_again_heals_a_damaged_manifest(tmp_path: Path) -> None:
    checkpoints = CheckpointStore(tmp_path)
    digest = save(checkpoints)
    os.truncate(checkpoints.path(digest), 10)
    assert save(checkpoints) == digest
    assert equal(checkpoints.load(digest).tensors, state(1))


def test_a_damaged_block_is_named(tmp_path: Path) -> None:
    checkpoints = CheckpointStore(tmp_path)
    digest = save(checkpoints)
    (pack,) = checkpoints.blobs.names()
    flip(checkpoints.blobs.packs / pack[:2] / pack / "c.0", 1)
    with pytest.raises(BlobCorrupt) as error:
        checkpoints.load(digest)
    assert error.value.digest in {block.blob for block in checkpoints.manifest(digest).blocks}
    checkpoints.blobs.quarantine(error.value.digest)
    with pytest.raises(BlobMissing, match=error.value.digest):
        checkpoints.load(digest)
    assert save(checkpoints) == digest
    assert equal(checkpoints.load(digest).tensors, state(1))


def forged(change: dict[str, Any], block: dict[str, Any]) -> bytes:
    """A manifest that somebody else wrote, under its own digest."""
    part = {"role": "model", "block": "a", "dtype": "float32", "blob": "0" * 64} | block
    part = {"names": ["x", "y"], "shapes": [[2, 2], []], "offsets": [0, 4]} | part
    fields = {"candidate": "c", "epoch": 1, "step": 0, "history": [], "sums": {}, "position": "", "blocks": [part]}
    return msgpack.packb(fields | change)


@pytest.mark.parametrize(
    ("change", "block", "message"),
    [
        ({}, {"offsets": [0, 5]}, "do not cover"),
        ({}, {"offsets": [0, 3]}, "do not cover"),
        ({}, {"offsets": [1, 5]}, "do not cover"),
        ({}, {"offsets": [0]}, "do not cover"),
        ({}, {"names": ["x"]}, "do not cover"),
        ({}, {"names": ["x", "x"]}, "do not cover"),
        ({}, {"shapes": [[2, -2], []]}, "not a manifest"),
        ({}, {"shapes": [[1 << 62], []]}, "not a manifest"),
        ({}, {"dtype": "object"}, "element type"),
        ({}, {"blob": "../../etc/passwd"}, "not the digest"),
        ({"blocks": 3}, {}, "not a manifest"),
        ({"epoch": -1}, {}, "not a manifest"),
        ({"sums": None}, {}, "not a manifest"),
    ],
)
def test_a_forged_manifest_is_refused_before_anything_is_read(
    change: dict[str, Any], block: dict[str, Any], message: str
) -> None:
    assert decode(blake3(data := forged({}, {})).hexdigest(), data).epoch == 1
    data = forged(change, block)
    with pytest.raises(ManifestCorrupt, match=message):
        decode(blake3(data).hexdigest(), data)


def test_a_manifest_that_names_a_block_twice_is_refused() -> None:
    twice = msgpack.unpackb(forged({}, {}))
    twice["blocks"] *= 2
    data = msgpack.packb(twice)
    with pytest.raises(ManifestCorrupt, match="twice"):
        decode(blake3(data).hexdigest(), data)


@given(st.binary(max_size=200))
def test_any_bytes_under_their_own_digest_are_refused_in_good_order(data: bytes) -> None:
    with pytest.raises(ManifestCorrupt):
        decode(blake3(data).hexdigest(), data)


@pytest.mark.parametrize("data", [b"\xdd\xff\xff\xff\xff", b"\x91" * 5000 + b"\x01", b"\xc6\xff\xff\xff\xff"])
def test_msgpack_bombs_are_refused(data: bytes) -> None:
    with pytest.raises(ManifestCorrupt, match="not a manifest"):
        decode(blake3(data).hexdigest(), data)


def test_a_manifest_larger_than_the_limit_is_not_even_hashed(tmp_path: Path) -> None:
    checkpoints = CheckpointStore(tmp_path)
    digest = save(checkpoints)
    os.truncate(checkpoints.path(digest), LARGEST_MANIFEST + 1000)
    with pytest.raises(ManifestCorrupt, match="larger"):
        checkpoints.load(digest)


def test_a_manifest_whose_blocks_are_of_another_length_is_refused_before_they_are_read(tmp_path: Path) -> None:
    checkpoints = CheckpointStore(tmp_path)
    (blob,) = checkpoints.blobs.put([np.zeros(4, dtype=np.float32)])
    data = forged({}, {"blob": blob})
    digest = blake3(data).hexdigest()
    checkpoints.path(digest).parent.mkdir()
    checkpoints.path(digest).write_bytes(data)
    with pytest.raises(ManifestCorrupt, match="not the one that is stored"):
        checkpoints.load(digest)


def test_a_store_opened_for_reading_takes_no_checkpoints(tmp_path: Path) -> None:
    digest = save(CheckpointStore(tmp_path))
    reader = CheckpointStore(tmp_path, read_only=True)
    assert equal(reader.load(digest).tensors, state(1))
    with pytest.raises(StoreReadOnly):
        save(reader)


def test_where_there_is_no_room_nothing_half_written_is_left(tmp_path: Path) -> None:
    lines = finish(child("save_in_little_space", tmp_path, 4000))
    assert lines[0].startswith("StoreFull no room to write")
    assert lines[1] == "0 0"
    assert equal(CheckpointStore(tmp_path).load(lines[2]).tensors, state(1))
