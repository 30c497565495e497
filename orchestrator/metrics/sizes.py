"""How much room the store takes, and how often its blocks are named. Read in a thread: it looks at every file."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from store.checkpoints import CheckpointStore
from store.elements import DTYPES
from store.errors import ManifestError, StoreFailed

FOLDERS = ("blobs", "manifests", "pool", "cache", "logs")
KINDS = (*FOLDERS, "journal", "other")
MANIFESTS_AT_ONCE = 2000
"""Manifests that one measurement reads; they are small, but a store has many when a daemon starts."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """A store's size in bytes; what was not measured yet is None.

    Attributes:
        by_kind: by folder; `journal` are its files, `other` the rest. As the disk counts them.
        dedupe_ratio: bytes of the blocks that manifests name, as often as they do, by the bytes of all packs.
        manifests: how many there are.
        measured: when, in seconds since 1970.
    """

    by_kind: Mapping[str, int] = field(default_factory=dict)
    dedupe_ratio: float | None = None
    manifests: int | None = None
    measured: float | None = None
    disk_free: int | None = None
    disk_total: int | None = None


class Scales:
    """Measures a store again and again, and reads each manifest once.

    Args:
        folder: the store.
        checkpoints: its manifests.
    """

    def __init__(self, folder: Path, checkpoints: CheckpointStore) -> None:
        self._folder, self._checkpoints = folder, checkpoints
        self._named: dict[bytes, int] = {}

    def measure(self) -> Sizes:
        """Looks at every file of the store; what cannot be read counts nothing."""
        sizes = dict.fromkeys(KINDS, 0)
        packed = 0
        for path, found in _files(self._folder):
            kind = _kind(path)
            sizes[kind] += found.st_blocks * 512
            packed += found.st_size if path[:2] == ("blobs", "packs") else 0
        disk = shutil.disk_usage(self._folder)
        there = {bytes.fromhex(digest) for digest in self._checkpoints.digests()}
        return Sizes(sizes, self._ratio(there, packed), len(there), time.time(), disk.free, disk.total)

    def _ratio(self, there: set[bytes], packed: int) -> float | None:
        """The ratio once every manifest has been read."""
        self._named = {digest: size for digest, size in self._named.items() if digest in there}
        unread = there - self._named.keys()
        for digest in list(unread)[:MANIFESTS_AT_ONCE]:
            self._named[digest] = self._bytes_named(digest.hex())
        if len(unread) > MANIFESTS_AT_ONCE or not packed:
            return None
        return sum(self._named.values()) / packed

    def _bytes_named(self, digest: str) -> int:
        try:
            manifest = self._checkpoints.manifest(digest)
        except (ManifestError, StoreFailed):
            return 0  # removed meanwhile, or damaged: `coldframe check` is who says so
        return sum(block.length * DTYPES[block.dtype].itemsize for block in manifest.blocks)


def _files(folder: Path) -> Iterator[tuple[tuple[str, ...], os.stat_result]]:
    """Every file below a folder: the names that lead to it, and what the disk says of it."""
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        where = waiting.pop()
        with suppress(OSError), os.scandir(folder.joinpath(*where)) as entries:
            for entry in entries:
                path = (*where, entry.name)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path)
                else:
                    with suppress(FileNotFoundError):
                        yield path, entry.stat(follow_symlinks=False)


def _kind(path: tuple[str, ...]) -> str:
    if path[0] in FOLDERS:
        return path[0]
    return "journal" if path[0].startswith("journal.") else "other"
