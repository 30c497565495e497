"""Every counter and histogram of the daemon, but the API's. Counters begin at 0 with the process."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram

from store.records.outcomes import Reason

KINDS = ("train", "evaluate", "measure", "compute")
ANSWERS = ("memo", "queued", "joined")
ENDS = ("succeeded", "failed", "stopped")
EPOCHS = ("trained", "resumed", "memo", "inherited")
BLOCKS = ("asked", "hit", "match")
LEFT = "left"
QUEUE_SECONDS = (0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 21600.0, 86400.0)
RUN_SECONDS = (0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 21600.0, 86400.0)
COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
LAG_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


class Families:
    """The metrics, made in a registry.

    Args:
        registry: where they are shown.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(f"coldframe_{name}", about, labels, registry=registry)

        def histogram(name: str, about: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"coldframe_{name}", about, labels, buckets=buckets, registry=registry)

        self.requests = counter(
            "requests",
            "Requests of strategies, by how they were answered: memo, queued, or joined to a job under way.",
            "kind",
            "answer",
        )
        self.attempts = counter("attempts", "Attempts at jobs that were given to a worker.", "kind")
        self.attempts_failed = counter("attempts_failed", "Attempts that died.", "reason")
        self.retries = counter("retries", "Attempts that followed a failed one, by why that had failed.", "reason")
        self.jobs_ended = counter("jobs_ended", "Jobs that ended: succeeded, failed or stopped.", "kind", "state")
        self.jobs_failed = counter("jobs_failed", "Jobs that will not be tried again.", "reason")
        self.queue = histogram(
            "job_queue_seconds",
            "From a job's queueing, or the end of its failed attempt, to the start of the next attempt.",
            QUEUE_SECONDS,
            "kind",
        )
        self.run = histogram(
            "job_run_seconds", "From an attempt's start to its end, by how it ended.", RUN_SECONDS, "kind", "end"
        )
        self.epochs = counter(
            "epochs",
            "Epochs trained, and those spared: resumed over, answered from memo, inherited from other networks.",
            "how",
        )
        self.fenced = counter("fenced_results", "Reports of attempts that were no longer their job's; all ignored.")
        self.quarantined = counter("checkpoints_quarantined", "Checkpoints that could not be read back.")
        self.checkpoints = counter("checkpoints_saved", "Checkpoints committed.")
        self.worker_starts = counter("worker_starts", "Worker processes that became ready.")
        self.worker_ends = counter(
            "worker_ends", "Worker processes that ended, by why; `left`: they were told to.", "cause"
        )
        self.devices_left = counter(
            "devices_left", "Devices that were taken out of service, by why.", "device", "reason"
        )
        self.pool_networks = counter("pool_networks", "Networks for which the knowledge pool was asked.")
        self.pool_blocks = counter(
            "pool_blocks",
            "Blocks asked of the knowledge pool: all, those with an entry to compare with, those that inherit.",
            "answer",
        )
        self.journal_rows = counter("journal_rows", "Rows committed to the journal.")
        self.commit = histogram(
            "journal_commit_seconds", "A transaction of the journal: SQLite's fsync and the head's.", COMMIT_SECONDS
        )
        self.lag = histogram(
            "event_loop_lag_seconds", "How late the event loop woke a task that looks every 0.1 s.", LAG_SECONDS
        )
        self._begin_at_0()

    def _begin_at_0(self) -> None:
        """Makes every series that there can be: of one that begins at 1, Prometheus does not see the first increase."""
        kinds, reasons = [(kind,) for kind in KINDS], [(reason,) for reason in get_args(Reason)]
        every: list[tuple[Any, Iterable[tuple[str, ...]]]] = [
            (self.requests, product(KINDS, ANSWERS)),
            (self.attempts, kinds),
            (self.attempts_failed, reasons),
            (self.retries, reasons),
            (self.jobs_ended, product(KINDS, ENDS)),
            (self.jobs_failed, reasons),
            (self.queue, kinds),
            (self.run, product(KINDS, ENDS)),
            (self.epochs, [(how,) for how in EPOCHS]),
            (self.worker_ends, [*reasons, (LEFT,)]),
            (self.pool_blocks, [(answer,) for answer in BLOCKS]),
        ]
        for metric, labels in every:
            for values in labels:
                metric.labels(*values)
