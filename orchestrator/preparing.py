"""How far what has to be done before a search can start is: reading a data set's files, decoding its images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from orchestrator.observer import Observer

Told = Callable[[str, int, int], None]
READING = "reading image files"
SECONDS = 5.0
"""Between two times that an observer is told: one that prints lines prints each of them."""


@contextmanager
def bars(stream: TextIO) -> Iterator[Told]:
    """Draws a progress bar for each thing that is heard of, until all is done; nothing where there is no terminal."""
    if not stream.isatty():
        yield lambda what, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=stream), transient=True) as progress:
        tasks = dict[str, TaskID]()

        def told(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=None)
            progress.update(tasks[what], completed=done, total=total or None)

        yield told


@contextmanager
def reasons(observer: Observer) -> Iterator[Callable[[int, int], None]]:
    """Tells an observer, as the reason why nothing starts yet, how many of a data set's files are read."""
    due = time.monotonic() + SECONDS
    said = False

    def told(done: int, total: int) -> None:
        nonlocal due, said
        if time.monotonic() >= due:
            due, said = time.monotonic() + SECONDS, True
            observer.waiting(f"{READING}: {done:,} of {total:,}")

    yield told
    if said:
        observer.waiting(None)
