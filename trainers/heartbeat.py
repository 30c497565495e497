"""Signs of life of what cannot give any itself: a function that computes and knows nothing of workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from trainers.job import PROGRESS_SECONDS

BUSY_SHARE = 0.02
"""A process that uses less processor time than this share of one core does not compute: it waits for something."""


@contextmanager
def heartbeat(beat: Callable[[], None], seconds: float = PROGRESS_SECONDS) -> Iterator[None]:
    """Calls `beat` from a thread, again and again, as long as this process is busy.

    So a computation may take as long as it needs, and one that waits for ever (a deadlock, a lock on a file) falls
    silent and is found out. One that runs in circles is not: nobody can tell it from one that is long.

    Args:
        beat: called in the thread; it must not touch what the block uses.
        seconds: between two beats.
    """
    over = threading.Event()
    thread = threading.Thread(target=_beat, args=(over, beat, seconds), name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _beat(over: threading.Event, beat: Callable[[], None], seconds: float) -> None:
    used = time.process_time()
    while not over.wait(seconds):
        now = time.process_time()
        if now - used >= BUSY_SHARE * seconds:
            beat()
        used = now
