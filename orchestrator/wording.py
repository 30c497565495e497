"""Numbers and events in words, the same in the live table, the plain lines, the commands and the report."""

from __future__ import annotations

import time as clocks
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.views.entries import SHORT, JobView
from store.records.outcomes import brief

if TYPE_CHECKING:
    from orchestrator.views.search import CandidateView


def accuracy(value: float | None) -> str:
    """`93.42 %`, or a dash where there is none."""
    return "-" if value is None else f"{value * 100:.2f} %"


def score(found: CandidateView | None) -> str:
    """A candidate's validation accuracy, or its test accuracy where it has none, which is then said."""
    if found is None or found.accuracy is not None or found.test_accuracy is None:
        return accuracy(found.accuracy if found else None)
    return f"{accuracy(found.test_accuracy)} (test)"


def amount(value: float | None) -> str:
    """A count with three digits and a unit: 199,762 is `0.200 M`."""
    if value is None:
        return "-"
    for size, unit, least in ((1e9, "G", 1e8), (1e6, "M", 1e5), (1e3, "k", 1e3)):
        if value >= least:
            return f"{f'{value / size:#.3g}'.rstrip('.')} {unit}"
    return f"{value:.0f}"


def duration(seconds: float) -> str:
    """`8.2 s`, `3 min 05 s` or `2 h 10 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def moment(time: float) -> str:
    """A date and a time of day, in local time."""
    return clocks.strftime("%Y-%m-%d %H:%M:%S", clocks.localtime(time))


def size(count: float) -> str:
    """Bytes in a unit that reads well: `1.4 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def plural(count: int, word: str) -> str:
    """`1 job`, `2 jobs`, `3 searches`, `4 epochs`."""
    more = "es" if word.endswith(("rch", "tch")) else "s"
    return f"{count:,} {word}{'' if count == 1 else more}"


def notable(kind: str, event: Mapping[str, Any], job: JobView | None) -> str | None:
    """Returns an event in one line for people who watch, or None for one that they need not see."""
    words = job.words if job else ""
    match kind:
        case "job_succeeded":
            return words + reached(event["outcome"])
        case "attempt_failed":
            return f"{words}: attempt {event['attempt']} failed: {event['reason']}: {brief(event['message'])}"
        case "job_failed":
            return f"{words}: given up: {event['outcome']['reason']}: {brief(event['outcome']['message'])}"
        case "checkpoint_quarantined":
            return f"checkpoint {event['checkpoint'][:SHORT]} cannot be read and is set aside: {event['message']}"
        case "stale_report":
            return f"{words}: passed over a late message of attempt {event['attempt']}"
        case "search_interrupted":
            return f"interrupted: {event['reason']}"
        case "search_failed":
            return f"failed: {event['message']}"
    return None


def reached(outcome: Mapping[str, Any]) -> str:
    """The accuracy of an outcome: of the validation images or, where it has none, of those that it was trained on."""
    if outcome.get("accuracy") is not None:
        return f": {accuracy(outcome['accuracy'])}"
    history = outcome.get("history") or ()
    return f": {accuracy(history[-1]['train_accuracy'])} of the training images" if history else ""


TROUBLE = frozenset({"attempt_failed", "job_failed", "checkpoint_quarantined", "search_failed"})
"""Events that deserve attention."""
