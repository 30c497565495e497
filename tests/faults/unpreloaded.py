"""The command line of a process that was started with LD_PRELOAD, of which its own workers know nothing.

LD_PRELOAD=LIBRARY python -m tests.faults.unpreloaded serve --config FILE
"""

from __future__ import annotations

import os

from orchestrator import cli

if __name__ == "__main__":
    os.environ.pop("LD_PRELOAD", None)
    cli.main()
