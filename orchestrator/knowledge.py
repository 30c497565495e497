"""The knowledge pool beside the event loop: its work is done in threads, and it is opened when it is first used.

So a search that leaves the pool alone pays nothing for it, however large it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, TypeVar

import anyio
from anyio import to_thread

if TYPE_CHECKING:
    from orchestrator.pooling import Answer, StorePool
    from store.opening import Store
    from store.records.knowledge import Contribution, PoolQuery

T = TypeVar("T")


class Knowledge:
    """What a search's port asks of a store's pool, one thing at a time.

    Args:
        store: open for writing.
        quota_bytes: the most that the pool's blocks may take; none if absent.
    """

    def __init__(self, store: Store, quota_bytes: int | None = None) -> None:
        self._store, self._quota = store, quota_bytes
        self._pool: StorePool | None = None
        self._lock = anyio.Lock()

    async def match(self, search: str, query: PoolQuery) -> Answer:
        """Looks up what a network of a search can start from: its own blocks, and those of the query's sources.

        The caller journals the answer, and which checkpoints were found to be lost.
        """
        return await self._in_thread(lambda: self._opened().match(query, {search, *query.sources}))

    async def held(self, contribution: Contribution) -> Contribution:
        """Returns a contribution with those of its blocks alone that its checkpoint has in the store."""
        return await self._in_thread(lambda: self._opened().held(contribution))

    async def follow(self, live: Collection[str]) -> None:
        """Takes in what has been journalled since the last time, and keeps to the quota.

        Args:
            live: checkpoints that jobs under way start from.
        """
        await self._in_thread(lambda: self._follow(live))

    def close(self) -> None:
        """Closes the pool if it was opened."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        async with self._lock:
            return await to_thread.run_sync(work)

    def _follow(self, live: Collection[str]) -> None:
        pool = self._opened()
        pool.follow()
        if self._quota is not None:
            pool.evict(self._quota, live)

    def _opened(self) -> StorePool:
        if self._pool is None:
            from orchestrator.pooling import StorePool

            self._pool = StorePool(self._store)
        return self._pool
