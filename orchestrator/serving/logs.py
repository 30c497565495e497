"""The daemon's log: one JSON object a line in `<store>/logs/daemon.jsonl`, and lines for people on stderr.

Everything goes through Python's logging: `setup` attaches one queue, which a thread of its own empties, so that a slow
disk holds nobody up, and a full one costs lines of the log and nothing else. `DaemonLog` is the observer that turns
events into records; others log to `logging.getLogger("coldframe.…")`, with `extra=fields(...)` for what is to be found
by machine.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import queue
import re
import sys
import time as clocks
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from orchestrator.serving import telling
from orchestrator.serving.config import LogConfig
from orchestrator.views import History
from orchestrator.views.entries import SHORT
from store.records.events import AnyEvent
from store.records.messages import Progress

FILE = "daemon.jsonl"
WAITING = 10_000
"""Records that may wait to be written; more are dropped, and the next one that is written says how many."""

_SECRETS = re.compile(r"(?i)(authorization['\"]?\s*[:=]\s*['\"]?(?:bearer\s+)?|bearer\s+|token=)[^\s'\",&]+")
_log = logging.getLogger("coldframe.daemon")


def fields(**values: Any) -> dict[str, Any]:
    """Returns the `extra` of a record whose JSON line is to have these keys."""
    return {"fields": values}


@contextmanager
def setup(config: LogConfig, folder: Path, stream: TextIO | None = None) -> Iterator[None]:
    """Sends this process's logging to the daemon's log while the context lasts.

    Args:
        config: level, and sizes of the files.
        folder: the store; the file is `logs/daemon.jsonl` in it.
        stream: where lines for people go; stderr if absent.
    """
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    waiting = _Queue(queue.Queue(WAITING))
    listener = logging.handlers.QueueListener(
        waiting.queue, _JsonFile(folder / "logs" / FILE, config, waiting), _People(stream or sys.stderr)
    )
    root, ours = logging.getLogger(), logging.getLogger("coldframe")
    level, before = ours.level, list(root.handlers)
    root.handlers[:] = [waiting]
    ours.setLevel(config.level.upper())
    listener.start()
    try:
        yield
    finally:
        root.handlers[:] = before
        ours.setLevel(level)
        listener.stop()
        for handler in listener.handlers:
            handler.close()


class DaemonLog:
    """The observer that logs what happens: orders and who gave them, searches, workers and how they ended, failures.

    What goes well with a single job is logged at level `debug` only: a search has many thousands of them.

    Args:
        history: the daemon's folded journal; each event is in it already when it comes here.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._reason: str | None = None

    def recalled(self, sequence: int, time: float, kind: str, payload: Mapping[str, Any]) -> None:
        """Passes over it: the log of its day has it."""

    def event(self, sequence: int, time: float, event: AnyEvent) -> None:
        """Logs an event, if people or machines could ask for it."""
        level = telling.level(event.type)
        if level is None or not _log.isEnabledFor(level):
            return
        told = telling.tell(event.type, event.model_dump(mode="python"), self._name, self._words)
        if told is not None:
            found = {"event": event.type, "sequence": sequence} | told.fields
            _log.log(told.level, told.message, extra={"fields": found})

    def progress(self, worker: str, job: str, message: Progress) -> None:
        """Passes over it."""

    def strategy(self, search: str, done: int, total: int, label: str) -> None:
        """Logs how far a search is, at level `debug`."""
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("%s of %s: %s", done, total, label, extra=fields(event="strategy", search=search))

    def waiting(self, reason: str | None) -> None:
        """Logs why nothing new can start, and that it can again."""
        if reason != self._reason:
            self._reason = reason
            level = logging.WARNING if reason else logging.INFO
            _log.log(level, f"waiting: {reason}" if reason else "no longer waiting", extra=fields(event="waiting"))

    def told(self, line: str) -> None:
        """Logs a line."""
        _log.info(line, extra=fields(event="told"))

    def close(self) -> None:
        """Does nothing: `setup` closes what it opened."""

    def _name(self, search: str) -> str:
        entry = self._history.searches.get(search)
        return entry.name if entry else search[:SHORT]

    def _words(self, job: str) -> str:
        view = self._history.jobs.get(job)
        return view.words if view else f"job {job[:SHORT]}"


class _Queue(logging.handlers.QueueHandler):
    """Hands records to the thread that writes; counts those for which there was no room."""

    def __init__(self, waiting: queue.Queue[Any]) -> None:
        super().__init__(waiting)
        self.lost = 0

    def handleError(self, record: logging.LogRecord) -> None:
        """Counts a record that could not be handed on."""
        self.lost += 1


class _JsonFile(logging.handlers.RotatingFileHandler):
    """Writes JSON lines, and starts a new file when one is full. A disk that takes nothing costs lines, no more."""

    def __init__(self, path: Path, config: LogConfig, waiting: _Queue) -> None:
        super().__init__(path, maxBytes=config.bytes, backupCount=config.keep, encoding="utf-8", delay=True)
        self._waiting = waiting

    def format(self, record: logging.LogRecord) -> str:
        """Returns a record as one line of JSON."""
        value: dict[str, Any] = {"time": _utc(record.created), "level": record.levelname.lower()}
        value |= {"logger": record.name} if record.name != _log.name else {}
        value |= getattr(record, "fields", {}) | {"message": record.getMessage()}
        if lost := self._waiting.lost:
            self._waiting.lost -= lost
            value["lost"] = lost
        return hidden(json.dumps(value, default=str))

    def handleError(self, record: logging.LogRecord) -> None:
        """Counts a record that could not be written: nobody is harmed by that, and the next one says so."""
        self._waiting.lost += 1

    def close(self) -> None:
        """Closes the file; what a full disk has not taken by then is lost."""
        with suppress(OSError):
            super().close()


class _People(logging.StreamHandler[TextIO]):
    """Writes lines for people; systemd's journal takes level and time from elsewhere, but a terminal has neither."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns a record as one line of text."""
        stamp = clocks.strftime("%Y-%m-%d %H:%M:%S", clocks.localtime(record.created))
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        return f"{stamp}  {level}{hidden(record.getMessage())}"

    def handleError(self, record: logging.LogRecord) -> None:
        """Lets the line go: the file has it."""


def hidden(text: str) -> str:
    """Returns a text with what looks like a token left out."""
    return _SECRETS.sub(lambda match: f"{match[1]}[hidden]", text)


def _utc(time: float) -> str:
    return clocks.strftime("%Y-%m-%dT%H:%M:%S", clocks.gmtime(time)) + f".{int(time % 1 * 1000):03d}Z"
