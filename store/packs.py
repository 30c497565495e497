"""Packs: write-once zarr v3 arrays that hold the new blocks of one checkpoint, one after the other.

A pack is a folder with two files: `zarr.json`, the metadata of a one-dimensional uncompressed uint8 array of a single
chunk with the pack's index in its attributes, and `c.0`, that chunk. Its name is the BLAKE3 digest of `zarr.json`, each
block's name the digest of its bytes, and blocks lie without gaps, so every byte of a pack is covered by a digest. Any
zarr reader can open one; `docs/format.md` says why we write the two files ourselves.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from blake3 import blake3

from store.elements import DTYPES, Array, Block, block_digest, raw_bytes
from store.errors import BlobCorrupt, StoreFailed
from store.files import checked, disk_errors, is_digest, make_folder, remove, sync_folder, unique_name, write_synced

METADATA = "zarr.json"
CHUNK = "c.0"
_ATTRIBUTE = "coldframe"
_LARGEST_METADATA = 64 << 20
_LARGEST_READ = 1 << 30


class PackEntry(NamedTuple):
    """Where a block lies in a pack: `offset` in bytes, `length` in elements."""

    digest: str
    dtype: str
    offset: int
    length: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.length * DTYPES[self.dtype].itemsize


def lay_out(blocks: Sequence[Block]) -> list[tuple[PackEntry, Block]]:
    """Gives every block its place: wider elements first, so that each lies aligned without any gap."""
    placed, offset = [], 0
    for block in sorted(blocks, key=lambda block: -DTYPES[block.dtype].itemsize):
        entry = PackEntry(block.digest, block.dtype, offset, block.data.size)
        placed.append((entry, block))
        offset += entry.size
    return placed


def render(entries: Sequence[PackEntry]) -> bytes:
    """Returns the zarr v3 metadata of a pack; its digest is the pack's name."""
    size = sum(entry.size for entry in entries)
    metadata = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [size],
        "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [max(1, size)]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": 0,
        "codecs": [{"name": "bytes"}],
        "attributes": {_ATTRIBUTE: {"blocks": entries}},
    }
    return json.dumps(metadata, separators=(",", ":")).encode()


def parse(name: str, metadata: bytes) -> list[PackEntry]:
    """Returns the index of a pack.

    Raises:
        ValueError: if the metadata does not have the digest that names the pack, or the index is not possible.
    """
    if blake3(metadata).hexdigest() != name:
        raise ValueError("its metadata does not have the digest that names it")
    try:
        rows = json.loads(metadata)["attributes"][_ATTRIBUTE]["blocks"]
        entries = [PackEntry(*row) for row in rows]
    except (KeyError, TypeError) as error:
        raise ValueError("its metadata is not a pack's") from error
    offset = 0
    for entry in entries:
        if not is_possible(entry) or entry.offset != offset:
            raise ValueError("its index is not possible")
        offset += entry.size
    return entries


def is_possible(entry: PackEntry) -> bool:
    """Whether an entry that was read from a file can be one at all."""
    numbers = (entry.offset, entry.length)
    return (
        isinstance(entry.digest, str)
        and is_digest(entry.digest)
        and isinstance(entry.dtype, str)
        and entry.dtype in DTYPES
        and all(type(number) is int and 0 <= number < 1 << 60 for number in numbers)
    )


def pack_folder(packs: Path, name: str) -> Path:
    """Returns where a pack lies.

    Raises:
        InvalidDigest: if the name is not a digest.
    """
    return packs / checked(name)[:2] / name


def read_index(folder: Path) -> list[PackEntry]:
    """Reads a pack's own index.

    Raises:
        ValueError: if it is damaged.
        OSError: if it cannot be read.
    """
    with open(folder / METADATA, "rb") as file:
        metadata = file.read(_LARGEST_METADATA)
    return parse(folder.name, metadata)


