"""From what somebody hands in to a planned search: paths made absolute, earlier searches found, data identified.

All of it reads files, so it belongs into a thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from orchestrator import spec, transfers
from orchestrator.errors import Problem, SpecError
from orchestrator.serving.orders import Handed
from orchestrator.serving.service import Submission
from store.journal import Journal
from trainers.fingerprint import Told

_PATHS = (("data", "path"), ("trainer", "table"), ("reference", "trainer", "table"))
"""Keys of a spec that hold a path."""


def hand_in(submission: Submission, owner: str, journal: Journal | None, told: Told | None = None) -> Handed:
    """Plans a submission.

    Args:
        submission: what was handed in.
        owner: who did.
        journal: of the store, for the earlier searches that it names; None if there is no store yet.
        told: hears how many of the data set's files are read; what it raises ends the planning.

    Raises:
        SpecError: naming everything that is wrong with it.
    """
    raw = deepcopy(dict(submission.raw))
    problems = list(_made_absolute(raw, submission.folder))
    if problems:
        raise SpecError(submission.file, problems)
    planned = spec.plan(raw, submission.file, told)
    resolved = transfers.resolve(planned, journal).plan
    if resolved is not planned:  # names of searches may come to mean others, what stands for them may not
        strategy = resolved.spec.strategy
        raw["strategy"] = {"name": strategy.name, **strategy.options}
    return Handed(resolved, raw, owner, submission.weight, submission.priority)


def _made_absolute(raw: dict[str, Any], folder: str | None) -> Iterator[Problem]:
    """Makes the paths of a spec absolute; what begins with `~` or a variable is left to the daemon's environment."""
    for key, table, value in _paths(raw):
        if Path(value).is_absolute() or value.startswith(("~", "$")):
            continue
        if folder is None:
            yield Problem(key, value, "expected an absolute path: the daemon does not know your folders")
        else:
            table[key.rpartition(".")[2]] = str(Path(folder) / value)


def _paths(raw: Mapping[str, Any]) -> Iterator[tuple[str, MutableMapping[str, Any], str]]:
    """Yields the key, the table and the value of every path in a spec, as far as it is one."""
    for keys in _PATHS:
        table: Any = raw
        for key in keys[:-1]:
            table = table.get(key) if isinstance(table, dict) else None
        if isinstance(table, dict) and isinstance(value := table.get(keys[-1]), str):
            yield ".".join(keys), table, value
