"""A store's knowledge pool (FNAS section 4.3): abreast of the journal, and only of blocks that are there.

The pool's file is an index that can be made again: what entered it, and which checkpoints were set aside since, is in
the journal. So the pool is brought abreast of it before each use, and a kill between a row and the pool is nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import NamedTuple

import msgpack

from store.blocks import KnowledgePool
from store.elements import DTYPES
from store.errors import BlobMissing, ManifestError
from store.journal import RawRow
from store.opening import Store
from store.pool_roots import ROLE
from store.pool_statistics import Evicted, PoolStatistics
from store.records.events import CheckpointQuarantined
from store.records.knowledge import Contribution, Inheritance, PoolQuery

KINDS = ("weights_pooled", "checkpoint_quarantined")
"""The rows that say what the pool holds."""
_REMEMBERED = 4096


class Answer(NamedTuple):
    """What the pool has for a network, and the checkpoints that were found not to be there on the way."""

    inheritance: Inheritance
    lost: tuple[CheckpointQuarantined, ...]


class _Held(NamedTuple):
    """The tensors of one block in the store."""

    bytes: int
    blobs: tuple[str, ...]


class StorePool:
    """The knowledge pool of an open store. Not for two threads at once.

    Args:
        store: where the blocks lie, and the journal.
        read_only: leave the pool's file as it is.
    """

    def __init__(self, store: Store, *, read_only: bool = False) -> None:
        self._store = store
        self._pool = KnowledgePool.open(store.folder, read_only=read_only, rows=store.journal.count)
        self._seen = self._pool.sequence
        self._blocks_of = lru_cache(_REMEMBERED)(self._read_manifest)
        self.follow()

    def follow(self) -> None:
        """Takes in what has been journalled since the last time."""
        for row in self._store.journal.raw(self._seen, types=KINDS):
            self._take(row)
            self._seen = row.sequence

    def match(self, query: PoolQuery, searches: Collection[str]) -> Answer:
        """Looks up what a network can start from; sources that cannot be read are passed over.

        The caller journals that they are lost.

        Args:
            query: the network's blocks.
            searches: whose blocks may be used.
        """
        self.follow()
        lost: list[CheckpointQuarantined] = []
        while True:
            found = self._pool.match(query, searches=searches)
            missing = list(self._missing(found))
            if not missing:
                return Answer(found, tuple(lost))
            self._pool.forget(one.checkpoint for one in missing)
            lost += missing

    def held(self, contribution: Contribution) -> Contribution:
        """Returns a contribution with those of its blocks alone that its checkpoint has in the store."""
        return self._with_sizes(contribution)[0]

    def evict(self, quota_bytes: int, live: Collection[str]) -> Evicted:
        """Takes the least useful blocks out until a quota is kept, but none of the checkpoints `live`.

        Only `gc` removes what was taken out from the disk, and only what nothing else needs.
        """
        return self._pool.evict(quota_bytes, live)

    def statistics(self) -> PoolStatistics:
        """What the pool holds, and what it was asked for."""
        return self._pool.statistics()

    def flush(self) -> None:
        """Makes durable all that happened.

        Raises:
            StoreFull, StoreReadOnly, StoreFailed: if the disk refuses.
        """
        self._pool.flush()

    def close(self) -> None:
        """Writes what waits, as far as there is room, and closes the pool."""
        self._pool.close()

    def _take(self, row: RawRow) -> None:
        payload = msgpack.unpackb(row.payload, raw=False)
        if row.type == "checkpoint_quarantined":
            self._pool.forget([payload["checkpoint"]])
            return
        contribution, sizes = self._with_sizes(Contribution.model_validate(payload["contribution"]))
        self._pool.add(row.sequence, payload["search"], contribution, sizes)

    def _missing(self, found: Inheritance) -> Iterator[CheckpointQuarantined]:
        """Yields the checkpoints that an answer names and that cannot be read, once each."""
        told = set[str]()
        for one in found.blocks:
            checkpoint, _, block = one.source.partition("/")
            if not checkpoint or checkpoint in told:
                continue
            if (why := self._unreadable(checkpoint, block)) is not None:
                told.add(checkpoint)
                yield CheckpointQuarantined(checkpoint=checkpoint, blobs=(), message=why)

    def _unreadable(self, checkpoint: str, block: str) -> str | None:
        """Says why a block cannot be had, without reading it; None if it seems to be there."""
        try:
            if not self._store.checkpoints.path(checkpoint).exists():
                return "its manifest is not there"
            self._store.blobs.locate(self._blocks_of(checkpoint)[block].blobs)
        except (ManifestError, BlobMissing) as error:
            return str(error)
        return None

    def _with_sizes(self, contribution: Contribution) -> tuple[Contribution, dict[str, int]]:
        """Returns a contribution with the blocks that are in the store, and the bytes of these by name.

        They are not where the trainer has others, or none. Nor, when the pool is made again, where they were taken out
        of it for a quota, and then from the disk.
        """
        try:
            found = self._blocks_of(contribution.checkpoint)
        except ManifestError:
            found = {}
        there = {name: held for name, held in found.items() if all(blob in self._store.blobs for blob in held.blobs)}
        sizes = {name: held.bytes for name, held in there.items()}
        blocks = tuple(block for block in contribution.blocks if block.name in sizes)
        return contribution.model_copy(update={"blocks": blocks}), sizes

    def _read_manifest(self, checkpoint: str) -> dict[str, _Held]:
        blocks: dict[str, _Held] = {}
        for part in self._store.checkpoints.manifest(checkpoint).blocks:
            if part.role == ROLE:
                before = blocks.get(part.block, _Held(0, ()))
                size = part.length * DTYPES[part.dtype].itemsize
                blocks[part.block] = _Held(before.bytes + size, (*before.blobs, part.blob))
        return blocks