def write_pack(packs: Path, temporary: Path, blocks: Sequence[Block]) -> tuple[str, list[PackEntry]]:
    """Writes a pack; when this returns, it is durable under its name.

    Args:
        packs: the folder of all packs.
        temporary: a folder on the same file system.
        blocks: what goes in, no digest twice.

    Raises:
        StoreFull, StoreReadOnly, StoreFailed: if the disk refuses; then nothing is left behind.
    """
    placed = lay_out(blocks)
    entries = [entry for entry, _ in placed]
    metadata = render(entries)
    name = blake3(metadata).hexdigest()
    draft = temporary / unique_name()
    with disk_errors(draft):
        try:
            draft.mkdir()
            write_synced(draft / CHUNK, [block.bytes for _, block in placed])
            write_synced(draft / METADATA, [memoryview(metadata)])
            sync_folder(draft)
            put_in_place(draft, pack_folder(packs, name))
        except BaseException:
            if draft.exists():
                remove(draft)
            raise
    return name, entries


def put_in_place(draft: Path, final: Path) -> None:
    """Gives a pack its name, durably; if there is one of that name by now, it is touched and the draft removed."""
    make_folder(final.parent)
    while not _is_in_place(draft, final):
        pass
    sync_folder(final.parent)


def _is_in_place(draft: Path, final: Path) -> bool:
    try:
        os.rename(draft, final)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        # Another process stored the same blocks at the same time: its pack is as good.
        try:
            os.utime(final)
        except FileNotFoundError:
            return False  # a collection looks whether it is old
        remove(draft)
    return True


@contextmanager
def open_chunk(folder: Path) -> Iterator[int]:
    """Opens a pack's bytes for `read_block`.

    Raises:
        FileNotFoundError: if they are not there.
        StoreFailed: if they cannot be opened.
    """
    try:
        handle = os.open(folder / CHUNK, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreFailed(folder / CHUNK, error.strerror or str(error)) from error
    try:
        yield handle
    finally:
        os.close(handle)


def read_block(handle: int, folder: Path, entry: PackEntry) -> Array:
    """Reads a block from a pack's open chunk and checks its digest.

    Returns:
        Shape (elements,), writable, of the numpy type that carries the block's elements.

    Raises:
        BlobCorrupt: if the bytes are not those that were stored.
        StoreFailed: if they cannot be read.
    """
    if os.fstat(handle).st_size < entry.offset + entry.size:
        raise BlobCorrupt(entry.digest, folder)
    data = np.empty(entry.length, dtype=DTYPES[entry.dtype])
    _read_into(handle, folder, entry.offset, raw_bytes(data))
    if block_digest(entry.dtype, data) != entry.digest:
        raise BlobCorrupt(entry.digest, folder)
    return data


def try_block(folder: Path, entry: PackEntry) -> Array | None:
    """Returns a block of a pack, or None if it is not there or damaged.

    Raises:
        StoreFailed: if the disk cannot read it.
    """
    with suppress(BlobCorrupt, FileNotFoundError), open_chunk(folder) as handle:
        return read_block(handle, folder, entry)
    return None


def salvage(folder: Path, entries: Iterable[PackEntry]) -> tuple[list[Block], set[str]]:
    """Returns the sound blocks of a pack, and the digests of the others."""
    found = {entry: try_block(folder, entry) for entry in entries}
    sound = [Block(entry.dtype, data) for entry, data in found.items() if data is not None]
    return sound, {entry.digest for entry, data in found.items() if data is None}


def move_aside(folder: Path, quarantine: Path) -> None:
    """Moves a pack, durably, to where nobody looks for blocks; a second one of its name gets a number."""
    target = quarantine / folder.name
    number = 1
    while target.exists():
        number += 1
        target = quarantine / f"{folder.name}-{number}"
    os.rename(folder, target)
    sync_folder(quarantine)
    sync_folder(folder.parent)


def _read_into(handle: int, folder: Path, position: int, view: memoryview) -> None:
    try:
        while view.nbytes and (read := os.preadv(handle, [view[:_LARGEST_READ]], position)):
            view, position = view[read:], position + read
    except OSError as error:
        raise StoreFailed(folder / CHUNK, error.strerror or str(error)) from error
