"""Finds what a person means by a name or by the beginning of an id."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from orchestrator.errors import UnknownId, UnknownSearch
from orchestrator.views.fold import History

SHORTEST = 4


class Found(NamedTuple):
    """What an id stands for."""

    kind: Literal["search", "job", "checkpoint", "candidate"]
    id: str


def search(history: History, text: str | None) -> str:
    """Returns the id of the search that goes by a name or an id's beginning; the latest search if there is no text.

    Raises:
        UnknownSearch: if there is none, or more than one.
    """
    if text is None:
        latest = max(history.searches.values(), key=lambda entry: entry.seen, default=None)
        if latest is None:
            raise UnknownSearch(None, [])
        return latest.id
    found = [entry.id for entry in list(history.searches.values()) if entry.name == text]
    found = found or _starting_with(history.searches, text)
    if len(found) != 1:
        raise UnknownSearch(text, found)
    return found[0]


def job(history: History, text: str) -> str:
    """Returns the id of the job whose id begins with a text.

    Raises:
        UnknownId: if there is none, or more than one.
    """
    found = [text] if text in history.jobs else _starting_with(history.jobs, text)
    if len(found) != 1:
        raise UnknownId("job", text, found)
    return found[0]


def anything(history: History, text: str) -> Found:
    """Returns the search, job, checkpoint or candidate that a name or an id's beginning stands for.

    Raises:
        UnknownId: if there is none, or more than one.
        UnknownSearch: if several searches go by the name.
    """
    named = [Found("search", entry.id) for entry in list(history.searches.values()) if entry.name == text]
    if len(named) > 1:
        raise UnknownSearch(text, [found.id for found in named])
    if named:
        return named[0]
    found = [Found("search", name) for name in _starting_with(history.searches, text)]
    found += [Found("job", name) for name in _starting_with(history.jobs, text)]
    found += [Found("checkpoint", name) for name in _starting_with(history.checkpoints, text)]
    found += [Found("candidate", name) for name in _starting_with(history.trainings, text)]
    if len(found) != 1:
        raise UnknownId("search, job, checkpoint or candidate", text, [f"{kind} {name}" for kind, name in found])
    return found[0]


def _starting_with(names: Iterable[str], text: str) -> list[str]:
    """The ids that begin with a text of at least four digits; shorter ones are more likely a slip than an id."""
    return [name for name in list(names) if name.startswith(text)] if len(text) >= SHORTEST else []
