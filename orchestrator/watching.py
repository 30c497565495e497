"""Watches a daemon: one thread listens to its stream, this one asks and draws. Nothing of it can harm a search."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, TextIO

from orchestrator import wording
from orchestrator.board import Board
from orchestrator.errors import DaemonGone
from orchestrator.overview import GOING, Line, Overview
from orchestrator.reaching import Source

TICK_SECONDS = 0.25
ASK_SECONDS = 2.0
BEFORE = 300
"""Events before the present with which a view begins."""
DETAILS = 8
"""So many searches are asked for their rungs and what they wait for."""
PROGRESS_SECONDS = 5.0
ENDED = frozenset({"finished", "failed", "stopped"})


class Watching:
    """Keeps an overview up to date.

    Args:
        source: what is watched.
        only: a search's id, to watch it alone; None for all.
        until_end: leave when that search has ended.
        raw: where each event goes as a line of JSON.
        after: the event after which to begin; absent: a little before the present, with `raw` at the present.
    """

    def __init__(
        self,
        source: Source,
        only: str | None,
        *,
        until_end: bool = False,
        raw: TextIO | None = None,
        after: int | None = None,
    ) -> None:
        self.overview = Overview(only)
        self.lock = threading.Lock()
        self.fresh: list[Line] = []
        self.changed = True
        self.where = source.where
        self._source, self._until_end, self._raw, self._after = source, until_end, raw, after
        self._failure: Exception | None = None
        self._asked = float("-inf")
        self._known: dict[str, tuple[float, list[Mapping[str, Any]]]] = {}
        self._woken = threading.Event()

    def run(self) -> Iterator[None]:
        """Yields after each look, until the search has ended if that is wished.

        Raises:
            Refused, EndpointUnusable: if the daemon turns the watcher away.
        """
        self._ask(first=True)
        listener = threading.Thread(target=self._listen, name="listener", daemon=True)
        listener.start()
        while True:
            yield
            if self._failure is not None:
                raise self._failure
            if self._over:
                return
            self._woken.wait(TICK_SECONDS)
            if self._woken.is_set() or time.monotonic() - self._asked >= ASK_SECONDS:
                self._woken.clear()
                self._ask()

    @property
    def status(self) -> str | None:
        """The status of the search that is watched alone."""
        found = self.overview.shown() if self.overview.only is not None else []
        return str(found[0]["status"]) if found else None

    @property
    def _over(self) -> bool:
        return self._until_end and self.status in ENDED

    def _ask(self, *, first: bool = False) -> None:
        """Asks for what the stream does not bring; a daemon that is away is asked again later, but not at first."""
        self._asked = time.monotonic()
        try:
            health, searches, devices = self._source.health(), self._source.searches(), self._source.devices()
            with self.lock:
                self.overview.health = health
                self.overview.refresh(searches, devices)
                shown = [one for one in self.overview.shown() if one["status"] in GOING or not one["running"]][:DETAILS]
            rungs = {one["search"]: self._rungs(one) for one in shown}
            waits = {one["search"]: self._waits(one) for one in shown}
        except DaemonGone as error:
            if first:
                raise
            self._away(str(error))
            return
        with self.lock:
            self.overview.away, self.changed = None, True
            self.overview.rungs.update(rungs)
            self.overview.waits.clear()
            self.overview.waits.update(waits)

    def _rungs(self, search: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Asks for a search's rungs, if anything has happened to it since they were asked for last."""
        known = self._known.get(search["search"])
        if known is None or known[0] != search["seen"]:
            known = self._known[search["search"]] = search["seen"], list(self._source.rungs(search["search"]))
        return known[1]

    def _waits(self, search: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        if search["status"] in ENDED or search["running"]:
            return []
        return list(self._source.why(search["search"])["waits"])

    def _listen(self) -> None:
        """Takes what the stream brings; whatever ends it for good is raised where the drawing is done."""
        try:
            now = int(self.overview.health["sequence"])
            begin = max(0, now - (0 if self._raw else BEFORE)) if self._after is None else self._after
            for event in self._source.events(begin, self._away):
                with self.lock:
                    line, self.changed = self.overview.take(event), True
                    self.fresh += [line] if line is not None else []
                if self._raw is not None and "sequence" in event and self.overview.concerns(event):
                    self._raw.write(json.dumps(event) + "\n")
                    self._raw.flush()
                if str(event["type"]).startswith("search_"):
                    self._woken.set()
        except Exception as error:
            self._failure = error

    def _away(self, reason: str | None) -> None:
        with self.lock:
            self.overview.away, self.changed = reason, True


def watch(
    source: Source, only: str | None, stream: TextIO, *, until_end: bool, as_json: bool, after: int | None = None
) -> str | None:
    """Shows a daemon, or one search of it, until it is interrupted or that search has ended.

    Args:
        source: what is watched.
        only: a search's id; None for all.
        stream: where it is shown: a live view on a terminal, else lines.
        until_end: return when the search has ended.
        as_json: print each event as a line of JSON instead.
        after: the event after which to begin; absent: about the present.

    Returns:
        The search's last status.
    """
    watching = Watching(source, only, until_end=until_end, raw=stream if as_json else None, after=after)
    view = (
        nullcontext(lambda: None)
        if as_json
        else _live(watching, stream)
        if stream.isatty()
        else _plain(watching, stream)
    )
    with view as draw:
        for _ in watching.run():
            draw()
    return watching.status


@contextmanager
def _live(watching: Watching, stream: TextIO) -> Iterator[Any]:
    """A view that fills the terminal; what it showed last stays there when it ends."""
    from rich.console import Console
    from rich.live import Live

    console = Console(file=stream, highlight=False, markup=False)
    board = Board(watching.overview, watching.where)
    with Live(board, console=console, screen=True, auto_refresh=False) as live:

        def draw() -> None:
            with watching.lock:
                if watching.changed:
                    watching.changed = False
                    live.refresh()

        yield draw
    with watching.lock:
        console.print(board)


@contextmanager
def _plain(watching: Watching, stream: TextIO) -> Iterator[Any]:
    """Lines: what happened, and now and then how far each search is."""
    due = [time.monotonic()]

    def draw() -> None:
        with watching.lock:
            lines, watching.fresh[:] = list(watching.fresh), []
            if time.monotonic() >= due[0]:
                due[0] = time.monotonic() + PROGRESS_SECONDS
                lines += list(_progress(watching.overview))
        for line in lines:
            stream.write(f"{time.strftime('%H:%M:%S', time.localtime(line.time))}  {line.text}\n")
        stream.flush()

    yield draw
    draw()


def _progress(overview: Overview) -> Iterator[Line]:
    now = time.time()
    if overview.away:
        yield Line(now, overview.away, logging.WARNING)
    for search in overview.shown():
        if search["status"] in GOING:
            share = f": {search['done'] / search['total']:.0%}" if search["total"] else ""
            best = f", best {wording.accuracy(search['best_accuracy'])}" if search["best_accuracy"] is not None else ""
            yield Line(now, f"{search['name']}: {search['label'] or search['status']}{share}{best}", logging.INFO)
        for wait in overview.waits.get(search["search"], ()):
            yield Line(now, f"{search['name']} waits: {wait['what']}; until {wait['until']}", logging.INFO)
