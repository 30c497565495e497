"""What each worker did in the last hour, for the page's timeline."""

from __future__ import annotations

import time
from typing import Any, Final

from orchestrator.views import Attempt, History, JobView

SPAN_SECONDS: Final = 3600.0
MOST: Final = 2000
"""Segments of one worker: the latest. More could not be told apart on a screen."""


def last_hour(history: History) -> dict[str, Any]:
    """Returns each worker's attempts of the last hour, by name; those of a worker in order of time.

    Times are of the wall clock, as the journal has them; the end of an attempt under way is None.
    """
    now = time.time()
    found: dict[str, list[tuple[JobView, Attempt]]] = {}
    devices: dict[str, str] = {worker.name: worker.device for worker in list(history.workers)}
    for job in list(history.jobs.values()):
        for attempt in job.attempts:
            if attempt.ended is None or attempt.ended > now - SPAN_SECONDS:
                found.setdefault(attempt.worker, []).append((job, attempt))
                devices.setdefault(attempt.worker, attempt.device)
    lanes = sorted(found.items(), key=lambda lane: _natural(lane[0]))
    return {"now": now, "workers": [_lane(worker, devices[worker], attempts) for worker, attempts in lanes]}


def _lane(worker: str, device: str, attempts: list[tuple[JobView, Attempt]]) -> dict[str, Any]:
    latest = sorted(attempts, key=lambda one: one[1].started)[-MOST:]
    return {"worker": worker, "device": device, "segments": [_segment(job, attempt) for job, attempt in latest]}


def _segment(job: JobView, attempt: Attempt) -> dict[str, Any]:
    return {
        "start": attempt.started,
        "end": attempt.ended,
        "search": attempt.search,
        "job": job.id,
        "words": job.words,
        "kind": "resume" if job.kind == "train" and attempt.checkpoint is not None else job.kind,
        "outcome": attempt.outcome,
        "reason": attempt.reason,
        "epochs": attempt.epochs_trained,
    }


def _natural(name: str) -> tuple[str, int]:
    stem = name.rstrip("0123456789")
    return stem, int(name[len(stem) :] or 0)
