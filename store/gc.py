"""Removes what nothing needs: marks from the journal's live checkpoints, sweeps what is older than a grace period.

Manifests go before blocks, so that a kill in the middle never leaves a manifest without its blocks. What is younger
than the grace period stays: it may belong to a writer that has not got as far as the journal. Of a checkpoint from
which blocks are only inherited, now or later, the manifest and these blocks stay. A pack that is dead as a whole is
removed; one with more than half of its bytes dead is written anew without them, and only then removed.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from pathlib import Path

from pydantic import Field

from store import caches
from store import format as store_format
from store.blobs import BlobStore
from store.checkpoints import CheckpointStore
from store.errors import BlobError, ManifestError
from store.files import TEMPORARY, disk_errors, sweep_strays, sync_folder
from store.journal import Journal
from store.lock import StoreLock
from store.packs import CHUNK, METADATA, PackEntry, pack_folder, read_index
from store.pool_roots import as_journalled, inherited
from store.records.base import Record
from store.roots import Roots

GRACE_SECONDS = 3600.0
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


def collect(folder: Path, *, dry_run: bool = True, grace_seconds: float = GRACE_SECONDS) -> GcReport:
    """Collects a store's garbage.

    Args:
        folder: the store.
        dry_run: only say what would go; this needs no lock and works beside a writer.
        grace_seconds: whatever was written, or put again, within this time stays.

    Raises:
        NotAStore, UnsupportedFormat: if this program may not collect it.
        StoreLocked: if a writer holds the store and this is no dry run.
        JournalCorrupt, JournalTruncated: if the journal cannot say what is needed. Nothing is removed then.
    """
    folder = folder.absolute()
    store_format.require(folder, "gc")
    with ExitStack() as resources:
        if not dry_run:
            resources.enter_context(StoreLock(folder, "gc"))
            with disk_errors(folder):
                sweep_strays(folder / TEMPORARY)
        blobs = BlobStore(folder, read_only=dry_run)
        resources.callback(blobs.close)
        journal = Journal(folder, read_only=True)
        roots, pooled = Roots.of(journal), as_journalled(folder, journal).manifests()
        collection = _Collection(CheckpointStore(folder, read_only=dry_run, blobs=blobs), dry_run, grace_seconds)
        in_part = _together(roots.inherited.by_manifest(), pooled)
        return collection.run(roots.live, in_part).with_caches(caches.collect(folder, dry_run=dry_run))


def collect_states(journal: Journal, checkpoints: CheckpointStore, *, grace_seconds: float = GRACE_SECONDS) -> set[str]:
    """Collects what computations left behind and nothing is likely to go on from, and nothing else that a row names.

    For the store's writer, which keeps its lock: a search that computes its next step from the last one leaves
    megabytes at each. A state that is wanted after all is made again.

    Args:
        journal: the store's.
        checkpoints: the store's, open for writing.
        grace_seconds: as `collect`; it may be 0 where no worker is alive.

    Returns:
        The states that are no longer there, of those that a row names.

    Raises:
        StoreFull, StoreFailed: if the disk refuses.
    """
    roots = Roots.of(journal)
    there = set(checkpoints.digests())
    superseded = (roots.computed.all & there) - roots.live
    if superseded:
        _Collection(checkpoints, False, grace_seconds).run(there - superseded, {})
    return roots.computed.all - set(checkpoints.digests())


class _Collection:
    def __init__(self, checkpoints: CheckpointStore, dry_run: bool, grace_seconds: float) -> None:
        self._checkpoints, self._blobs = checkpoints, checkpoints.blobs
        self._dry_run, self._grace = dry_run, grace_seconds
        self._limit = time.time() - grace_seconds
        self._counts: Counter[str] = Counter()
        self._problems: list[str] = []

    def run(self, live: Collection[str], in_part: Mapping[str, Collection[str]]) -> GcReport:
        # The packs are listed first: one that appears after this is not looked at.
        packs = list(self._blobs.names())
        doomed, needed = self._mark(live, in_part)
        if not self._problems:
            self._remove_manifests(doomed)
            for pack in packs:
                self._sweep(pack, needed)
            if not self._dry_run:
                self._blobs.sweep()
        return GcReport(
            dry_run=self._dry_run, grace_seconds=self._grace, problems=tuple(self._problems), **self._counts
        )

    def _mark(self, live: Collection[str], in_part: Mapping[str, Collection[str]]) -> tuple[list[Path], set[str]]:
        """Returns the manifests that go, and the blocks that those which stay need.

        Args:
            live: the checkpoints that are needed as a whole.
            in_part: by manifest, the names of the blocks that are needed of others.
        """
        doomed, needed = [], set[str]()
        for digest in self._checkpoints.digests():
            path = self._checkpoints.path(digest)
            state = path.stat()
            stays = digest in live or state.st_mtime > self._limit
            if not stays and digest not in in_part:
                doomed.append(path)
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

    def _remove_manifests(self, doomed: list[Path]) -> None:
        if self._dry_run:
            return
        with disk_errors(self._checkpoints.folder):
            for path in doomed:
                path.unlink(missing_ok=True)
            for shelf in {path.parent for path in doomed}:
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


def _together(left: Mapping[str, Collection[str]], right: Mapping[str, Collection[str]]) -> dict[str, frozenset[str]]:
    return {key: frozenset(left.get(key, ())).union(right.get(key, ())) for key in left.keys() | right.keys()}
