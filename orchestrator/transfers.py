"""What a search takes over from earlier ones: options that name searches of the store, put into ids and digests.

That happens before the search's own id is computed: a search is what it has started from, not what that was called.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import msgpack

from orchestrator.errors import SpecError, UnknownSearch
from orchestrator.spec import Plan
from orchestrator.views import History, find
from orchestrator.views.entries import SHORT, SearchEntry
from store.journal import Journal
from store.records.base import digest
from store.records.candidates import Named
from strategies import registry
from strategies.errors import OptionProblem as Problem

Kind = Literal["state", "search"]
_Path = tuple[str | int, ...]
SEARCHES = ("search_opened", "search_extended", "search_started", "search_interrupted", "search_finished")
_FAILED, _POOLED = "search_failed", "weights_pooled"
_SHOWN = 8


class Resolved(NamedTuple):
    """A plan whose options name digests and ids alone, and what a person should know of them."""

    plan: Plan
    remarks: tuple[str, ...]


class _Reference(NamedTuple):
    """An option that names an earlier search.

    Attributes:
        path: keys and list places below `strategy`.
        kind: what stands for the search.
        text: as it is written.
    """

    path: _Path
    kind: Kind
    text: str

    @property
    def key(self) -> str:
        """The spec's key, e.g. `strategy.transfer.pool.0`."""
        return ".".join(["strategy", *map(str, self.path)])

    def problem(self, expected: str) -> Problem:
        """What is wrong with it."""
        return Problem(self.key, self.text, expected)


def resolve(plan: Plan, journal: Journal | None) -> Resolved:
    """Replaces the names of searches by what stands for them.

    Args:
        plan: a checked spec.
        journal: of the store in which it is to run; none if that is not made yet, and then there is no search.

    Raises:
        SpecError: naming every option that stands for no search of the store, for several, for one that is not
            finished, has learnt nothing that fits or searched another space, or for the search itself.
    """
    references = list(_references(plan))
    if not references:
        return Resolved(plan, ())
    resolver = _Resolver(plan, _Known(journal))
    found = {reference.path: resolver.value(reference) for reference in references}
    problems = [value for value in found.values() if isinstance(value, Problem)]
    if problems:
        raise SpecError(plan.file, problems)
    strategy = plan.spec.strategy
    spec = plan.spec.model_copy(
        update={"strategy": strategy.model_copy(update={"options": _replaced(strategy.options, found)})}
    )
    return Resolved(replace(plan, spec=spec, make_strategy=lambda: registry.create(spec)), tuple(resolver.remarks))


def refuse(plan: Plan) -> None:
    """Refuses a plan that refers to other searches, where there is no store to have any.

    Raises:
        SpecError: naming every option that does.
    """
    why = "expected nothing: what is simulated has no store, and so no earlier searches"
    problems = [one.problem(why) for one in _references(plan)]
    if problems:
        raise SpecError(plan.file, problems)


class _Known:
    """The searches of a store.

    Attributes:
        history: their fold, without jobs.
        states: whose each learnt state is, also of totals that were raised since.
        pooled: those that have put blocks into the knowledge pool.
    """

    def __init__(self, journal: Journal | None) -> None:
        self.history = History(stories=False)
        self.states: dict[str, str] = {}
        self.pooled: set[str | None] = set()
        for row in journal.raw(types=(*SEARCHES, _FAILED, _POOLED)) if journal is not None else ():
            if row.type == _POOLED:
                self.pooled.add(row.search)
                continue
            payload = msgpack.unpackb(row.payload, raw=False)
            self.history.apply(row.sequence, row.time, row.type, payload)
            if row.type == "search_finished" and (state := payload["result"].get("state")) is not None:
                self.states[state] = payload["search"]

    def named(self, kind: Kind) -> str:
        """What could have been meant: the finished searches, or those of them that have learnt something."""
        there = [entry for entry in self.history.searches.values() if _is_finished(entry)]
        there = [entry for entry in there if kind == "search" or _state_of(entry) is not None]
        shown = ", ".join(f"{entry.name} ({entry.id[:SHORT]})" for entry in there[-_SHOWN:])
        more = f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
        return f"there are: {shown}{more}" if there else "there is none"


