"""JSON as the API sends it: never a NaN, bytes only counted, and an event as watchers see it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.views import History

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_LEFT_OUT = {"search_finished": "result", "search_submitted": "raw"}
"""What is large and has a route of its own."""


class Encoded(NamedTuple):
    """An event, encoded once for all who watch: `sent` is its server-sent form, the JSON in it begins at `start`."""

    sequence: int
    search: str | None
    job: str | None
    sent: bytes
    start: int

    @property
    def json(self) -> bytes:
        """The event as JSON."""
        return self.sent[self.start : -2]

    def concerns(self, search: str, history: History) -> bool:
        """Whether it is of a search, or of a job that the search has asked for."""
        if self.search is not None or self.job is None:
            return self.search == search
        job = history.jobs.get(self.job)
        return job is not None and search in job.searches


def dumps(value: Any) -> bytes:
    """Returns a value as JSON in ASCII; numbers that are not finite become null, bytes their count."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"), default=_counted).encode()
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False, separators=(",", ":"), default=_counted).encode()


def fields(value: DataclassInstance) -> dict[str, Any]:
    """Returns the fields of a dataclass that holds plain values; `dataclasses.asdict` would copy each of them."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def event(sequence: int, time: float, kind: str, payload: Mapping[str, Any]) -> Encoded:
    """Encodes a journalled event: its fields, with its sequence number and its time."""
    shown = {"sequence": sequence, "time": time, **payload}
    shown.pop(_LEFT_OUT.get(kind, ""), None)
    head = b"id: %d\ndata: " % sequence
    return Encoded(sequence, payload.get("search"), payload.get("job"), head + dumps(shown) + b"\n\n", len(head))


def passing(kind: str, value: Mapping[str, Any]) -> bytes:
    """Encodes what happens and is not journalled: a named event without a number, so that nobody resumes from it."""
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), dumps(value))


def _counted(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"bytes": len(value)}
    raise TypeError(f"{type(value).__name__} has no JSON")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
