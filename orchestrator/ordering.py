"""Orders to a store that no daemon holds: written into its journal under its lock, for the next daemon.

The events are those that a daemon would write (`orchestrator.serving.orders`), so it makes no difference to a search
whether a daemon was there when it was paused.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.memory import Memory
from orchestrator.recall import taken
from orchestrator.serving import orders
from orchestrator.serving.planning import hand_in
from orchestrator.serving.service import Submission
from orchestrator.submitting import submission
from orchestrator.views import History, find
from store.format import is_store
from store.opening import Store
from store.records.events import AnyEvent

Order = Callable[..., list[AnyEvent]]


@dataclass(frozen=True, slots=True)
class Held:
    """A store that this process holds, with its folded journal."""

    store: Store
    memory: Memory
    history: History

    def write(self, events: list[AnyEvent], search: str) -> dict[str, Any]:
        """Journals an order's events; returns which search it was, and its status now."""
        if events:
            self.store.journal.append(events)
        for event in events:
            self.memory.apply(event.type, event.model_dump(mode="python"))
        known = self.memory.searches[search]
        return {"search": search, "name": str(known.spec["name"]), "status": orders.standing(known)}


@contextmanager
def holding(folder: Path, *, create: bool = False) -> Iterator[Held]:
    """Takes a store's lock and folds its journal.

    Args:
        folder: the store.
        create: make the store if it is not there.

    Raises:
        StoreLocked: if a process has it; its pid is named.
    """
    memory, history = Memory(), History(stories=False)
    with taken(folder, memory, history.apply, create=create) as store:
        yield Held(store, memory, history)


def submit(folder: Path, spec: Path, weight: float, priority: int) -> dict[str, Any]:
    """Hands a search in for the next daemon: `{search, name, status, new}`. Makes the store if it is not there.

    Raises:
        SpecError: naming everything that is wrong with the spec.
        TotalLowered: if the search was set to a higher total before.
        StoreLocked: if a process that is no daemon has the store.
    """
    sent = submission(spec)
    handed_in = Submission(sent["spec"], sent["file"], sent["folder"], weight, priority)
    handed = _planned(folder, handed_in)  # reads the data, and so takes no lock
    with holding(folder, create=True) as held:
        new = handed.plan.id not in held.memory.searches
        return held.write(orders.submit(held.memory, handed), handed.plan.id) | {"new": new}


def _planned(folder: Path, submission: Submission) -> orders.Handed:
    if not is_store(folder):
        return hand_in(submission, user(), None)
    with Store.open(folder, write=False) as store:
        return hand_in(submission, user(), store.journal)


def order(folder: Path, verb: str, text: str, **given: Any) -> dict[str, Any]:
    """Gives a search an order: `{search, name, status}`.

    Args:
        folder: the store.
        verb: `pause`, `resume`, `stop`, `prioritise` (with `weight` and `priority`) or `extend` (with `totals`).
        text: the search's name, or the beginning of its id.
        given: what the order says.

    Raises:
        UnknownSearch: if there is no such search.
        WrongState, TotalLowered, SpecError: if it cannot be told so.
        StoreLocked: if a process that is no daemon has the store.
    """
    with holding(folder) as held:
        search = find.search(held.history, text)
        by = {} if verb == "extend" else {"by": user()}
        make: Order = getattr(orders, verb)
        return held.write(make(held.memory, search, **given, **by), search)


def user() -> str:
    """Returns the name of whoever runs this process, or the number where it has no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