class _Resolver:
    """Finds what references stand for, or says what is wrong with them; gathers remarks about those that are sound."""

    def __init__(self, plan: Plan, known: _Known) -> None:
        self._plan, self._known = plan, known
        self.remarks: list[str] = []

    def value(self, reference: _Reference) -> str | Problem:
        """Returns the digest or id that stands for a reference."""
        return self._state(reference) if reference.kind == "state" else self._search(reference)

    def _state(self, reference: _Reference) -> str | Problem:
        known, state = self._known, None
        if reference.text in known.states:
            entry, state = known.history.searches[known.states[reference.text]], reference.text
        else:
            found = self._finished(reference)
            if isinstance(found, Problem):
                return found
            entry, state = found, _state_of(found)
        if state is None:
            has_none = f"{entry.name} has no learnt state: its strategy is {entry.spec['strategy']['name']}"
            return reference.problem(f"{has_none}; expected a search that learns, {known.named('state')}")
        if not self._has_the_space(entry):
            expected = f"expected a search of the space {self._plan.spec.space.name!r}, with the same options"
            return reference.problem(f"{expected}: what {entry.name} has learnt is of another one")
        if misfit := registry.misfit(self._plan.spec.strategy, Named.model_validate(entry.spec["strategy"])):
            return reference.problem(f"expected a search with {misfit} as {entry.name} has: it would not fit")
        return state

    def _search(self, reference: _Reference) -> str | Problem:
        entry = self._known.history.searches.get(reference.text) or self._finished(reference)
        if isinstance(entry, Problem):
            return entry
        if not self._has_the_space(entry):
            self.remarks.append(f"{reference.key}: {entry.name} searched another space: none of its blocks can be used")
        elif entry.id not in self._known.pooled:
            self.remarks.append(f"{reference.key}: {entry.name} has put no blocks into the knowledge pool")
        return entry.id

    def _finished(self, reference: _Reference) -> SearchEntry | Problem:
        """Returns the finished search that goes by a name or an id's beginning, as `coldframe show` finds it."""
        what = "expected a finished search of this store"
        if reference.text == self._plan.spec.name:
            return reference.problem(f"{what}, not the search itself: give it another name, or an id here")
        try:
            entry = self._known.history.searches[find.search(self._known.history, reference.text)]
        except UnknownSearch as error:
            if not error.found:
                return reference.problem(f"{what}; {self._known.named(reference.kind)}")
            meant = ", ".join(found[:SHORT] for found in error.found)
            return reference.problem(f"stands for {len(error.found)} searches, expected the id of one: {meant}")
        if not _is_finished(entry):
            status = "interrupted" if entry.status == "running" else entry.status  # we hold the store: nobody runs it
            return reference.problem(f"{what}, {entry.name} is {status}: run it to its end first")
        return entry

    def _has_the_space(self, entry: SearchEntry) -> bool:
        return digest(entry.spec["space"]) == digest(self._plan.spec.space)


def _references(plan: Plan) -> Iterator[_Reference]:
    """Yields the options that name earlier searches, and are given."""
    strategy = plan.spec.strategy
    for dotted, kind in registry.find(strategy.name).options.refers.items():
        path = tuple(dotted.split("."))
        value: Any = strategy.options
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        if isinstance(value, str):
            yield _Reference(path, kind, value)
        elif isinstance(value, Sequence):
            yield from (_Reference((*path, place), kind, text) for place, text in enumerate(value))


def _replaced(options: Mapping[str, Any], found: Mapping[_Path, str | Problem]) -> dict[str, Any]:
    """Returns options with what stands for their references; what a list has twice then, by name and by id, once."""
    replaced = copy.deepcopy(dict(options))
    for path, value in found.items():
        _inside(replaced, path)[path[-1]] = value
    for path in {path[:-1] for path in found if isinstance(path[-1], int)}:
        inner = _inside(replaced, path)
        inner[path[-1]] = list(dict.fromkeys(inner[path[-1]]))
    return replaced


def _inside(options: Any, path: _Path) -> Any:
    """The map or list that holds what a path leads to."""
    for key in path[:-1]:
        options = options[key]
    return options


def _is_finished(entry: SearchEntry) -> bool:
    return entry.status == "finished"


def _state_of(entry: SearchEntry) -> str | None:
    return (entry.result or {}).get("state")
