"""What a process does when it becomes a worker, beside what `test_worker` sees of it."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import resource, sys
import numpy as np
from trainers.process import keep_memory
if sys.argv[1:]:
    keep_memory()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def step():
    return [np.ones(1_000_000) for _ in range(6)]

for _ in range(3):
    step()
before = faults()
for _ in range(10):
    step()
print(faults() - before)
"""


def _page_faults(*arguments: str) -> int:
    done = subprocess.run([sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_memory_that_is_freed_is_there_at_the_next_step() -> None:
    """Ten steps of 48 MB, 11,719 pages each, are faulted in once only."""
    assert _page_faults("keep") < 1000 < _page_faults()
