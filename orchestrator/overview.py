"""What there is to see of a whole daemon: what `coldframe watch` keeps between two drawings. No terminal, no I/O."""

from __future__ import annotations

import logging
import time as clocks
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.serving import telling
from orchestrator.views.entries import SHORT, JobView

LINES, DONE_LINES = 60, 3
"""What is kept of what happened, and of jobs that went well: of these there are so many that they hid the rest."""
ACTIVE = ("running", "preparing", "pausing", "submitted", "interrupted", "paused")
"""Statuses of searches that may still get on, those that do first."""
GOING = frozenset({"running", "preparing", "pausing"})
_JOB_DONE = "job_succeeded"


@dataclass(frozen=True, slots=True)
class Line:
    """Something that happened; `level` as in logging."""

    time: float
    text: str
    level: int


@dataclass(frozen=True, slots=True)
class Doing:
    """What a worker is at. `share`: done of it, in [0, 1]; None where nobody knows."""

    worker: str
    device: str
    search: str
    words: str
    epochs: str
    share: float | None
    images_per_second: float | None


@dataclass(slots=True)
class Overview:
    """The whole of a daemon, or one search of it.

    Attributes:
        only: the search that is shown alone, by its id; None for all.
        health, searches, devices: as last asked for.
        rungs, waits: of searches that get on, by id.
        reason: why nothing new can start. away: why the daemon does not answer.
        lines: what happened lately. done: jobs that went well.
    """

    only: str | None = None
    health: Mapping[str, Any] = field(default_factory=dict)
    searches: Sequence[Mapping[str, Any]] = ()
    devices: Sequence[Mapping[str, Any]] = ()
    rungs: dict[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    waits: dict[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    reason: str | None = None
    away: str | None = None
    lines: deque[Line] = field(default_factory=lambda: deque(maxlen=LINES))
    done: deque[Line] = field(default_factory=lambda: deque(maxlen=DONE_LINES))
    clock: Callable[[], float] = clocks.time
    _beats: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _words: dict[str, str] = field(default_factory=dict)
    _jobs: dict[str, set[str]] = field(default_factory=dict)

    def take(self, event: Mapping[str, Any]) -> Line | None:
        """Takes what the stream brought; returns it in a line if people want to know of it."""
        match event["type"]:
            case "progress":
                self._beats[event["worker"]] = event
            case "strategy":
                self._strategy(event)
            case "waiting":
                self.reason = event["reason"]
            case "told":
                return self._keep(Line(self.clock(), event["line"], logging.INFO))
            case _:
                return self._journalled(event)
        return None

    def refresh(self, searches: Sequence[Mapping[str, Any]], devices: Sequence[Mapping[str, Any]]) -> None:
        """Takes what was asked for anew."""
        self.searches, self.devices = searches, devices
        for search in searches:
            for job in search["running"]:
                self._words[job["job"]] = job["words"]

    def shown(self) -> list[Mapping[str, Any]]:
        """Returns the searches to show: those that get on first, then those that could, then the latest others."""
        if self.only is not None:
            return [search for search in self.searches if search["search"] == self.only]
        order = {status: place for place, status in enumerate(ACTIVE)}
        return sorted(self.searches, key=lambda one: (order.get(one["status"], len(order)), -one["seen"]))

    def name(self, search: str) -> str:
        """Returns a search's name, or the beginning of its id where it is not known yet."""
        return next((str(one["name"]) for one in self.searches if one["search"] == search), search[:SHORT])

    def latest(self, most: int) -> list[Line]:
        """Returns what happened lately, oldest first; of jobs that went well only the last ones."""
        return sorted([*self.lines, *self.done], key=lambda line: line.time)[-most:]

    def doing(self) -> Iterator[Doing]:
        """Yields what each worker with a job is at, by the workers' names."""
        found = [(job["worker"], search, job) for search in self.searches for job in search["running"]]
        first: dict[str, Doing] = {}
        for worker, search, job in found:
            if self.only is None or search["search"] == self.only:
                first.setdefault(worker, self._doing(search, job))
        yield from (first[worker] for worker in sorted(first, key=_natural))

    def busy(self, device: str) -> int:
        """Returns how many workers of a device have a job of any search, by the same answer as `doing` goes by."""
        return len({job["worker"] for one in self.searches for job in one["running"] if job["device"] == device})

    def _doing(self, search: Mapping[str, Any], job: Mapping[str, Any]) -> Doing:
        beat = self._beats.get(job["worker"], {})
        beat = beat if beat.get("job") == job["job"] else {}
        steps, goal = beat.get("steps", 0), job["epochs"]
        part = min(beat.get("step", 0) / steps, 1.0) if steps else 0.0
        epoch = max(beat.get("epoch", 0) + part, job["epoch"])
        note = beat.get("note", "")
        share = part if note and steps else epoch / goal if goal else None
        shown = f"{int(epoch)} of {goal}" if goal and not note else ""
        rate = beat.get("images_per_second")
        return Doing(job["worker"], job["device"], search["name"], note or job["words"], shown, share, rate)

    def _strategy(self, event: Mapping[str, Any]) -> None:
        live = {key: event[key] for key in ("done", "total", "label")}
        self.searches = [{**one, **live} if one["search"] == event["search"] else one for one in self.searches]

    def _journalled(self, event: Mapping[str, Any]) -> Line | None:
        kind = event["type"]
        if kind == "requested":
            self._words[event["job"]] = JobView(event["job"], event["request"], 0.0).words
            self._jobs.setdefault(event["job"], set()).add(event["search"])
        told = telling.tell(kind, event, self.name, self._said)
        if kind in {_JOB_DONE, "job_failed"}:
            self._words.pop(event["job"], None)
        if told is None or not self.concerns(event) or (told.level < logging.INFO and kind != _JOB_DONE):
            return None
        return self._keep(Line(event["time"], told.message, told.level))

    def concerns(self, event: Mapping[str, Any]) -> bool:
        """Whether an event is of what is shown."""
        if self.only is None:
            return True
        if "search" in event:
            return bool(event["search"] == self.only)
        running = {job["job"] for one in self.searches if one["search"] == self.only for job in one["running"]}
        return event.get("job") in running or self.only in self._jobs.get(event.get("job", ""), ())

    def _said(self, job: str) -> str:
        return self._words.get(job, f"job {job[:SHORT]}")

    def _keep(self, line: Line) -> Line:
        (self.done if line.level < logging.INFO else self.lines).append(line)
        return line


def _natural(name: str) -> tuple[str, int]:
    stem = name.rstrip("0123456789")
    return stem, int(name[len(stem) :] or 0)
