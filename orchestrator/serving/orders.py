"""What people may order of a search: memory and an order in, the events that carry it out. Pure.

A running daemon and a command that holds the store itself, because no daemon does, journal the same events. An order
that changes nothing gives none: giving it twice is giving it once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import strategies.registry
from orchestrator.errors import Problem, SpecError, TotalLowered, UnknownSearch, WrongState
from orchestrator.memory import Memory, SearchMemory
from orchestrator.spec import Plan, check_totals
from store.records.base import digest
from store.records.candidates import Named
from store.records.events import (
    AnyEvent,
    SearchExtended,
    SearchOpened,
    SearchPaused,
    SearchPrioritised,
    SearchResumed,
    SearchStopped,
    SearchSubmitted,
)
from store.records.spec import SearchSpec

UNSUBMITTED = "a search that was submitted; submit its spec (`coldframe submit SPEC`)"
_ENDED = frozenset({"finished", "failed"})
HIGHEST_PRIORITY = 1000


class Handed(NamedTuple):
    """A submission that is planned.

    Attributes:
        plan: its checked spec.
        raw: the spec as it was written, with absolute paths and ids for the names of earlier searches.
        owner: who submits it.
    """

    plan: Plan
    raw: Mapping[str, Any]
    owner: str
    weight: float = 1.0
    priority: int = 0


def standing(search: SearchMemory) -> str:
    """Returns a search's status as the journal has it.

    That is `finished`, `failed`, `stopped`, `paused`, `running` (a process that runs it has not said that it ended),
    `interrupted`, or `submitted` if nobody has run it yet.
    """
    if search.status in _ENDED:
        return search.status
    if search.stopped:
        return "stopped"
    if search.paused is not None:
        return "paused"
    return "submitted" if search.submitted is not None and not search.starts else search.status


def is_wanted(search: SearchMemory) -> bool:
    """Whether a daemon takes the search up: it was submitted, and nothing or nobody has ended or paused it."""
    return search.submitted is not None and standing(search) in {"submitted", "running", "interrupted"}


def submit(memory: Memory, handed: Handed) -> list[AnyEvent]:
    """Hands a search in, or a known one again: then it goes on, with a raised total if it has one.

    Raises:
        TotalLowered: if the search was set to a higher total before.
        SpecError: if weight or priority cannot be.
    """
    plan, known = handed.plan, memory.searches.get(handed.plan.id)
    _check_share(handed.weight, handed.priority)
    submitted = SearchSubmitted(
        search=plan.id,
        raw=dict(handed.raw),
        file=plan.file,
        owner=handed.owner,
        weight=handed.weight,
        priority=handed.priority,
    )
    if known is None:
        return [SearchOpened(search=plan.id, spec=plan.spec), submitted]
    before = SearchSpec.model_validate(known.spec)
    check_totals(plan, before)
    if known.status == "finished" and digest(before.strategy) == digest(plan.spec.strategy):
        return []
    changed = digest(known.spec) != digest(plan.spec)  # not `!=`: what was a tuple is a list after the journal
    if known.submitted is not None:
        share = {"owner": known.owner, "weight": known.weight, "priority": known.priority}
        submitted = submitted.model_copy(update=share)
    if not changed and (is_wanted(known) or known.paused is not None):
        return []
    return [*([SearchExtended(search=plan.id, spec=plan.spec)] if changed else []), submitted]


def pause(memory: Memory, search: str, by: str) -> list[AnyEvent]:
    """Lets a search start nothing any more.

    Raises:
        UnknownSearch: if there is no such search.
        WrongState: if it has ended, or was never submitted.
    """
    known, status = _submitted(memory, search, "paused")
    if status in _ENDED or status == "stopped":
        raise WrongState(_name(known), status, "paused", "a search that goes on")
    return [] if status == "paused" else [SearchPaused(search=search, by=by)]


def resume(memory: Memory, search: str, by: str) -> list[AnyEvent]:
    """Lets a paused, stopped or failed search go on.

    Raises:
        UnknownSearch: if there is no such search.
        WrongState: if it is finished, or was never submitted.
    """
    known, status = _submitted(memory, search, "resumed")
    if status == "finished":
        raise WrongState(_name(known), status, "resumed", "a paused, stopped or failed search; `extend` raises a total")
    return [] if is_wanted(known) else [SearchResumed(search=search, by=by)]


def stop(memory: Memory, search: str, by: str) -> list[AnyEvent]:
    """Ends a search in good order.

    Raises:
        UnknownSearch: if there is no such search.
        WrongState: if it has ended by itself, or was never submitted.
    """
    known, status = _submitted(memory, search, "stopped")
    if status in _ENDED:
        raise WrongState(_name(known), status, "stopped", "a search that goes on")
    return [] if status == "stopped" else [SearchStopped(search=search, by=by)]


def prioritise(memory: Memory, search: str, weight: float | None, priority: int | None, by: str) -> list[AnyEvent]:
    """Changes a search's share of the devices; None leaves a value as it is.

    Raises:
        UnknownSearch: if there is no such search.
        WrongState: if it is finished, or was never submitted.
        SpecError: if weight or priority cannot be.
    """
    known, status = _submitted(memory, search, "given another priority")
    if status == "finished":
        raise WrongState(_name(known), status, "given another priority", "a search that is not finished")
    share = (known.weight if weight is None else weight, known.priority if priority is None else priority)
    _check_share(*share)
    if share == (known.weight, known.priority):
        return []
    return [SearchPrioritised(search=search, weight=share[0], priority=share[1], by=by)]


def extend(memory: Memory, search: str, totals: Mapping[str, int]) -> list[AnyEvent]:
    """Raises totals of a search's strategy; a finished search goes on then.

    Raises:
        UnknownSearch: if there is no such search.
        WrongState: if it was never submitted.
        TotalLowered: if a total is less than it was.
        SpecError: if the strategy has no such total, or it cannot be so high.
    """
    known, _ = _submitted(memory, search, "extended")
    spec = SearchSpec.model_validate(known.spec)
    strategy = spec.strategy
    there = type(strategies.registry.options(strategy)).totals
    if problems := [_no_total(key, value, strategy.name, there) for key, value in totals.items() if key not in there]:
        raise SpecError(_name(known), problems)
    before = strategies.registry.options(strategy)
    for key, value in totals.items():
        if value < getattr(before, key):
            raise TotalLowered(_name(known), key, value, getattr(before, key))
    raised = Named(name=strategy.name, options=strategy.options | dict(totals))
    checked = spec.model_copy(update={"strategy": raised})
    strategies.registry.create(checked)
    return [] if digest(checked) == digest(spec) else [SearchExtended(search=search, spec=checked)]


def raised(raw: Mapping[str, Any], known: SearchMemory) -> dict[str, Any]:
    """Returns a spec as it was written, with the totals that its search has been raised to since."""
    strategy = Named.model_validate(known.spec["strategy"])
    totals = type(strategies.registry.options(strategy)).totals
    options = {key: strategy.options[key] for key in totals if key in strategy.options}
    return dict(raw) | {"strategy": dict(raw["strategy"]) | options}


def _no_total(key: str, value: object, strategy: str, there: frozenset[str]) -> Problem:
    known = ", ".join(sorted(there)) or "none"
    return Problem(f"strategy.{key}", value, f"is no total of {strategy}; those that can be raised: {known}")


def _submitted(memory: Memory, search: str, order: str) -> tuple[SearchMemory, str]:
    known = memory.searches.get(search)
    if known is None:
        raise UnknownSearch(search, ())
    status = standing(known)
    if known.submitted is None:
        raise WrongState(_name(known), status, order, UNSUBMITTED)
    return known, status


def _name(search: SearchMemory) -> str:
    return str(search.spec["name"])


def _check_share(weight: float, priority: int) -> None:
    problems = []
    if not (math.isfinite(weight) and 0.01 <= weight <= 100):
        problems.append(Problem("weight", weight, "expected a number from 0.01 to 100"))
    if not -HIGHEST_PRIORITY <= priority <= HIGHEST_PRIORITY:
        problems.append(
            Problem("priority", priority, f"expected an integer from -{HIGHEST_PRIORITY} to {HIGHEST_PRIORITY}")
        )
    if problems:
        raise SpecError("order", problems)
