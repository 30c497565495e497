"""A served store in a loop of its own, for clients that block."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from tests.api.fake import Served, configured, serving


class InThread:
    """A served store in a loop of its own thread, for a client that blocks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ready, self._loop = threading.Event(), asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self.served: Served

    def __enter__(self) -> Served:
        self._thread.start()
        assert self._ready.wait(30)
        return self.served

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(30)
        self._loop.close()

    async def _serve(self) -> None:
        self._done = asyncio.Event()
        async with serving(configured(self._folder)) as self.served:
            self._ready.set()
            await self._done.wait()
