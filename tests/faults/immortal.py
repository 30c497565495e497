"""The command line of a daemon whose SIGKILL ends no worker at once, as where a driver or a disk holds the process.

python -m tests.faults.immortal serve --config FILE
"""

from __future__ import annotations

from orchestrator import cli, watchdog, workers

STUCK_SECONDS = 1.0


def spare(process: workers.WorkerProcess) -> None:
    """Takes the place of `kill`, and does nothing."""


if __name__ == "__main__":
    workers.WorkerProcess.kill = spare  # type: ignore[method-assign]
    watchdog.STUCK_SECONDS = STUCK_SECONDS  # type: ignore[attr-defined]
    workers.WorkerProcess.end.__defaults__ = (STUCK_SECONDS,)  # type: ignore[misc]
    cli.main()
