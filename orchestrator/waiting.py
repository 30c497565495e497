"""Why nothing new starts, in one line, for the view of a single search (the daemon's is `serving.waits`). Pure."""

from __future__ import annotations

from orchestrator.scheduler import Scheduler


def why(scheduler: Scheduler) -> str | None:
    """Says why jobs wait, or None if none waits longer than it must."""
    if scheduler.paused is not None:
        return scheduler.paused
    held = sum(job.held for job in scheduler.jobs.values())
    if held and not scheduler.busy:
        return f"{held} failed job{'s' * (held > 1)} will be tried again shortly"
    if scheduler.jobs and not scheduler.workers:
        return "no worker is ready yet"
    if alone := scheduler.placement.alone:
        return f"job {alone[0][:12]} ran out of memory and waits for a device of its own"
    return None
