"""The fold of a part of a journal: one search, or a few jobs, with their stories, for who asks about no more."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from heapq import merge
from typing import TYPE_CHECKING, Final

import msgpack

from orchestrator.views.fold import History

if TYPE_CHECKING:
    from store.journal import Journal, RawRow

_FRAME: Final = frozenset(
    {
        *("search_opened", "search_extended", "search_started", "search_interrupted", "search_failed"),
        *("search_submitted", "search_paused", "search_resumed", "search_stopped", "search_prioritised"),
        *("worker_started", "worker_ended"),
    }
)
"""What says which searches there are, and which process was killed when."""
_FEW = 16


def read_search(journal: Journal, search: str) -> History:
    """Folds all that concerns a search: its own rows, and those of the jobs that it asked for, whoever queued them."""
    jobs = {row.job for row in journal.raw(search=search, types={"requested"}) if row.job is not None}
    return _fold(row for row in journal.raw() if row.search == search or row.job in jobs or row.type in _FRAME)


def read_jobs(journal: Journal, jobs: Collection[str]) -> History:
    """Folds all that concerns some jobs."""
    if len(jobs) > _FEW:
        return _fold(row for row in journal.raw() if row.job in jobs or row.type in _FRAME)
    parts = [journal.raw(types=_FRAME), *(journal.raw(job=job) for job in jobs)]
    return _fold(merge(*parts, key=lambda row: row.sequence))


def jobs_with(journal: Journal, digest: str) -> set[str]:
    """Returns the jobs that saved a checkpoint whose digest, or whose candidate's, begins so."""
    wanted = digest.encode()
    rows = journal.raw(types={"checkpoint_saved"})
    return {row.job for row in rows if row.job is not None and wanted in row.payload}


def _fold(rows: Iterable[RawRow]) -> History:
    history = History()
    for row in rows:
        history.apply(row.sequence, row.time, row.type, msgpack.unpackb(row.payload, raw=False))
    return history
