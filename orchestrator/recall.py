"""Folds the journal when a process takes the store: after this, memory holds all that earlier ones got done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack

from orchestrator import collector
from orchestrator.memory import Memory
from store.journal_table import Entry
from store.opening import Store

Recalled = Callable[[int, float, str, Mapping[str, Any]], None]
"""Takes a row: its number, its time, its kind and its fields."""


@contextmanager
def taken(folder: Path, memory: Memory, recalled: Recalled, *, create: bool = False) -> Iterator[Store]:
    """Opens a store for writing, and folds each of its rows while it is verified: so they are read once.

    Args:
        folder: the store.
        memory: folds the rows.
        recalled: takes each row after `memory`.
        create: make the store if it is not there.

    Raises:
        StoreError: as `Store.open` does; what was folded by then is void.
    """

    def fold(sequence: int, entry: Entry) -> None:
        payload = msgpack.unpackb(entry.payload, raw=False)
        memory.apply(entry.type, payload)
        recalled(sequence, entry.time, entry.type, payload)

    with collector.paused():
        store = Store.open(folder, write=True, create=create, told=fold)
    with store:
        memory.forget_missing(set(store.checkpoints.digests()))
        yield store
