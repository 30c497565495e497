"""The sweep of a garbage collection: what is neither needed nor young goes, manifests before blocks.

A manifest or a pack leaves its name first, is looked at again, and comes back if somebody has written or touched it in
the meantime: writers go on while a sweep runs.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Collection, Mapping

from pydantic import Field

from store import caches
from store.checkpoints import CheckpointStore
from store.errors import BlobError, ManifestError
from store.files import STRAY_SECONDS, disk_errors, sync_folder
from store.packs import CHUNK, METADATA, PackEntry, pack_folder, read_index
from store.pool_roots import inherited
from store.records.base import Record

_DEAD_SHARE = 0.5


class GcReport(Record):
    """What was removed, or would be in a dry run."""

    dry_run: bool
    grace_seconds: float
    manifests_kept: int = 0
    manifests_removed: int = 0
    packs_kept: int = 0
    packs_removed: int = 0
    packs_rewritten: int = Field(default=0, description="packs whose live blocks moved to a new pack")
    bytes_kept: int = Field(default=0, description="bytes of packs and manifests that stay")
    bytes_freed: int = 0
    caches_kept: int = Field(default=0, description="folders of decoded images that stay")
    caches_removed: int = Field(default=0, description="folders of decoded images that nobody has opened for a week")
    cache_bytes_kept: int = 0
    cache_bytes_freed: int = 0
    problems: tuple[str, ...] = Field(default=(), description="why something was left alone")

    def with_caches(self, collected: caches.Collected) -> GcReport:
        """Returns the report with what became of the decoded images."""
        return self.model_copy(
            update={
                "caches_kept": collected.kept,
                "caches_removed": collected.removed,
                "cache_bytes_kept": collected.bytes_kept,
                "cache_bytes_freed": collected.bytes_freed,
            }
        )


class Sweep:
    """One collection of a store's checkpoints and packs.

    Args:
        checkpoints: the store's.
        dry_run: only count.
        grace_seconds: what was written, or put again, within this time stays.
        limit: what was written, or put again, after this time stays, in seconds since 1970; instead of `grace_seconds`
            ago, where the clock may have been set since.
    """

    def __init__(
        self, checkpoints: CheckpointStore, dry_run: bool, grace_seconds: float, limit: float | None = None
    ) -> None:
        self._checkpoints, self._blobs = checkpoints, checkpoints.blobs
        self._dry_run, self._grace = dry_run, grace_seconds
        self._limit = time.time() - grace_seconds if limit is None else limit
        self._counts: Counter[str] = Counter()
        self._problems: list[str] = []

    def run(self, live: Collection[str], in_part: Mapping[str, Collection[str]]) -> GcReport:
        """Removes what is old and not needed.

        Args:
            live: the checkpoints that are needed as a whole.
            in_part: by manifest, the names of the blocks that are needed of others.

        Raises:
            StoreFull, StoreReadOnly, StoreFailed: if the disk refuses.
        """
        # The packs are listed first: one that appears after this is not looked at.
        packs = list(self._blobs.names())
        doomed, needed = self._mark(live, in_part)
        if not self._problems:
            self._remove_manifests(doomed)
            for pack in packs:
                self._sweep(pack, needed)
            if not self._dry_run:
                self._blobs.sweep(max(STRAY_SECONDS, time.time() - self._limit))
        return GcReport(
            dry_run=self._dry_run, grace_seconds=self._grace, problems=tuple(self._problems), **self._counts
        )

    def _mark(self, live: Collection[str], in_part: Mapping[str, Collection[str]]) -> tuple[list[str], set[str]]:
        """Returns the manifests that go, and the blocks that those which stay need.

        Args:
            live: the checkpoints that are needed as a whole.
            in_part: by manifest, the names of the blocks that are needed of others.
        """
        doomed, needed = [], set[str]()
        for digest, state in self._checkpoints.found():
            stays = digest in live or state.st_mtime > self._limit
            if not stays and digest not in in_part:
                doomed.append(digest)
                self._count("manifests_removed", freed=state.st_size)
                continue
            self._count("manifests_kept", kept=state.st_size)
            needed |= self._blocks_of(digest, digest in live, None if stays else in_part[digest])
        return doomed, needed

    def _blocks_of(self, digest: str, is_live: bool, names: Collection[str] | None) -> set[str]:
        """The blobs of a checkpoint, or of those blocks of its network alone whose names are given."""
        try:
            manifest = self._checkpoints.manifest(digest)
            return {part.blob for part in (manifest.blocks if names is None else inherited(manifest, names))}
        except ManifestError as error:
            if is_live:  # nobody can say which blocks it needs, so none may go
                self._problems.append(f"{error}. Nothing was removed: run `coldframe check`")
            return set()

    def _remove_manifests(self, doomed: list[str]) -> None:
        for digest in () if self._dry_run else doomed:
            self._checkpoints.discard(digest, self._limit)
        if not self._dry_run:
            with disk_errors(self._checkpoints.folder):
                for shelf in {self._checkpoints.path(digest).parent for digest in doomed}:
                    sync_folder(shelf)

    def _sweep(self, pack: str, needed: set[str]) -> None:
        folder = pack_folder(self._blobs.packs, pack)
        try:
            entries = read_index(folder)
            size = sum(os.stat(folder / name).st_size for name in (METADATA, CHUNK))
            touched = folder.stat().st_mtime
        except (ValueError, OSError) as error:
            self._problems.append(f"{folder}: {error}; it was left alone")
            return
        alive = [entry for entry in entries if entry.digest in needed]
        dead = sum(entry.size for entry in entries if entry.digest not in needed)
        if touched > self._limit or (alive and dead <= _DEAD_SHARE * sum(entry.size for entry in entries)):
            self._count("packs_kept", kept=size)
        elif alive:
            self._rewrite(pack, alive, dead, size)
        elif self._dry_run or self._blobs.discard(pack, self._limit):
            self._count("packs_removed", freed=size)

    def _rewrite(self, pack: str, alive: list[PackEntry], dead: int, size: int) -> None:
        if not self._dry_run:
            try:
                self._blobs.rewrite(pack, [entry.digest for entry in alive], self._limit)
            except BlobError as error:
                self._problems.append(f"{error}. Its pack was left alone")
                self._count("packs_kept", kept=size)
                return
        self._count("packs_rewritten", kept=size - dead, freed=dead)

    def _count(self, what: str, *, kept: int = 0, freed: int = 0) -> None:
        self._counts[what] += 1
        self._counts["bytes_kept"] += kept
        self._counts["bytes_freed"] += freed
