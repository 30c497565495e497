"""Checkpoints: a manifest, named by its digest, over blocks in the blob store.

The order of writing is a protocol: blocks, then the manifest (both durable when `save` returns), then the journal's
row, which the daemon writes and which alone makes the checkpoint count. A crash before that row leaves blocks and a
manifest that nothing names; `store.gc` removes them.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
from blake3 import blake3

from store.blobs import BlobStore
from store.elements import Array, Block, dtype_name
from store.errors import ManifestCorrupt, ManifestMissing, NotCanonical, StoreFailed, StoreReadOnly
from store.files import TEMPORARY, checked, disk_errors, is_digest, make_folder, replace_durably, unique_name
from store.manifests import LARGEST_MANIFEST, decode, encode
from store.records.checkpoints import BlockManifest, CheckpointManifest
from store.records.outcomes import EpochMetrics

FOLDER = "manifests"
Tensors = Mapping[str, Mapping[str, Mapping[str, Array]]]
Key = tuple[str, str, str]


class Loaded(NamedTuple):
    """A checkpoint: its manifest, and its tensors by role, block and name, each a writable array of its own shape.

    Arrays of one block share memory but do not overlap. bfloat16 comes as uint16; the manifest says which.
    """

    manifest: CheckpointManifest
    tensors: dict[str, dict[str, dict[str, Array]]]


class CheckpointStore:
    """The checkpoints of a store. Any process may save and load; the daemon alone makes one count.

    Args:
        folder: the store.
        read_only: write nothing at all.
        blobs: the store's blocks, if they are open already.
    """

    def __init__(self, folder: Path, *, read_only: bool = False, blobs: BlobStore | None = None) -> None:
        self.folder = folder / FOLDER
        self.blobs = blobs or BlobStore(folder, read_only=read_only)
        self._temporary = folder / TEMPORARY
        self._read_only = read_only
        if not read_only:
            with disk_errors(self.folder):
                make_folder(self.folder)
                make_folder(self._temporary)

    def save(
        self,
        *,
        candidate: str,
        epoch: int,
        step: int,
        history: Sequence[EpochMetrics],
        sums: Mapping[str, float],
        position: str,
        tensors: Tensors,
        dtypes: Mapping[Key, str] | None = None,
    ) -> str:
        """Stores a checkpoint; when it returns, blocks and manifest are durable.

        Args:
            candidate: the candidate's digest.
            epoch: whole epochs done.
            step: steps done of the next one.
            history: metrics of the whole epochs.
            sums: running sums of the epoch under way.
            position: JSON of the generators' states and the place in the data.
            tensors: arrays of any shape by role, block and name. They are not changed, and read only during the call.
            dtypes: element types that numpy cannot say, by (role, block, name): `bfloat16` for a uint16 array.

        Returns:
            The manifest's digest: the same for the same state, in whatever order the mappings stand.

        Raises:
            NotCanonical: if an element type is not kept, or a number is not finite.
            StoreFull, StoreReadOnly, StoreFailed: if the disk refuses.
        """
        if self._read_only:
            raise StoreReadOnly(self.folder, "it was opened for reading")
        planned = _plan(tensors, dtypes or {})
        blobs = self.blobs.put([block.data for block in planned])
        manifest = CheckpointManifest(
            candidate=candidate,
            epoch=epoch,
            step=step,
            history=tuple(history),
            sums=dict(sums),
            position=position,
            blocks=tuple(block.manifest(blob) for block, blob in zip(planned, blobs, strict=True)),
        )
        return self._write(encode(manifest))

    def load(self, digest: str) -> Loaded:
        """Reads a checkpoint and checks all of it.

        Raises:
            InvalidDigest: if the name is not a digest.
            ManifestMissing, ManifestCorrupt: if the manifest is not there, or not what was stored.
            BlobMissing, BlobCorrupt: if a block is not there, or not what was stored; the error names it.
            StoreFailed: if the disk cannot read them.
        """
        manifest = self.manifest(digest)
        return Loaded(manifest, self._tensors(digest, manifest.blocks))

    def load_blocks(self, digest: str, blocks: Collection[str], role: str = "model") -> dict[str, dict[str, Array]]:
        """Reads some blocks of a checkpoint and checks them; the others may be gone.

        Args:
            digest: the checkpoint's manifest.
            blocks: names of blocks in the network.
            role: which part of the state.

        Returns:
            The tensors by block and name. A block that the manifest does not name is left out: it has no tensors.

        Raises:
            InvalidDigest, ManifestMissing, ManifestCorrupt, BlobMissing, BlobCorrupt, StoreFailed: as `load`.
        """
        wanted = [each for each in self.manifest(digest).blocks if each.role == role and each.block in blocks]
        return self._tensors(digest, wanted).get(role, {})

    def manifest(self, digest: str) -> CheckpointManifest:
        """Reads a checkpoint's manifest, and checks that it is what was stored and possible.

        Raises:
            InvalidDigest, ManifestMissing, ManifestCorrupt, StoreFailed: as `load`.
        """
        path = self.path(digest)
        try:
            with path.open("rb") as file:
                data = file.read(LARGEST_MANIFEST + 1)
        except FileNotFoundError as error:
            raise ManifestMissing(digest) from error
        except OSError as error:
            raise StoreFailed(path, error.strerror or str(error)) from error
        return decode(digest, data)

    def path(self, digest: str) -> Path:
        """Returns where a manifest lies, or would lie.

        Raises:
            InvalidDigest: if the name is not a digest.
        """
        return self.folder / checked(digest)[:2] / digest

    def digests(self) -> list[str]:
        """Returns the digests of all manifests that are there, sound or not."""
        shelves = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
        return [entry.name for shelf in shelves for entry in sorted(shelf.iterdir()) if is_digest(entry.name)]

    def found(self) -> Iterator[tuple[str, os.stat_result]]:
        """Yields each manifest's name, and what the disk says of its file; passes over what is removed meanwhile.

        Raises:
            StoreFailed: if the disk refuses.
        """
        with disk_errors(self.folder):
            for digest in self.digests():
                with suppress(FileNotFoundError):
                    yield digest, self.path(digest).stat()

    def discard(self, digest: str, newer_than: float) -> bool:
        """Removes a manifest, not yet durably, unless someone has written it again. Only a collection calls this.

        Args:
            digest: its name.
            newer_than: one written after this time, in seconds since 1970, stays.

        Returns:
            Whether it was removed.

        Raises:
            StoreReadOnly, StoreFailed: if the disk refuses.
        """
        path, grave = self.path(digest), self._temporary / unique_name()
        with disk_errors(path):
            try:
                os.rename(path, grave)
            except FileNotFoundError:
                return False
            if grave.stat().st_mtime > newer_than:
                os.rename(grave, path)  # if it was written once more since, that one is the same
                return False
            grave.unlink()
        return True

    def close(self) -> None:
        """Closes the blocks' index."""
        self.blobs.close()

    def _write(self, data: bytes) -> str:
        if len(data) > LARGEST_MANIFEST:
            raise NotCanonical(f"a manifest of {len(data)} bytes", f"at most {LARGEST_MANIFEST} are allowed")
        digest = blake3(data).hexdigest()
        path = self.path(digest)
        with disk_errors(path):
            make_folder(path.parent)
            replace_durably(path, data, self._temporary)
        return digest

    def _tensors(self, digest: str, blocks: Sequence[BlockManifest]) -> dict[str, dict[str, dict[str, Array]]]:
        """Reads blocks of a manifest; returns their tensors by role, block and name."""
        self._compare(digest, blocks)
        blobs = self.blobs.get(block.blob for block in blocks)
        tensors: dict[str, dict[str, dict[str, Array]]] = {}
        seen: set[str] = set()
        for block in blocks:
            # Two blocks of a network may be equal and stored once; their tensors must not share memory.
            data = blobs[block.blob].copy() if block.blob in seen else blobs[block.blob]
            seen.add(block.blob)
            named = tensors.setdefault(block.role, {}).setdefault(block.block, {})
            for name, shape, offset in zip(block.names, block.shapes, block.offsets, strict=True):
                named[name] = np.ndarray(shape, data.dtype, data, offset * data.itemsize)
        return tensors

    def _compare(self, digest: str, blocks: Sequence[BlockManifest]) -> None:
        """Checks that blocks are as long as the manifest says, before any is read."""
        names = [block.blob for block in blocks]
        entries = self.blobs.locate(names)
        if any(
            (entries[block.blob].dtype, entries[block.blob].length) != (block.dtype, block.length) for block in blocks
        ):
            entries = self.blobs.relocate(names)
        for block in blocks:
            entry = entries[block.blob]
            if (entry.dtype, entry.length) != (block.dtype, block.length):
                raise ManifestCorrupt(digest, f"its block {block.role}/{block.block} is not the one that is stored")


