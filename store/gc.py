"""Removes what nothing needs: marks from the journal's live checkpoints, sweeps what is older than a grace period.

Manifests go before blocks, so that a kill in the middle never leaves a manifest without its blocks. What is younger
than the grace period stays: it may belong to a writer that has not got as far as the journal. Of a checkpoint from
which blocks are only inherited, now or later, the manifest and these blocks stay. A pack that is dead as a whole is
removed; one with more than half of its bytes dead is written anew without them, and only then removed.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from store import caches
from store import format as store_format
from store.blobs import BlobStore
from store.checkpoints import CheckpointStore
from store.files import TEMPORARY, disk_errors, sweep_strays
from store.journal import Journal
from store.lock import StoreLock
from store.opening import Store
from store.pool_roots import as_journalled
from store.roots import Roots
from store.sweeping import GcReport, Sweep

GRACE_SECONDS = 3600.0


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
        live, in_part = _needed(folder, Journal(folder, read_only=True))
        collection = Sweep(CheckpointStore(folder, read_only=dry_run, blobs=blobs), dry_run, grace_seconds)
        return collection.run(live, in_part).with_caches(caches.collect(folder, dry_run=dry_run))


class HeldCollection:
    """The collection of a store by the process that holds its lock, while its workers go on saving checkpoints.

    It has two steps, so that the holder can let go of what is to be removed in between: whatever it starts after that
    does not start from it. What comes into need while it runs stays.

    Args:
        store: open for writing.
        grace_seconds: as `collect`; no worker may take longer than this from a checkpoint's blocks to its manifest.
        limit: whatever was written, or put again, after this time stays, in seconds since 1970; instead of
            `grace_seconds` ago, where the clock may have been set since.

    Raises:
        UnsupportedFormat: if this program may not collect the store.
        StoreFailed: if the disk cannot read it.
    """

    def __init__(self, store: Store, *, grace_seconds: float = GRACE_SECONDS, limit: float | None = None) -> None:
        store_format.require(store.folder, "gc")
        self._store, self._grace = store, grace_seconds
        self._limit = time.time() - grace_seconds if limit is None else limit
        self._live, self._in_part = _needed(store.folder, store.journal)
        self.doomed = frozenset(self._marked())

    def sweep(self, keep: Collection[str] = ()) -> GcReport:
        """Removes what is not needed; of the manifests none but those that are doomed.

        Args:
            keep: manifests that stay even so, because what is under way needs them.

        Raises:
            StoreFull, StoreReadOnly, StoreFailed: if the disk refuses. What was not removed then is found next time.
        """
        live, in_part = _needed(self._store.folder, self._store.journal)
        collection = Sweep(self._store.checkpoints, False, self._grace, self._limit)
        report = collection.run(self._live | live | set(keep), _together(self._in_part, in_part))
        return report.with_caches(caches.collect(self._store.folder, dry_run=False))

    def _marked(self) -> Iterator[str]:
        for digest, state in self._store.checkpoints.found():
            if digest not in self._live and digest not in self._in_part and state.st_mtime <= self._limit:
                yield digest


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
        Sweep(checkpoints, False, grace_seconds).run(there - superseded, {})
    return roots.computed.all - set(checkpoints.digests())


def _needed(folder: Path, journal: Journal) -> tuple[set[str], dict[str, frozenset[str]]]:
    """The checkpoints that are needed as a whole, and by manifest the blocks that are needed of others."""
    roots, pooled = Roots.of(journal), as_journalled(folder, journal).manifests()
    return roots.live | roots.furthest, _together(roots.inherited.by_manifest(), pooled)


def _together(left: Mapping[str, Collection[str]], right: Mapping[str, Collection[str]]) -> dict[str, frozenset[str]]:
    return {key: frozenset(left.get(key, ())).union(right.get(key, ())) for key in left.keys() | right.keys()}
