"""Folds the journal when a process takes the store: after this, memory holds all that earlier ones got done."""

from __future__ import annotations

import msgpack

from orchestrator import collector
from orchestrator.memory import Memory
from orchestrator.observer import Observer
from store.opening import Store


def recall(store: Store, memory: Memory, observer: Observer) -> None:
    """Folds every row, for an observer too."""
    with collector.paused():
        for row in store.journal.raw():
            payload = msgpack.unpackb(row.payload, raw=False)
            memory.apply(row.type, payload)
            observer.recalled(row.sequence, row.time, row.type, payload)
    memory.forget_missing(set(store.checkpoints.digests()))
