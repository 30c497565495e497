"""The latest failed attempts of a search, with what their jobs printed last."""

from __future__ import annotations

from typing import Any, Final

from orchestrator.answers import Known, last_words

MOST: Final = 20


def latest(known: Known, search: str) -> dict[str, Any]:
    """Returns a search's latest failed attempts, the latest first; `ending` is what the job is now."""
    view = known.view(search)
    failed = [
        (attempt.ended or attempt.last, job, attempt)
        for job in view.troubled
        for attempt in list(job.attempts)
        if attempt.outcome == "failed"
    ]
    shown = sorted(failed, key=lambda one: one[0], reverse=True)[:MOST]
    return {
        "search": search,
        "failures": [
            {
                "job": job.id,
                "words": job.words,
                "attempt": attempt.number,
                "worker": attempt.worker,
                "time": time,
                "reason": attempt.reason,
                "message": attempt.message,
                "ending": job.state,
                "last_words": last_words(known, job),
            }
            for time, job, attempt in shown
        ],
    }