class _Planned(NamedTuple):
    """A block on its way into the store."""

    role: str
    block: str
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    offsets: tuple[int, ...]
    data: Block

    def manifest(self, blob: str) -> BlockManifest:
        # Not validated: what it is made of has been, or is the shape of an array.
        return BlockManifest.model_construct(
            role=self.role,
            block=self.block,
            dtype=self.data.dtype,
            blob=blob,
            names=self.names,
            shapes=self.shapes,
            offsets=self.offsets,
        )


def _plan(tensors: Tensors, dtypes: Mapping[Key, str]) -> list[_Planned]:
    """Flattens every block by element type, all in the order of their names."""
    planned = []
    for role in sorted(tensors):
        for block in sorted(tensors[role]):
            groups: dict[str, dict[str, Array]] = {}
            for name in sorted(tensors[role][block]):
                array = tensors[role][block][name]
                groups.setdefault(dtypes.get((role, block, name)) or dtype_name(array.dtype), {})[name] = array
            planned += [_flatten(role, block, dtype, groups[dtype]) for dtype in sorted(groups)]
    return planned


def _flatten(role: str, block: str, dtype: str, arrays: Mapping[str, Array]) -> _Planned:
    flat = Block.of(np.concatenate([array.reshape(-1) for array in arrays.values()]), dtype)
    ends = tuple(accumulate((array.size for array in arrays.values()), initial=0))
    shapes = tuple(array.shape for array in arrays.values())
    return _Planned(role, block, tuple(arrays), shapes, ends[:-1], flat)
