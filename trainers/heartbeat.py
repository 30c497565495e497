"""Signs of life of what cannot give any itself: a function that computes and knows nothing of workers."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from trainers.job import PROGRESS_SECONDS

BUSY_SHARE = 0.02
"""A process that uses less processor time than this share of one core, and moves no data to or from a disk, waits.

Reading took 9 % of a core at 360 MB/s here and writing through 4 % at 70 MB/s, so a slow disk alone would look idle.
"""


@contextmanager
def heartbeat(beat: Callable[[], None], seconds: float = PROGRESS_SECONDS) -> Iterator[None]:
    """Calls `beat` from a thread, again and again, as long as this process computes, or a disk works for it.

    So a computation may take as long as it needs, and one that waits for ever (a deadlock, a lock on a file, a single
    access to a disk that does not answer) falls silent and is found out. One that runs in circles is not: nobody can
    tell it from one that is long.

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
    used, moved = time.process_time(), _blocks_moved()
    while not over.wait(seconds):
        used_now, moved_now = time.process_time(), _blocks_moved()
        if used_now - used >= BUSY_SHARE * seconds or moved_now > moved:
            beat()
        used, moved = used_now, moved_now


def _blocks_moved() -> int:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_inblock + usage.ru_oublock
