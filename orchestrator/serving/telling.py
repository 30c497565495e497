"""What the daemon's log, and `coldframe watch`, say of each event: a level, a line for people, keys for machines."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from orchestrator import wording
from orchestrator.views.entries import SHORT
from store.records.outcomes import brief

Payload = Mapping[str, Any]


class Told(NamedTuple):
    """A record of the log."""

    level: int
    message: str
    fields: dict[str, Any]


_KEYS = (
    *("search", "job", "attempt", "worker", "device", "pid", "reason", "cause", "counted", "by", "owner"),
    *("weight", "priority", "checkpoint", "seconds"),
)


def _by(event: Payload) -> str:
    who = event.get("by") or event.get("owner")
    return f" by {who}" if who else ""


_SEARCHES: Mapping[str, Callable[[Payload], str]] = {
    "search_submitted": lambda event: f"submitted{_by(event)}",
    "search_paused": lambda event: f"paused{_by(event)}",
    "search_resumed": lambda event: f"resumed{_by(event)}",
    "search_stopped": lambda event: f"stopped{_by(event)}",
    "search_prioritised": lambda event: (
        f"given weight {event['weight']:g} and priority {event['priority']}{_by(event)}"
    ),
    "search_opened": lambda event: "new in this store",
    "search_extended": lambda event: "given another total, or other settings",
    "search_started": lambda event: "taken up",
    "search_interrupted": lambda event: f"interrupted: {event['reason']}",
    "search_finished": lambda event: "finished",
    "search_failed": lambda event: f"failed: {event['message']}",
}
_MACHINE: Mapping[str, Callable[[Payload], str]] = {
    "worker_started": lambda event: f"{event['worker']} started on {event['device']}, process {event['pid']}",
    "worker_ended": lambda event: f"{event['worker']} ended, process {event['pid']}: {event['cause']}",
    "device_left": lambda event: f"{event['device']} left service: {event['reason']}: {event['message']}",
    "device_returned": lambda event: f"{event['device']} is in service again{_by(event)}",
    "checkpoint_quarantined": lambda event: (
        f"checkpoint {event['checkpoint'][:SHORT]} cannot be read and is set aside: {event['message']}"
    ),
}
_JOBS: Mapping[str, Callable[[Payload], str]] = {
    "job_started": lambda event: f"attempt {event['attempt']} given to {event['worker']} on {event['device']}",
    "job_succeeded": lambda event: f"done after {event['seconds']:.1f} s{wording.reached(event['outcome'])}",
    "attempt_failed": lambda event: f"attempt {event['attempt']} failed: {event['reason']}: {brief(event['message'])}",
    "job_failed": lambda event: f"given up: {event['outcome']['reason']}: {brief(event['outcome']['message'])}",
    "job_stopped": lambda event: f"attempt {event['attempt']} stopped in good order: {event['reason']}",
    "stale_report": lambda event: f"passed over a late message of attempt {event['attempt']}: {event['message']}",
}
_LEVELS = {
    **dict.fromkeys((*_SEARCHES, *_MACHINE), logging.INFO),
    **dict.fromkeys(("search_failed", "job_failed", "device_left", "checkpoint_quarantined"), logging.ERROR),
    **dict.fromkeys(("attempt_failed", "stale_report"), logging.WARNING),
    **dict.fromkeys(("job_started", "job_succeeded", "job_stopped"), logging.DEBUG),
}


def level(kind: str) -> int | None:
    """Returns the level of a kind of event; None for one that is of use to a replay alone."""
    return _LEVELS.get(kind)


def tell(kind: str, event: Payload, name: Callable[[str], str], words: Callable[[str], str]) -> Told | None:
    """Returns what is said of an event; None for one that is of use to a replay alone.

    Args:
        kind: its type.
        event: its fields.
        name: gives a search's name by its id.
        words: gives what a job is, by its id.
    """
    found = {key: event[key] for key in _KEYS if event.get(key) not in (None, "")}
    if kind == "job_failed":
        found["reason"] = event["outcome"]["reason"]
    if kind == "attempt_failed":
        found["detail"] = event["message"]  # with the traceback, where there is one
    if tell_it := _SEARCHES.get(kind):
        called = name(event["search"])
        return Told(_LEVELS[kind], f"search {called}: {tell_it(event)}", found | {"name": called})
    if tell_it := _JOBS.get(kind):
        return Told(_LEVELS[kind], f"{words(event['job'])}: {tell_it(event)}", found)
    if tell_it := _MACHINE.get(kind):
        return Told(_LEVELS[kind], tell_it(event), found)
    return None
