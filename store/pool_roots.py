"""What the knowledge pool needs of a store: what `gc` keeps and `check` looks for."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from store.blocks import KnowledgePool
from store.journal import Journal
from store.records.checkpoints import BlockManifest, CheckpointManifest
from store.records.events import CheckpointQuarantined, WeightsPooled

ROLE = "model"
"""Of a checkpoint's tensors these are inherited; an optimiser's are not."""


def as_journalled(folder: Path, journal: Journal) -> KnowledgePool:
    """Returns a store's pool as its journal has it, without writing: its file may be behind, or damaged.

    Raises:
        StoreFailed: if the disk cannot read the file.
    """
    pool = KnowledgePool.open(folder, read_only=True, rows=journal.count)
    for row in journal.rows(pool.sequence, types=("weights_pooled", "checkpoint_quarantined")):
        match row.event:
            case WeightsPooled(search=search, contribution=contribution):
                pool.add(row.sequence, search, contribution)
            case CheckpointQuarantined(checkpoint=checkpoint):
                pool.forget([checkpoint])
    return pool


def inherited(manifest: CheckpointManifest, names: Collection[str]) -> tuple[BlockManifest, ...]:
    """Returns the parts of a checkpoint that are needed to inherit some of its blocks."""
    return tuple(part for part in manifest.blocks if part.role == ROLE and part.block in names)
