"""What the reading commands and the API answer: one object for each question, the same either way.

The commands print these with `--json`, the API sends them. What people read is in `orchestrator.rendering`.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from typing import TYPE_CHECKING, Any, cast

import msgpack

from orchestrator import summary
from orchestrator.views import History, JobView, SearchView, find, search_view, stories, totals
from orchestrator.views.entries import ServedStatus
from store.records.requests import json_safe

if TYPE_CHECKING:
    from orchestrator.serving.service import ServedSearch, Wait
    from store.opening import Store

_ATTEMPT = ("number", "worker", "device", "checkpoint", "epoch", "step", "reached", "outcome", "reason", "message")


@dataclass(frozen=True, slots=True)
class Known:
    """What answers are made from.

    Attributes:
        store: open to be read.
        history: its folded journal, with stories.
        alive: whether a process runs searches in it now.
        served: what the daemon says of each search, by id; empty where there is none.
        ended: lines of the list that change no more, kept by whoever answers often; None where nobody does.
    """

    store: Store
    history: History
    alive: bool
    served: Mapping[str, ServedSearch] = field(default_factory=dict)
    ended: dict[str, tuple[int, dict[str, Any]]] | None = None

    def view(self, search: str) -> SearchView:
        """Returns the view of a search, with the status that the daemon gives it, if there is one."""
        view = search_view(self.history, search, alive=self.alive)
        if search not in self.served:
            return view
        return replace(view, status=cast(ServedStatus, self.served[search].status))


def searches(known: Known) -> list[dict[str, Any]]:
    """Answers `list`: every search, oldest first."""
    return [
        _line(known, search) | {"running": running(known, search)} | served(known, search)
        for search in list(known.history.searches)
    ]


def _line(known: Known, search: str) -> dict[str, Any]:
    """Returns what the list says of a search; of one that has ended, what it said before."""
    entry = known.history.searches[search]
    if known.ended is None or entry.ending not in {"finished", "failed"}:
        return _listed(known, known.view(search))
    turns, line = known.ended.get(search, (0, {}))
    if turns != len(entry.runs):
        line = _listed(known, known.view(search))
        known.ended[search] = len(entry.runs), line
    return line


def _listed(known: Known, view: SearchView) -> dict[str, Any]:
    recommended = {} if view.study is None else {"recommended": view.study.recommended}
    return {
        "search": view.id,
        "name": view.name,
        "status": view.status,
        "opened": view.opened,
        "seen": known.history.searches[view.id].seen,
        "best_accuracy": view.best[0].accuracy if view.best else None,
        "best_test_accuracy": view.best[0].test_accuracy if view.best else None,
        "totals": totals(view),
        "epochs_saved_by_memo": view.costs.epochs_by_memo,
        **recommended,
    }


def served(known: Known, search: str) -> dict[str, Any]:
    """Returns owner, weight, priority, and how far the strategy says it is (zeros where no daemon runs)."""
    entry, live = known.history.searches[search], known.served.get(search)
    return {
        "owner": entry.owner,
        "weight": entry.weight,
        "priority": entry.priority,
        "done": live.done if live else 0,
        "total": live.total if live else 0,
        "label": live.label if live else "",
    }


def status(known: Known, text: str | None) -> dict[str, Any]:
    """Answers `status`.

    Raises:
        UnknownSearch: if there is no such search.
    """
    view = known.view(find.search(known.history, text))
    spent = view.costs
    return (
        summary.summary(view)
        | {
            "runs": view.runs,
            "epochs_saved_by_memo": spent.epochs_by_memo,
            "jobs_by_state": dict(spent.jobs_by_state),
            "running": running(known, view.id),
            "message": view.message,
        }
        | served(known, view.id)
    )


def running(known: Known, search: str) -> list[dict[str, Any]]:
    """Returns what workers do for a search now."""
    return [
        {
            "job": job.id,
            "words": job.words,
            "worker": attempt.worker,
            "device": attempt.device,
            "epoch": attempt.reached,
            "epochs": job.epochs,
        }
        for job, attempt in (known.history.open_attempts() if known.alive else ())
        if search in job.searches
    ]


def result(known: Known, text: str | None) -> dict[str, Any]:
    """Answers `/result`: a search's summary, with all of its best candidates and its history, in order of birth.

    Raises:
        UnknownSearch: if there is no such search.
    """
    view = known.view(find.search(known.history, text))
    return summary.summary(view) | {
        "best": [summary.candidate(view, found) for found in view.best],
        "history": [
            summary.candidate(view, found)
            | {"index": found.index, "candidate": found.candidate, "origin": found.origin, "parent": found.parent}
            | {"cycle": found.cycle, "failure": found.failure}
            for found in view.candidates
        ],
        "curves": json_safe(dict(view.curves)),
        "notes": list(view.notes),
    }


def show(known: Known, text: str) -> dict[str, Any]:
    """Answers `show`: everything about a search, job, checkpoint or candidate.

    Raises:
        UnknownId, UnknownSearch: if nothing, or more than one thing, goes by that text.
    """
    kind, name = find.anything(known.history, text)
    makers = {"search": _search, "job": _job, "checkpoint": _checkpoint, "candidate": _candidate}
    return {"kind": kind, "id": name} | makers[kind](known, name)


def _search(known: Known, name: str) -> dict[str, Any]:
    view = known.view(name)
    best = [summary.candidate(view, candidate) for candidate in view.best]
    study = {} if view.study is None else {"study": view.study.model_dump(mode="json")}
    shown = summary.summary(view) | {"best": best, "spec": json_safe(dict(view.spec))}
    return shown | served(known, name) | study


def _job(known: Known, name: str) -> dict[str, Any]:
    job = known.history.jobs[name]
    return {
        "words": job.words,
        "state": job.state if known.alive or job.state != "running" else "queued",
        "searches": job.searches,
        "attempts": _attempts(job),
        "request": json_safe(dict(job.request)),
        "outcome": json_safe(dict(job.outcome)) if job.outcome else None,
        "last_words": last_words(known, job),
    }


def last_words(known: Known, job: JobView) -> list[str]:
    """Returns the last lines that a job printed, if an attempt at it failed; none otherwise."""
    from orchestrator.serving import joblogs

    failed = any(attempt.outcome == "failed" for attempt in job.attempts)
    return joblogs.tail(known.store.folder, job.id) if failed else []


def _attempts(job: JobView) -> list[dict[str, Any]]:
    return [
        {name: getattr(attempt, name) for name in _ATTEMPT} | {"seconds": round(attempt.seconds, 3)}
        for attempt in job.attempts
    ]


def _checkpoint(known: Known, name: str) -> dict[str, Any]:
    saved = known.history.checkpoints[name]
    manifest = known.store.checkpoints.manifest(name)
    return {
        "job": saved.job,
        "candidate": saved.candidate,
        "epoch": saved.epoch,
        "step": saved.step,
        "metrics": dict(saved.metrics) if saved.metrics else None,
        "manifest": json_safe(manifest.model_dump(mode="python")),
    }


def _candidate(known: Known, name: str) -> dict[str, Any]:
    jobs = known.history.trainings[name].values()
    return {
        "jobs": [{"job": job.id, "words": job.words, "state": job.state} for job in jobs],
        "candidate": json_safe(dict(next(iter(jobs)).request["candidate"])),
    }


def story(known: Known, text: str) -> dict[str, Any]:
    """Answers `story`.

    Raises:
        UnknownId: if no job, or more than one, has an id that begins so.
    """
    view = known.history.jobs[find.job(known.history, text)]
    told = {"job": view.id, "words": view.words, "state": view.state, "story": list(stories.story(view))}
    return told | {"last_words": last_words(known, view)}


def version() -> dict[str, str]:
    """Answers `version`."""
    return {"version": metadata.version("coldframe"), "python": platform.python_version()}


def devices() -> list[dict[str, Any]]:
    """Answers `devices` where no daemon runs: what the driver knows, without workers."""
    from orchestrator.devices import cpu, gpus
    from orchestrator.serving.service import DeviceState

    return [
        asdict(
            DeviceState(
                device=device.name,
                kind=device.kind,
                model=device.model,
                memory_bytes=device.memory_bytes,
                memory_used_bytes=device.memory_used_bytes,
                utilisation=device.utilisation,
            )
        )
        for device in (cpu(), *gpus())
    ]


def why(known: Known, text: str) -> dict[str, Any]:
    """Answers `why` where no daemon runs.

    Raises:
        UnknownSearch: if there is no such search.
    """
    from orchestrator.memory import Memory
    from orchestrator.serving.waits import stored

    view, memory = known.view(find.search(known.history, text)), Memory()
    for row in known.store.journal.raw(search=view.id):
        memory.apply(row.type, msgpack.unpackb(row.payload, raw=False))
    return {"status": view.status} | waits(view.id, view.name, stored(memory.searches[view.id]))


def waits(search: str, name: str, found: Sequence[Wait]) -> dict[str, Any]:
    """Answers `why`: what a search waits for, and what would end the wait; empty for one that waits for nothing."""
    return {"search": search, "name": name, "waits": [asdict(wait) for wait in found]}
