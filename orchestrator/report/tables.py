"""The report's tables as CSV, and its best cells as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from orchestrator import summary
from orchestrator.views import History, SearchView, Step
from orchestrator.views.samples import is_of_samples

CANDIDATES = (
    "index",
    "candidate",
    "accuracy",
    "test_accuracy",
    "proxy_accuracy",
    "train_accuracy",
    "epochs",
    "parameters",
    "multiply_adds",
    "checkpoint",
    "origin",
    "parent",
    "cycle",
    "failure",
)
ATTEMPTS = (
    "job",
    "words",
    "attempt",
    "worker",
    "device",
    "start_epoch",
    "epochs_trained",
    "seconds",
    "outcome",
    "reason",
)


def candidates(view: SearchView) -> str:
    """Every candidate of the search, in the order of birth."""
    rows = ([getattr(candidate, name) for name in CANDIDATES] for candidate in view.candidates)
    genes = (" ".join(map(str, candidate.architecture["genes"])) for candidate in view.candidates)
    return comma_separated([*CANDIDATES, "genes"], ([*row, gene] for row, gene in zip(rows, genes, strict=True)))


def curves(view: SearchView) -> str:
    """Validation and training accuracy of every candidate after each of its epochs."""
    return comma_separated(["index", "candidate", "epoch", "validation_accuracy", "train_accuracy"], _epochs(view))


def cycles(view: SearchView) -> str:
    """The strategy's own curves: one column each, one row for each entry; samples have tables of their own."""
    lists = {name: values for name, values in view.curves.items() if isinstance(values, list | tuple)}
    columns = {name: values for name, values in lists.items() if not is_of_samples(name)}
    length = max(map(len, columns.values()), default=0)
    rows = ([values[row] if row < len(values) else None for values in columns.values()] for row in range(length))
    return comma_separated(list(columns), rows)


def progress(steps: Sequence[Step]) -> str:
    """Every training that ended: epochs spent by then, what it reached, and the best so far."""
    rows = ([s.spent, s.candidate, s.epochs, s.accuracy, s.best] for s in steps)
    return comma_separated(["epochs_spent", "candidate", "epochs", "validation_accuracy", "best_so_far"], rows)


def attempts(history: History, view: SearchView) -> str:
    """Every attempt at every job that the search queued."""
    return comma_separated(ATTEMPTS, _attempts(history, view))


def best(view: SearchView) -> str:
    """The best candidates with their genotypes, and what the search cost."""
    found = [summary.candidate(view, candidate) for candidate in view.best]
    return json.dumps(summary.summary(view) | {"best": found}, indent=2) + "\n"


def _epochs(view: SearchView) -> Iterator[list[Any]]:
    for candidate in view.candidates:
        validation, training = dict(candidate.curve), dict(candidate.training)
        for epoch in sorted(validation | training):
            yield [candidate.index, candidate.candidate, epoch, validation.get(epoch), training.get(epoch)]


def _attempts(history: History, view: SearchView) -> Iterator[list[Any]]:
    for job in history.jobs.values():
        for a in job.attempts:
            if a.search == view.id:
                seconds = round(a.seconds, 3)
                end = (a.epochs_trained, seconds, a.outcome, a.reason)
                yield [job.id, job.words, a.number, a.worker, a.device, a.epoch, *end]


def comma_separated(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Returns a table as CSV; text that a spreadsheet would take for a formula is preceded by an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(headings)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    """Keeps a spreadsheet from taking text for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "@"} else value
