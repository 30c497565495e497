"""The live table on a terminal. `observer` picks it or the plain lines."""

from __future__ import annotations

import threading
import time as clocks
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO, cast

from orchestrator import wording
from orchestrator.observer import Observer, Silent
from orchestrator.plain import Plain
from orchestrator.stream import Unfailing
from orchestrator.watch import Watch
from store.records.events import AnyEvent
from store.records.messages import Progress

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Live", "Observer", "observer"]

REFRESH_PER_SECOND = 4


def observer(stream: TextIO | None) -> Live | Plain | Silent:
    """Returns the view that suits where it is shown: the live table on a terminal, else plain lines.

    Args:
        stream: None if this process was started with the stream closed; then nothing is shown.
    """
    if stream is None:
        return Silent()
    return Live(stream) if stream.isatty() else Plain(stream)


class Live:
    """A table that is drawn again a few times a second, by a thread of its own."""

    def __init__(self, stream: TextIO, watch: Watch | None = None) -> None:
        from rich.console import Console
        from rich.live import Live as RichLive

        self._watch = watch or Watch()
        self._lock = threading.Lock()
        self._started = clocks.monotonic()
        self._live = RichLive(
            console=Console(file=cast(TextIO, Unfailing(stream))),
            get_renderable=self.render,
            refresh_per_second=REFRESH_PER_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def recalled(self, sequence: int, time: float, kind: str, payload: Mapping[str, Any]) -> None:
        """Folds an earlier row."""
        with self._lock:
            self._watch.recalled(sequence, time, kind, payload)

    def event(self, sequence: int, time: float, event: AnyEvent) -> None:
        """Folds a new row."""
        with self._lock:
            self._watch.event(sequence, time, event)

    def progress(self, worker: str, job: str, message: Progress) -> None:
        """Keeps a worker's heartbeat."""
        with self._lock:
            self._watch.progress(worker, job, message)

    def strategy(self, search: str, done: int, total: int, label: str) -> None:
        """Keeps how far the strategy is."""
        with self._lock:
            self._watch.strategy(search, done, total, label)

    def waiting(self, reason: str | None) -> None:
        """Keeps why nothing starts."""
        with self._lock:
            self._watch.waiting(reason)

    def told(self, line: str) -> None:
        """Keeps a line."""
        with self._lock:
            self._watch.told(line)

    def close(self) -> None:
        """Draws the table once more, leaves it on the screen and shows the cursor again; safe to call twice."""
        self._live.stop()

    def render(self) -> RenderableType:
        """Returns the whole view as it is now."""
        from rich.console import Group

        with self._lock:
            parts = [_title(self._watch, clocks.monotonic() - self._started), _bar(self._watch)]
            parts += [_best(self._watch)] if self._watch.compares else []
            parts += [_workers(self._watch), _counts(self._watch)]
            parts += [_waiting(self._watch.reason)] if self._watch.reason else []
            parts += _lines(self._watch)
        return Group(*parts)


def _title(watch: Watch, seconds: float) -> RenderableType:
    from rich.text import Text

    entry = watch.history.searches.get(watch.search or "")
    name = f"{entry.name} ({entry.id[:12]})" if entry else "starting"
    return Text.assemble(("coldframe  ", "bold"), name, f"  {wording.duration(seconds)}")


def _bar(watch: Watch) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    remaining = watch.remaining()
    share = f"{watch.done / watch.total:.0%}" if watch.total else ""
    grid = Table.grid(padding=(0, 2))
    grid.add_row(
        watch.label or "starting",
        ProgressBar(total=watch.total or None, completed=watch.done, width=40, pulse=not watch.total),
        share,
        "" if remaining is None else f"about {wording.duration(remaining)} to go",
    )
    return grid


def _best(watch: Watch) -> RenderableType:
    from rich.text import Text

    best = watch.best
    if best is None:
        return Text("best so far: none yet", style="dim")
    costs = f"{wording.amount(best['parameters'])} parameters, {wording.amount(best['multiply_adds'])} multiply-adds"
    where = f"at {best['epochs']} epochs: candidate {best['candidate'][:8]}, {costs}"
    return Text.assemble("best so far: ", (wording.accuracy(best["accuracy"]), "bold green"), f" {where}")


def _workers(watch: Watch) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table(box=None, padding=(0, 2), header_style="dim")
    for heading in ("worker", "device", "doing", "epoch", "", "images/s"):
        table.add_column(heading, justify="right" if heading in {"epoch", "images/s"} else "left")
    for worker, note in watch.getting_ready().items():
        table.add_row(worker, "", note)
    for item in watch.workers():
        message, goal = item.message, item.job.epochs
        words, done, total = item.job.words, item.epoch, float(goal or 0)
        if message is not None and message.note:  # not training, but e.g. decoding images: how far is that?
            words, done, total = message.note, float(message.step), float(message.steps)
        rate = message.images_per_second if message else None
        bar = ProgressBar(total=total or None, completed=done, width=20, pulse=not total)
        now = f"{int(item.epoch)} of {goal}" if goal and words == item.job.words else ""
        table.add_row(item.worker, item.device, words, now, bar, "" if rate is None else f"{rate:,.0f}")
    return table


def _counts(watch: Watch) -> RenderableType:
    from rich.text import Text

    spent = watch.costs()
    if spent is None:
        return Text("")
    states = ", ".join(f"{count} {state}" for state, count in sorted(spent.jobs_by_state.items()))
    spared = f"{spent.epochs_resumed_over} resumed over, {spent.epochs_by_memo} from the store"
    return Text(
        f"{wording.plural(spent.requests, 'request')}: {spent.memo_hits} answered from the store, "
        f"{wording.plural(spent.jobs, 'job')}{f' ({states})' if states else ''}\n"
        f"epochs: {spent.epochs_trained} trained, {spared}"
    )


def _waiting(reason: str) -> RenderableType:
    from rich.text import Text

    return Text(f"waiting: {reason}", style="yellow")


def _lines(watch: Watch) -> list[RenderableType]:
    from rich.text import Text

    return [
        Text(f"{clocks.strftime('%H:%M:%S', clocks.localtime(time))}  {line}", style="red" if bad else "dim")
        for time, line, bad in watch.lines
    ]
