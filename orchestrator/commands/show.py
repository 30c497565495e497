"""`coldframe show`: everything about one search, job, checkpoint or candidate."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.commands.common import JsonOption, Reading, StoreOption, guarded, print_json, reading

if TYPE_CHECKING:
    from orchestrator.views import JobView, SearchView

WIDE = 200
"""Columns that a table may have where it is not printed on a terminal."""


@guarded
def show(
    what: Annotated[str, typer.Argument(help="Name of a search, or the beginning of an id.", metavar="ID")],
    store: StoreOption,
    as_json: JsonOption = False,
) -> None:
    """Show a search, job, checkpoint or candidate."""
    from orchestrator.views import find, search_view

    with reading(store) as found:
        kind, name = find.anything(found.history, what)
        makers = {"search": _search, "job": _job, "checkpoint": _checkpoint, "candidate": _candidate}
        value = {"kind": kind, "id": name} | makers[kind](found, name)
        view = search_view(found.history, name, alive=found.alive) if kind == "search" and not as_json else None
    if as_json:
        print_json(value)
        return
    _print({key: item for key, item in value.items() if key != "study"})
    if view is not None:
        _tables(view)


def _tables(view: SearchView) -> None:
    """Prints the notes, a retraining's networks, where an agent's rewards came from, and a study's settings."""
    from orchestrator import sampling
    from orchestrator.conclusion import retrained

    lines = [*view.notes, *(retrained(view) if view.retrained else ()), *sampling.lines(view)]
    for line in ["", *lines] if lines else ():
        typer.echo(line)
    if view.study is None:
        return
    from rich.console import Console

    from orchestrator import proxies

    for line in ("", proxies.recommendation(view.study), *(f"  {reason}" for reason in view.study.why), ""):
        typer.echo(line)
    width = None if sys.stdout.isatty() else WIDE
    Console(file=sys.stdout, width=width, markup=False, highlight=False).print(proxies.table(view.study))


def _search(found: Reading, name: str) -> dict[str, Any]:
    from orchestrator import summary
    from orchestrator.views import search_view
    from store.records.requests import json_safe

    view = search_view(found.history, name, alive=found.alive)
    best = [summary.candidate(view, candidate) for candidate in view.best]
    study = {} if view.study is None else {"study": view.study.model_dump(mode="json")}
    return summary.summary(view) | {"best": best, "spec": json_safe(dict(view.spec))} | study


def _job(found: Reading, name: str) -> dict[str, Any]:
    from store.records.requests import json_safe

    job = found.history.jobs[name]
    return {
        "words": job.words,
        "state": job.state if found.alive or job.state != "running" else "queued",
        "searches": job.searches,
        "attempts": _attempts(job),
        "request": json_safe(dict(job.request)),
        "outcome": json_safe(dict(job.outcome)) if job.outcome else None,
    }


def _attempts(job: JobView) -> list[dict[str, Any]]:
    names = ("number", "worker", "device", "checkpoint", "epoch", "step", "reached", "outcome", "reason", "message")
    return [
        {name: getattr(attempt, name) for name in names} | {"seconds": round(attempt.seconds, 3)}
        for attempt in job.attempts
    ]


def _checkpoint(found: Reading, name: str) -> dict[str, Any]:
    from store.records.requests import json_safe

    saved = found.history.checkpoints[name]
    manifest = found.store.checkpoints.manifest(name)
    return {
        "job": saved.job,
        "candidate": saved.candidate,
        "epoch": saved.epoch,
        "step": saved.step,
        "metrics": dict(saved.metrics) if saved.metrics else None,
        "manifest": json_safe(manifest.model_dump(mode="python")),
    }


def _candidate(found: Reading, name: str) -> dict[str, Any]:
    from store.records.requests import json_safe

    jobs = found.history.trainings[name].values()
    return {
        "jobs": [{"job": job.id, "words": job.words, "state": job.state} for job in jobs],
        "candidate": json_safe(dict(next(iter(jobs)).request["candidate"])),
    }


def _print(value: dict[str, Any], indent: str = "") -> None:
    """Prints a map for people: nested maps and lists of maps are indented, lists of plain values stay on a line."""
    for key, item in value.items():
        if isinstance(item, dict) and item:
            typer.echo(f"{indent}{key}:")
            _print(item, indent + "  ")
        elif isinstance(item, list) and item and isinstance(item[0], dict):
            typer.echo(f"{indent}{key}:")
            for each in item:
                typer.echo(f"{indent}  -")
                _print(each, indent + "    ")
        else:
            typer.echo(f"{indent}{key}: {'-' if item is None else item}")
