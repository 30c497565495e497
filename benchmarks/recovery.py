"""Time from the start of the process to the first job running, for a store with a search of 10,000 finished jobs.

    python benchmarks/recovery.py [--jobs 10000] [--quick]

The search is run for real (jobs that do nothing, every event durable), then its total is raised by one, and the program
is started as a person would. The limit that it is compared with is importing alone: the same Python, importing what
`coldframe run` imports, doing nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from store.journal import Journal
from store.records.events import JobStarted

SPEC = """
name = "recovery"

[strategy]
name = "random"
candidates = {candidates}
epochs = 1

[space]
name = "cell"

[trainer]
name = "scripted"
checkpoint = false
steps = 1

[data]
name = "digits"
"""


def run(folder: Path, candidates: int) -> float:
    """Runs the search to a total; returns when the process was started (wall clock)."""
    spec = folder / "spec.toml"
    spec.write_text(SPEC.format(candidates=candidates))
    command = [sys.executable, "-m", "orchestrator.cli", "run", str(spec), "--store", str(folder / "store"), "--json"]
    started = time.time()
    subprocess.run(command, check=True, capture_output=True)
    return started


def first_start(store: Path, after: int) -> float:
    """The wall clock at which the first job after a row was given to a worker."""
    journal = Journal(store, read_only=True)
    found = next(row.time for row in journal.rows(after=after) if isinstance(row.event, JobStarted))
    journal.close()
    return found


def importing() -> float:
    """Seconds that importing alone takes, of the daemon and then of a worker; the best of three."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        for module in ("orchestrator.foreground", "trainers.worker"):
            subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--quick", action="store_true", help="a tenth of the jobs")
    args = parser.parse_args()
    jobs = args.jobs // 10 if args.quick else args.jobs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(folder, jobs)
        times = []
        for more in (1, 2, 3):
            journal = Journal(folder / "store", read_only=True)
            rows = journal.count
            journal.close()
            started = run(folder, jobs + more)
            times.append(first_start(folder / "store", rows) - started)
        alone = importing()
    best = min(times)
    print(f"a search of {jobs} finished jobs, {rows} journal rows, best of {len(times)} starts")
    print(f"{'start to first job running':<40}{best:>8.2f} s")
    print(f"{'importing alone (daemon, then worker)':<40}{alone:>8.2f} s")
    print(f"{'beyond importing':<40}{best - alone:>8.2f} s   (aim: under 2 s)")
    print(f"{'ratio to importing alone':<40}{best / alone:>8.2f} x")


if __name__ == "__main__":
    main()
