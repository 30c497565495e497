"""Plain lines for where there is no terminal: a log file, a pipe, continuous integration."""

from __future__ import annotations

import time as clocks
from collections.abc import Mapping
from typing import Any, TextIO

from orchestrator import wording
from orchestrator.stream import Unfailing
from orchestrator.watch import Watch
from store.records.events import AnyEvent, SearchStarted
from store.records.messages import Progress

PROGRESS_SECONDS = 5.0
SUCCESS_SECONDS = 1.0


class Plain:
    """One line for each notable event, at most one a second for what merely goes well, and progress now and then."""

    def __init__(self, stream: TextIO, watch: Watch | None = None) -> None:
        self._stream = Unfailing(stream)
        self._watch = watch or Watch()
        self._progress_due = self._watch.clock()
        self._success_due = self._watch.clock()
        self._note_due = self._watch.clock()
        self._passed_over = 0
        self._reason: str | None = None

    def recalled(self, sequence: int, time: float, kind: str, payload: Mapping[str, Any]) -> None:
        """Folds an earlier row."""
        self._watch.recalled(sequence, time, kind, payload)

    def event(self, sequence: int, time: float, event: AnyEvent) -> None:
        """Folds a new row, and prints it if it is notable."""
        line = self._watch.event(sequence, time, event)
        if isinstance(event, SearchStarted):
            self._start(event.search, time)
        elif line:
            self._notable(time, line, quiet=event.type == "job_succeeded")
        self._advance()

    def progress(self, worker: str, job: str, message: Progress) -> None:
        """Keeps a heartbeat; prints how far the search is, or the decoding of its images, if it is time to."""
        self._watch.progress(worker, job, message)
        if message.note and message.steps and self._watch.clock() >= self._note_due:
            self._note_due = self._watch.clock() + PROGRESS_SECONDS
            self._print(clocks.time(), f"{worker}: {message.note}")
        self._advance()

    def strategy(self, search: str, done: int, total: int, label: str) -> None:
        """Keeps how far the strategy is; prints it if it is time to."""
        self._watch.strategy(search, done, total, label)
        self._advance()

    def waiting(self, reason: str | None) -> None:
        """Prints why nothing starts, once for each reason."""
        self._watch.waiting(reason)
        if reason and reason != self._reason:
            self._print(clocks.time(), f"waiting: {reason}")
        self._reason = reason

    def told(self, line: str) -> None:
        """Prints a line."""
        self._print(clocks.time(), line)

    def close(self) -> None:
        """Prints what has been held back."""
        self._flush(clocks.time())

    def _start(self, search: str, time: float) -> None:
        entry = self._watch.history.searches[search]
        again = f", run {len(entry.runs)}" if len(entry.runs) > 1 else ""
        asked = f"; {wording.plural(len(entry.requests), 'request')} on record" if entry.requests else ""
        self._print(time, f"search {entry.name} ({search[:12]}) started{again}{asked}")

    def _notable(self, time: float, line: str, *, quiet: bool) -> None:
        """Prints a line; a quiet one only if the last quiet one is a second old, else it is counted."""
        if not quiet:
            self._flush(time)
            self._print(time, line)
        elif self._watch.clock() >= self._success_due:
            self._flush(time)
            self._print(time, line)
            self._success_due = self._watch.clock() + SUCCESS_SECONDS
        else:
            self._passed_over += 1

    def _flush(self, time: float) -> None:
        if self._passed_over:
            self._print(time, f"and {wording.plural(self._passed_over, 'other job')} done")
            self._passed_over = 0

    def _advance(self) -> None:
        watch = self._watch
        if not watch.total or watch.clock() < self._progress_due:
            return
        self._progress_due = watch.clock() + PROGRESS_SECONDS
        remaining = watch.remaining()
        left = f", about {wording.duration(remaining)} to go" if remaining is not None else ""
        best = f", best {wording.accuracy(watch.best['accuracy'])}" if watch.best else ""
        self._print(clocks.time(), f"{watch.label}: {watch.done / watch.total:.0%}{left}{best}")

    def _print(self, time: float, line: str) -> None:
        stamp = clocks.strftime("%H:%M:%S", clocks.localtime(time))
        self._stream.write(f"{stamp}  {line}\n")
        self._stream.flush()
