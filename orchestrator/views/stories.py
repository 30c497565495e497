"""A job's story: what happened to it, one line for each journal row, in plain words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from orchestrator.views.entries import SHORT, JobView, Note, Payload


def story(job: JobView) -> Iterator[str]:
    """Yields a job's story, oldest line first: sequence number, seconds since it was first asked for, what happened."""
    start = job.notes[0].time if job.notes else job.queued
    for note in job.notes:
        yield f"{note.sequence:>6}  {note.time - start:>9.3f} s  {tell(note, job)}"


def tell(note: Note, job: JobView) -> str:
    """Returns one journal row of a job in words, without its time."""
    return _WORDS[note.kind](dict(note.payload, state=job.state_before))


_ACCURACIES = {"validation_accuracy": "validation accuracy", "train_accuracy": "training accuracy"}


def _requested(event: Payload) -> str:
    ways = {"memo": "the store knew the outcome", "queued": "queued", "joined": "joined the job already under way"}
    return f"search {event['search'][:SHORT]} asked for it (request {event['index']}): {ways[event['answer']]}"


def _job_started(event: Payload) -> str:
    checkpoint = event.get("checkpoint")
    where = f"from state {event['state'][:SHORT]}" if event["state"] else "from the start"
    if checkpoint:
        step = f", step {event['step']}" if event.get("step") else ""
        where = f"from checkpoint {checkpoint[:SHORT]} (epoch {event.get('epoch', 0)}{step})"
    return f"attempt {event['attempt']} given to {event['worker']} on {event['device']}, {where}"


def _checkpoint_saved(event: Payload) -> str:
    step = f", step {event['step']} of the next" if event.get("step") else ""
    metrics = event.get("metrics") or {}
    known = [name for name in ("validation_accuracy", "train_accuracy") if metrics.get(name) is not None][:1]
    accuracy = "".join(f", {_ACCURACIES[name]} {metrics[name]:.2%}" for name in known)
    where = f"checkpoint {event['checkpoint'][:SHORT]}: epoch {event['epoch']}{step}"
    return f"attempt {event['attempt']} committed {where}{accuracy}"


def _job_succeeded(event: Payload) -> str:
    outcome = event["outcome"]
    accuracy = f", accuracy {outcome['accuracy']:.2%}" if outcome.get("accuracy") is not None else ""
    left = f", state {outcome['state'][:SHORT]}" if outcome.get("state") else ""
    return f"attempt {event['attempt']} succeeded after {event['seconds']:.1f} s{accuracy}{left}"


def _attempt_failed(event: Payload) -> str:
    counted = "" if event["counted"] else " (not counted against it)"
    return f"attempt {event['attempt']} failed: {event['reason']}: {event['message']}{counted}"


def _stale(event: Payload) -> str:
    what = f"a late message of attempt {event['attempt']} ({event['message']})"
    return f"passed over {what}; attempt {event['current']} is current"


_WORDS: Mapping[str, Callable[[Payload], str]] = {
    "requested": _requested,
    "job_started": _job_started,
    "checkpoint_saved": _checkpoint_saved,
    "job_succeeded": _job_succeeded,
    "attempt_failed": _attempt_failed,
    "job_failed": lambda event: f"given up: {event['outcome']['reason']}: {event['outcome']['message']}",
    "job_stopped": lambda event: f"attempt {event['attempt']} stopped in good order: {event['reason']}",
    "stale_report": _stale,
    "search_started": lambda event: f"its process was killed; process {event['pid']} took the search up",
    "worker_started": lambda event: "its process was killed; another one took the store",
}
