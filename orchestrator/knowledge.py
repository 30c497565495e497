"""The knowledge pool in the daemon (FNAS section 4.3): abreast of the journal, and only of blocks that are there.

The pool's files are an index that can be made again: what entered it, and which checkpoints were set aside since, is
in the journal. So the pool is brought abreast of it before each use, and a kill between a row and the pool is nothing.
It is opened when it is first used; a search that leaves it alone pays nothing for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import anyio
import msgpack
from anyio import to_thread

from store.elements import DTYPES
from store.errors import BlobMissing, ManifestError
from store.journal import RawRow
from store.records.events import CheckpointQuarantined
from store.records.knowledge import Contribution, Inheritance, PoolQuery

if TYPE_CHECKING:
    from store.blocks import KnowledgePool
    from store.opening import Store

KINDS = ("weights_pooled", "checkpoint_quarantined")
"""The rows that say what the pool holds."""
ROLE = "model"
"""Of a checkpoint's tensors these are inherited; an optimiser's moments are not."""
_REMEMBERED = 4096


class Answer(NamedTuple):
    """What the pool has for a network, and the checkpoints that were found not to be there on the way."""

    inheritance: Inheritance
    lost: tuple[CheckpointQuarantined, ...]


class _Held(NamedTuple):
    """The tensors of one block in the store."""

    bytes: int
    blobs: tuple[str, ...]


class Knowledge:
    """A store's knowledge pool. Its methods work in threads, one at a time, beside the event loop.

    Args:
        store: open for writing.
        quota_bytes: the most that the pool's blocks may take; none if absent.
    """

    def __init__(self, store: Store, quota_bytes: int | None = None) -> None:
        self._store, self._quota = store, quota_bytes
        self._pool: KnowledgePool | None = None
        self._seen = 0
        self._lock = anyio.Lock()
        self._blocks_of = lru_cache(_REMEMBERED)(self._read_manifest)

    async def match(self, search: str, query: PoolQuery) -> Answer:
        """Looks up what a network of a search can start from; sources that cannot be read are passed over.

        The caller journals that they are lost, and the answer.
        """
        async with self._lock:
            return await to_thread.run_sync(self._match, search, query)

    async def held(self, contribution: Contribution) -> Contribution:
        """Returns a contribution with those of its blocks that its checkpoint has in the store."""
        async with self._lock:
            return await to_thread.run_sync(self._only_held, contribution)

    async def follow(self) -> None:
        """Takes in what has been journalled since the last time."""
        async with self._lock:
            await to_thread.run_sync(self._abreast)

    def close(self) -> None:
        """Writes what waits and closes the pool, if it was opened."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    # In a thread.

    def _match(self, search: str, query: PoolQuery) -> Answer:
        pool = self._abreast()
        lost: list[CheckpointQuarantined] = []
        while True:
            found = pool.match(query, searches={search, *query.sources})
            missing = list(self._missing(found))
            if not missing:
                return Answer(found, tuple(lost))
            pool.forget(one.checkpoint for one in missing)
            lost += missing

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
        """Says why a block cannot be had without reading it: none if it is there."""
        try:
            if not self._store.checkpoints.path(checkpoint).exists():
                return "its manifest is not there"
            held = self._blocks_of(checkpoint).get(block)
            if held is None:
                return f"it has no block {block!r}"
            self._store.blobs.locate(held.blobs)
        except (ManifestError, BlobMissing) as error:
            return str(error)
        return None

    def _only_held(self, contribution: Contribution) -> Contribution:
        held = self._sizes(contribution.checkpoint)
        blocks = tuple(block for block in contribution.blocks if block.name in held)
        return contribution.model_copy(update={"blocks": blocks})

    def _sizes(self, checkpoint: str) -> dict[str, int]:
        """The bytes of a checkpoint's blocks by name; none of one that is not in the store, or cannot be read."""
        try:
            return {name: held.bytes for name, held in self._blocks_of(checkpoint).items()}
        except ManifestError:
            return {}

    def _read_manifest(self, checkpoint: str) -> dict[str, _Held]:
        blocks: dict[str, _Held] = {}
        for part in self._store.checkpoints.manifest(checkpoint).blocks:
            if part.role == ROLE:
                before = blocks.get(part.block, _Held(0, ()))
                size = part.length * DTYPES[part.dtype].itemsize
                blocks[part.block] = _Held(before.bytes + size, (*before.blobs, part.blob))
        return blocks

    def _abreast(self) -> KnowledgePool:
        """Returns the pool, opened, with all that the journal says of it."""
        if self._pool is None:
            from store.blocks import KnowledgePool

            self._pool = KnowledgePool.open(self._store.folder, quota_bytes=self._quota)
            self._seen = self._pool.sequence
        for row in self._store.journal.raw(self._seen, types=KINDS):
            self._take(self._pool, row)
            self._seen = row.sequence
        return self._pool

    def _take(self, pool: KnowledgePool, row: RawRow) -> None:
        payload = msgpack.unpackb(row.payload, raw=False)
        if row.type == "checkpoint_quarantined":
            pool.forget([payload["checkpoint"]])
            return
        held = self._only_held(Contribution.model_validate(payload["contribution"]))
        pool.add(row.sequence, payload["search"], held, self._sizes(held.checkpoint))
