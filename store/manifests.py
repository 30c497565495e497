"""Manifests as bytes: canonical msgpack under its digest, checked before anything that it says is believed."""

from __future__ import annotations

import msgpack
from blake3 import blake3
from pydantic import ValidationError

from store.elements import DTYPES
from store.errors import ManifestCorrupt
from store.files import is_digest
from store.records.base import plain
from store.records.checkpoints import BlockManifest, CheckpointManifest

LARGEST_MANIFEST = 64 << 20


def encode(manifest: CheckpointManifest) -> bytes:
    """Returns a manifest's canonical bytes, `canonical(manifest)`, in a tenth of the time.

    Columns of blocks are text and integers as they stand, so only the rest has to be brought into canonical form.

    Raises:
        NotCanonical: if a number is not finite.
    """
    rest = plain(manifest.model_dump(exclude={"blocks"}))
    blocks = [{name: getattr(block, name) for name in sorted(BlockManifest.model_fields)} for block in manifest.blocks]
    fields = {"blocks": blocks} | rest
    return msgpack.packb({key: fields[key] for key in sorted(fields)}, use_bin_type=True)  # type: ignore[no-any-return]


def decode(digest: str, data: bytes) -> CheckpointManifest:
    """Returns a manifest from its bytes.

    Raises:
        ManifestCorrupt: if the bytes do not have the digest, or the manifest says something that cannot be.
    """
    if len(data) > LARGEST_MANIFEST:
        raise ManifestCorrupt(digest, f"it is larger than {LARGEST_MANIFEST} bytes")
    if blake3(data).hexdigest() != digest:
        raise ManifestCorrupt(digest, "its bytes do not have the digest that names it")
    try:
        manifest = CheckpointManifest.model_validate(msgpack.unpackb(data, raw=False))
    except (ValidationError, ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
        raise ManifestCorrupt(digest, f"it is not a manifest ({type(error).__name__})") from error
    keys = [(block.role, block.block, block.dtype) for block in manifest.blocks]
    if len(set(keys)) < len(keys):
        raise ManifestCorrupt(digest, "it names a block twice")
    for block in manifest.blocks:
        _validate(digest, block)
    return manifest


def _validate(digest: str, block: BlockManifest) -> None:
    if block.dtype not in DTYPES:
        raise ManifestCorrupt(digest, f"element type {block.dtype!r:.50} is not one that the store keeps")
    if not is_digest(block.blob):
        raise ManifestCorrupt(digest, f"{block.blob!r:.100} is not the digest of a block")
    if not block.covers:
        raise ManifestCorrupt(digest, f"the tensors of block {block.block!r:.100} do not cover it exactly")
