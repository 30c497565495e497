"""Jobs per second through real worker processes, every event durable, against Optuna's journal file storage.

    python benchmarks/orchestration.py [--jobs 2000] [--quick] [--optuna PYTHON]

Both sides run the same number of trials that do nothing, in two processes. coldframe's two workers are driven by one
daemon process; Optuna's two processes share a journal file (which Optuna does not fsync). `--optuna` names a Python
that has Optuna (`make bench` installs one); without it that row is left out, and the script says so.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import anyio
import psutil

from orchestrator import devices
from orchestrator.foreground import Foreground
from orchestrator.observer import Silent
from orchestrator.spec import plan
from store.opening import Store
from store.records.results import Result
from strategies.run import Handle, Run

WORKERS = 2
PEER = Path(__file__).with_name("optuna_peer.py")
SPEC = {
    "name": "no-op",
    "strategy": {"name": "random", "candidates": 1, "epochs": 1},
    "space": {"name": "cell"},
    "trainer": {"name": "scripted", "checkpoint": False, "steps": 1},
    "data": {"name": "digits"},
    "resources": {"workers": WORKERS},
}


class NoOps:
    """Asks for so many jobs, `in_flight` at a time, and takes the time of each."""

    def __init__(self, jobs: int, in_flight: int) -> None:
        self.jobs, self.in_flight = jobs, in_flight
        self.latencies: list[float] = []
        self.seconds = 0.0

    async def search(self, run: Run) -> Result:
        """Runs all jobs."""
        drawn = (run.candidate(run.space.random(run.rng)) for _ in range(self.jobs))
        candidates = iter(list(drawn))
        # The workers' start-up is not what is measured.
        await run.train(next(candidates), epochs=1)
        started = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            for _ in range(self.in_flight):
                tasks.start_soon(self._lane, run, candidates)
        self.seconds = time.perf_counter() - started
        return Result(best=(), history=())

    async def _lane(self, run: Run, candidates) -> None:  # type: ignore[no-untyped-def]
        for candidate in candidates:
            asked = time.perf_counter()
            handle: Handle = run.train(candidate, epochs=1)
            await handle
            self.latencies.append(time.perf_counter() - asked)


def measure(jobs: int, in_flight: int) -> tuple[NoOps, float]:
    """Runs no-op jobs in a new store; returns the timings and the daemon's peak memory in MB."""
    strategy = NoOps(jobs, in_flight)
    peak = 0.0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.05):
            peak = max(peak, psutil.Process().memory_info().rss / 1e6)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder), write=True, create=True) as store:
        planned = replace(plan(SPEC, "benchmark"), make_strategy=lambda: strategy)
        anyio.run(Foreground(store, planned, Silent(), devices.slots("cpu", WORKERS)).run)
    done.set()
    watcher.join()
    return strategy, peak


def row(name: str, jobs: int, seconds: float, latencies: list[float], memory: float) -> float:
    """Prints one row and returns jobs per second."""
    p50 = statistics.median(latencies) * 1e3
    p95 = statistics.quantiles(latencies, n=20)[-1] * 1e3
    print(f"{name:<44}{jobs / seconds:>9.0f}{p50:>10.2f}{p95:>10.2f}{memory:>11.0f}")
    return jobs / seconds


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--quick", action="store_true", help="a tenth of the jobs")
    parser.add_argument("--optuna", help="a Python with Optuna")
    args = parser.parse_args()
    jobs = args.jobs // 10 if args.quick else args.jobs
    print(f"{jobs} jobs that do nothing, {WORKERS} workers\n")
    print(f"{'':<44}{'jobs/s':>9}{'p50 ms':>10}{'p95 ms':>10}{'memory MB':>11}")
    rates = {}
    for in_flight in (2, 4, 64):
        timings, memory = measure(jobs, in_flight)
        name = f"coldframe, {in_flight} requests in flight"
        rates[in_flight] = row(name, jobs, timings.seconds, timings.latencies, memory)
    if args.optuna is None:
        print("\nOptuna: left out, no --optuna PYTHON was given")
        return
    out = subprocess.run([args.optuna, str(PEER), str(jobs)], check=True, capture_output=True, text=True)
    peer = json.loads(out.stdout)
    theirs = row("Optuna, journal file, 2 processes", jobs, peer["seconds"], peer["latencies"], peer["memory"])
    print()
    for in_flight, rate in rates.items():
        print(f"coldframe with {in_flight} in flight / Optuna: {rate / theirs:.2f} x")
    print(f"Python {sys.version.split()[0]}, Optuna {peer['version']}")


if __name__ == "__main__":
    main()
