"""What the daemon's log says of each event: a level, a line for people, and keys for machines."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from orchestrator.views import History
from orchestrator.views.entries import SHORT
from store.records.events import AnyEvent


class Told(NamedTuple):
    """A record of the log."""

    level: int
    message: str
    fields: dict[str, Any]


_KEYS = (
    *("search", "job", "attempt", "worker", "device", "pid", "reason", "cause", "counted", "by", "owner"),
    *("weight", "priority", "checkpoint", "seconds", "message"),
)

_ORDERS: Mapping[str, Callable[[Any], str]] = {
    "search_submitted": lambda event: f"submitted by {event.owner or 'unknown'}",
    "search_paused": lambda event: f"paused by {event.by or 'unknown'}",
    "search_resumed": lambda event: f"resumed by {event.by or 'unknown'}",
    "search_stopped": lambda event: f"stopped by {event.by or 'unknown'}",
    "search_prioritised": lambda event: (
        f"weight {event.weight:g} and priority {event.priority} by {event.by or 'unknown'}"
    ),
    "search_opened": lambda event: "new in this store",
    "search_extended": lambda event: "has another total, or other settings",
    "search_started": lambda event: "taken up",
    "search_interrupted": lambda event: f"interrupted: {event.reason}",
    "search_finished": lambda event: "finished",
    "search_failed": lambda event: f"failed: {event.message}",
}
_MACHINE: Mapping[str, Callable[[Any], str]] = {
    "worker_started": lambda event: f"{event.worker} started on {event.device}, process {event.pid}",
    "worker_ended": lambda event: f"{event.worker} ended, process {event.pid}: {event.cause}",
    "device_left": lambda event: f"{event.device} left service: {event.reason}: {event.message}",
    "device_returned": lambda event: f"{event.device} is in service again, by {event.by or 'the daemon'}",
    "checkpoint_quarantined": lambda event: (
        f"checkpoint {event.checkpoint[:SHORT]} cannot be read and is set aside: {event.message}"
    ),
}
_JOBS: Mapping[str, Callable[[Any], str]] = {
    "job_started": lambda event: f"attempt {event.attempt} given to {event.worker} on {event.device}",
    "job_succeeded": lambda event: f"succeeded after {event.seconds:.1f} s",
    "attempt_failed": lambda event: f"attempt {event.attempt} failed: {event.reason}: {event.message}",
    "job_failed": lambda event: f"given up: {event.outcome.reason}: {event.outcome.message}",
    "job_stopped": lambda event: f"attempt {event.attempt} stopped in good order: {event.reason}",
    "stale_report": lambda event: f"passed over a late message of attempt {event.attempt}: {event.message}",
}
_LEVELS = {
    "search_failed": logging.ERROR,
    "job_failed": logging.ERROR,
    "device_left": logging.ERROR,
    "checkpoint_quarantined": logging.ERROR,
    "attempt_failed": logging.WARNING,
    "stale_report": logging.WARNING,
    "job_started": logging.DEBUG,
    "job_succeeded": logging.DEBUG,
    "job_stopped": logging.DEBUG,
}


def tell(event: AnyEvent, history: History) -> Told | None:
    """Returns what the log says of an event; None for those that are of use to a replay alone."""
    level, found = _LEVELS.get(event.type, logging.INFO), _fields(event)
    if words := _ORDERS.get(event.type):
        entry = history.searches.get(found.get("search", ""))
        name = entry.name if entry else found.get("search", "")[:SHORT]
        return Told(level, f"search {name}: {words(event)}", found | {"name": name})
    if words := _MACHINE.get(event.type):
        return Told(level, words(event), found)
    if words := _JOBS.get(event.type):
        view = history.jobs.get(found["job"])
        return Told(level, f"{view.words if view else found['job'][:SHORT]}: {words(event)}", found)
    return None


def _fields(event: AnyEvent) -> dict[str, Any]:
    known = {key: getattr(event, key) for key in _KEYS if getattr(event, key, None) not in (None, "")}
    outcome = getattr(event, "outcome", None)
    if event.type == "job_failed" and outcome is not None:
        known |= {"reason": outcome.reason, "message": outcome.message}
    return {("detail" if key == "message" else key): value for key, value in known.items()}
