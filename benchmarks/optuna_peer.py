"""The same no-op trials in Optuna: two processes on one journal file. Prints a JSON object. Needs only Optuna."""

from __future__ import annotations

import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

PROCESSES = 2


def work(path: str, trials: int, start, results) -> None:  # type: ignore[no-untyped-def]
    """Runs trials one after the other, and takes the time of each from asking to telling."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(JournalFileBackend(path))
    study = optuna.load_study(study_name="no-op", storage=storage, sampler=optuna.samplers.RandomSampler(seed=0))
    latencies = []
    start.wait()
    for _ in range(trials):
        asked = time.perf_counter()
        trial = study.ask()
        study.tell(trial, 0.5)
        latencies.append(time.perf_counter() - asked)
    results.put((latencies, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3))


def main() -> None:
    """Runs the trials."""
    trials = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "journal.log")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        optuna.create_study(study_name="no-op", storage=JournalStorage(JournalFileBackend(path)))
        context = multiprocessing.get_context("spawn")
        start, results = context.Barrier(PROCESSES + 1), context.Queue()
        workers = [
            context.Process(target=work, args=(path, trials // PROCESSES, start, results)) for _ in range(PROCESSES)
        ]
        for worker in workers:
            worker.start()
        start.wait()
        began = time.perf_counter()
        collected = [results.get() for _ in workers]
        seconds = time.perf_counter() - began
        for worker in workers:
            worker.join()
    latencies = [latency for found, _ in collected for latency in found]
    memory = sum(peak for _, peak in collected)
    print(json.dumps({"seconds": seconds, "latencies": latencies, "memory": memory, "version": optuna.__version__}))


if __name__ == "__main__":
    main()
