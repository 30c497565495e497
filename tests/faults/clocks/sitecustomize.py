"""Moves the clocks of every Python process that has this folder on its path, by what a file says, at any moment.

The file has two numbers, in seconds: for the wall clock, and for the monotonic one. What waits in the kernel (a sleep,
a select) waits as long as it would have.
"""

from __future__ import annotations

import os
import time

_FILE = os.environ.get("COLDFRAME_TEST_CLOCKS")
_wall, _monotonic = time.time, time.monotonic


def _ahead(which: int) -> float:
    with open(str(_FILE)) as file:
        return float(file.read().split()[which])


if _FILE:
    time.time = lambda: _wall() + _ahead(0)
    time.monotonic = lambda: _monotonic() + _ahead(1)
