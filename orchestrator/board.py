"""How `coldframe watch` draws a daemon on a terminal: as wide as there is room, the rest left out."""

from __future__ import annotations

import logging
import time as clocks
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from orchestrator import wording
from orchestrator.overview import GOING, Doing, Overview

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.table import Table

MIDDLE, WIDE, WIDEST = 84, 112, 140
"""Columns from which there is room for more."""
LEAST_SEARCHES, LEAST_LINES = 3, 4
RUNGS = 4
_STYLES = {"running": "green", "preparing": "cyan", "failed": "red", "paused": "yellow", "pausing": "yellow"}
_LEVELS = {logging.ERROR: "red", logging.WARNING: "yellow", logging.DEBUG: "dim"}


class Board:
    """A drawing of an overview; made anew each time that it is printed.

    Args:
        overview: what is drawn.
        title: said at the top, beside how the daemon is.
    """

    def __init__(self, overview: Overview, title: str) -> None:
        self._overview, self._title = overview, title

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draws as much as fits the console."""
        width, height = options.max_width, options.height or console.height
        workers, searches = list(self._overview.doing()), self._overview.shown()
        devices = self._overview.devices
        fixed = 4 + (len(workers) + 2 if workers else 0) + (len(devices) + 2 if devices else 0)
        room = max(LEAST_SEARCHES, height - fixed - LEAST_LINES - 3)
        yield from self._top(width)
        table, used = self._searches(searches, width, room)
        yield table
        if used < len(searches):
            yield _dim(f"and {wording.plural(len(searches) - used, 'other search')}")
        yield from self._waits(searches)
        if workers:
            yield from ("", _workers(workers, width))
        if devices:
            yield from ("", _devices(self._overview, width))
        yield from self._lines(max(LEAST_LINES, height - fixed - used - 3))

    def _top(self, width: int) -> Iterator[RenderableType]:
        from rich.text import Text

        health, overview = self._overview.health, self._overview
        status = str(health.get("status", "starting"))
        up = f"up {wording.duration(health['uptime_seconds'])}" if health.get("uptime_seconds") else ""
        parts: list[str | tuple[str, str]] = [
            ("coldframe  ", "bold"),
            (status, "green" if status == "ok" else "yellow"),
        ]
        parts += [f"  {up}", f"  event {health.get('sequence', 0):,}"] if width >= MIDDLE else []
        parts += [f"  {self._title}"]  # last: it may be longer than the line
        yield Text.assemble(*parts, no_wrap=True, overflow="ellipsis")
        for why in (overview.away, health.get("reason"), overview.reason and f"waiting: {overview.reason}"):
            if why:
                yield Text(str(why), style="yellow")
        yield ""

    def _searches(self, searches: list[Mapping[str, Any]], width: int, room: int) -> tuple[RenderableType, int]:
        if not searches:
            return _dim("no searches yet: `coldframe submit SPEC.toml` hands one in"), 0
        table = _table()
        _column(table, "search", most=16 if width < WIDE else 24)
        _column(table, "status", least=9)
        _column(table, "progress", least=10 if width < WIDE else 16)
        _column(table, "", least=4, most=None if width >= WIDE else 28)
        _column(table, "best", least=7, right=True)
        if width >= WIDE:
            _column(table, "rungs: mean now" if width < WIDEST else "rungs: mean now (best)")
        if width >= WIDEST:
            _column(table, "owner")
            _column(table, "share", right=True)
        for search in searches[:room]:
            table.add_row(*self._search(search, width)[: len(table.columns)])
        return table, min(room, len(searches))

    def _search(self, search: Mapping[str, Any], width: int) -> list[RenderableType]:
        from rich.text import Text

        status = str(search["status"])
        best = search["best_accuracy"] if search["best_accuracy"] is not None else search["best_test_accuracy"]
        share = f"{search['weight']:g}" + (f", {search['priority']:+d}" if search["priority"] else "")
        return [
            search["name"],
            Text(status, style=_STYLES.get(status, "")),
            _bar(_share(search), 10 if width < WIDE else 16, status in GOING),
            _percent(search) + (f"  {search['label']}" if width >= MIDDLE and status in GOING else ""),
            wording.accuracy(best),
            _rungs(self._overview.rungs.get(search["search"], ()), best=width >= WIDEST),
            str(search["owner"]),
            share,
        ]

    def _waits(self, searches: list[Mapping[str, Any]]) -> Iterator[RenderableType]:
        from rich.text import Text

        for search in searches:
            for wait in self._overview.waits.get(search["search"], ()):
                words = f"{search['name']} waits: {wait['what']}; until {wait['until']}"
                yield Text(words, style="yellow", no_wrap=True, overflow="ellipsis")

    def _lines(self, room: int) -> Iterator[RenderableType]:
        from rich.text import Text

        lines = self._overview.latest(room)
        if lines:
            yield ""
        for line in lines:
            stamp = clocks.strftime("%H:%M:%S", clocks.localtime(line.time))
            style = _LEVELS.get(line.level, "")
            text = " ".join(line.text.split())
            yield Text.assemble((stamp, "dim"), "  ", (text, style), no_wrap=True, overflow="ellipsis")


def _workers(workers: list[Doing], width: int) -> Table:
    table = _table()
    headings = ["worker", "device", "search", "doing", "epoch", "", "images/s"]
    left_out = {"device", "images/s"} if width < MIDDLE else set[str]()
    if all(one.images_per_second is None for one in workers):
        left_out.add("images/s")
    kept = [name for name in headings if name not in left_out]
    for heading in kept:
        _column(
            table, heading, least=8 if heading in {"worker", "epoch"} else 0, right=heading in {"epoch", "images/s"}
        )
    for one in workers:
        rate = "" if one.images_per_second is None else f"{one.images_per_second:,.0f}"
        bar = _bar(one.share, 14 if width >= MIDDLE else 6, True)
        cells = dict(zip(headings, [one.worker, one.device, one.search, one.words, one.epochs, bar, rate], strict=True))
        table.add_row(*(cells[name] for name in kept))
    return table


def _devices(overview: Overview, width: int) -> Table:
    from rich.text import Text

    table = _table()
    headings = ["device", "workers", "at work", "memory", "load", "model", "state"]
    kept = [name for name in headings if width >= MIDDLE or name not in {"at work", "load", "model"}]
    for heading in kept:
        _column(table, heading, least=6 if heading == "device" else 0, right=heading in {"at work", "load"})
    for device in overview.devices:
        used, there = device["memory_used_bytes"], device["memory_bytes"]
        memory = "-" if there is None else f"{wording.size(used or 0)} of {wording.size(there)}"
        at_work = "-" if device["idle_share"] is None else f"{1 - device['idle_share']:.0%}"
        load = "-" if device["utilisation"] is None else f"{device['utilisation']:.0%}"
        heat = "" if device["temperature"] is None else f", {device['temperature']:.0f} °C"
        state = Text(device["state"] + (f": {device['why']}" if device["why"] else heat))
        state.stylize("" if device["state"] == "in service" else "red")
        busy = overview.busy(device["device"])
        workers = f"{busy} of {device['slots']} busy" if device["slots"] else f"{busy} busy"
        values = [device["device"], workers, at_work, memory, load, device["model"], state]
        cells = dict(zip(headings, values, strict=True))
        table.add_row(*(cells[name] for name in kept))
    return table


def _rungs(rungs: Any, best: bool) -> str:
    """The highest rungs: epochs, mean accuracy of the latest that were trained so far, and the best of all."""
    shown = [f"{one['epochs']}: {one['mean']:.1%}" + (f" ({one['best']:.1%})" if best else "") for one in rungs]
    return "  ".join(shown[-RUNGS:])


def _share(search: Mapping[str, Any]) -> float | None:
    if search["status"] == "finished":
        return 1.0
    return search["done"] / search["total"] if search["total"] else None


def _percent(search: Mapping[str, Any]) -> str:
    share = _share(search)
    return "" if share is None else f"{share:4.0%}"


def _bar(share: float | None, width: int, moves: bool) -> RenderableType:
    from rich.progress_bar import ProgressBar

    if share is None and not moves:
        return ""
    return ProgressBar(total=None if share is None else 1.0, completed=share or 0.0, width=width, pulse=share is None)


def _table() -> Table:
    from rich.table import Table

    return Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)


def _column(table: Table, heading: str, *, least: int = 0, most: int | None = None, right: bool = False) -> None:
    table.add_column(
        heading,
        justify="right" if right else "left",
        min_width=least or None,
        max_width=most,
        no_wrap=True,
        overflow="ellipsis",
    )


def _dim(text: str) -> RenderableType:
    from rich.text import Text

    return Text(text, style="dim")
