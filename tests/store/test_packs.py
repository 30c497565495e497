"""Packs: plain zarr arrays in which every byte is covered by a digest."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import zarr
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from zarr.core.metadata.v3 import ArrayV3Metadata

from store.blobs import BlobStore
from store.check import check
from store.elements import DTYPES, Block
from store.errors import NotCanonical
from store.packs import lay_out, parse, render
from tests.store.builders import flip, new_store, save

elements = st.sampled_from(sorted(DTYPES))


def block(dtype: str, values: list[int]) -> Block:
    return Block(dtype, np.array(values, dtype=DTYPES[dtype]))


def test_zarr_reads_a_pack_as_it_is(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    arrays = [np.arange(10, dtype=np.float32), np.arange(7, dtype=np.int64), np.array([True, False])]
    digests = blobs.put(arrays)
    (name,) = blobs.names()
    array = zarr.open_array(blobs.packs / name[:2] / name, mode="r")
    assert isinstance(array.attrs["coldframe"], dict)
    found = {}
    data = np.asarray(array[:])
    for digest, dtype, offset, length in array.attrs["coldframe"]["blocks"]:
        raw = data[offset : offset + length * np.dtype(dtype).itemsize]
        found[digest] = raw.view(dtype)
    for digest, original in zip(digests, arrays, strict=True):
        np.testing.assert_array_equal(found[digest], original)


def test_the_metadata_is_what_zarr_itself_understands() -> None:
    rendered = json.loads(render([entry for entry, _ in lay_out([block("float32", [1, 2])])]))
    understood = ArrayV3Metadata.from_dict(dict(rendered)).to_dict()
    for key in ("shape", "fill_value", "attributes", "zarr_format", "node_type"):
        assert json.loads(json.dumps(understood[key])) == rendered[key]


def test_a_pack_of_nothing_but_empty_blocks_can_be_read(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    (digest,) = blobs.put([np.empty(0, dtype=np.float32)])
    assert blobs.get([digest])[digest].shape == (0,)
    (name,) = blobs.names()
    assert zarr.open_array(blobs.packs / name[:2] / name, mode="r").shape == (0,)


@given(st.lists(st.tuples(elements, st.lists(st.integers(0, 1), max_size=9)), max_size=9))
def test_blocks_lie_aligned_without_gaps_and_the_index_comes_back(contents: list[tuple[str, list[int]]]) -> None:
    placed = lay_out([block(dtype, values) for dtype, values in contents])
    end = 0
    for entry, stored in placed:
        assert entry.offset == end
        assert entry.offset % DTYPES[entry.dtype].itemsize == 0
        assert entry.digest == stored.digest
        end += entry.size
    metadata = render([entry for entry, _ in placed])
    assert parse(blake3(metadata).hexdigest(), metadata) == [entry for entry, _ in placed]


def test_a_block_is_named_by_its_type_and_length_as_well_as_its_bytes() -> None:
    same_bytes = [
        block("uint16", [1, 2]),
        block("bfloat16", [1, 2]),
        block("int16", [1, 2]),
        block("uint32", [1 + (2 << 16)]),
    ]
    assert len({each.digest for each in same_bytes}) == 4


def test_arrays_are_stored_little_endian_and_flat_whatever_they_were() -> None:
    plain = np.arange(6, dtype="<f4").reshape(2, 3)
    assert Block.of(plain.astype(">f4")).digest == Block.of(plain).digest
    assert Block.of(np.asfortranarray(plain)).digest == Block.of(plain).digest
    assert Block.of(plain[:, ::-1][:, ::-1]).digest == Block.of(plain).digest


@pytest.mark.parametrize("dtype", ["complex64", "object", "datetime64[s]", "U3"])
def test_element_types_that_are_not_numbers_are_refused(dtype: str) -> None:
    with pytest.raises(NotCanonical, match="known are"):
        Block.of(np.zeros(2, dtype=dtype))
    with pytest.raises(NotCanonical, match="bfloat16"):
        Block.of(np.zeros(2, dtype=np.float32), "bfloat16")


@pytest.mark.parametrize(
    "entry",
    [
        ["0" * 63, "float32", 0, 1],
        ["../" + "0" * 61, "float32", 0, 1],
        ["0" * 64, "object", 0, 1],
        ["0" * 64, "float32", 4, 1],
        ["0" * 64, "float32", 0, -1],
        ["0" * 64, "float32", 0, 1.5],
        ["0" * 64, "float32", 0, True],
        ["0" * 64, "float32", 0, 1 << 62],
        ["0" * 64, "float32", 0],
        7,
    ],
)
def test_an_impossible_index_is_refused_even_under_its_own_digest(entry: object) -> None:
    metadata = json.dumps({"attributes": {"coldframe": {"blocks": [entry]}}}).encode()
    with pytest.raises(ValueError, match=r"its (index is not possible|metadata is not a pack's)"):
        parse(blake3(metadata).hexdigest(), metadata)


def test_every_flipped_byte_of_a_pack_is_detected(tmp_path: Path) -> None:
    with new_store(tmp_path / "store") as store:
        save(store.checkpoints)
        (name,) = store.blobs.names()
        folder = store.blobs.packs / name[:2] / name
    draw = random.Random(3)
    for file in ("c.0", "zarr.json"):
        sound = (folder / file).read_bytes()
        for offset in {0, len(sound) - 1, *(draw.randrange(len(sound)) for _ in range(60))}:
            flip(folder / file, offset)
            assert not check(tmp_path / "store").clean, f"byte {offset} of {file}"
            (folder / file).write_bytes(sound)
    assert check(tmp_path / "store").clean
