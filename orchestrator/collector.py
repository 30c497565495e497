"""The cyclic garbage collector, out of the way while a journal is folded."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused() -> Iterator[None]:
    """Stops the collector for a while, and afterwards spares it what was made in that time.

    A fold makes hundreds of thousands of objects that stay; looking through them again and again for cycles takes
    longer than the fold itself.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.freeze()
            gc.enable()
