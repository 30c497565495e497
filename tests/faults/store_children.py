"""What the recorded processes do: rows into a journal, checkpoints into a store; right, or with a step left out.

Each mutation takes out one thing that durability rests on. A test of durability that passes with it shows nothing.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from store import checkpoints, files, journal, journal_table, journal_writer, packs
from store.blobs import BlobStore
from store.elements import Array, Block
from store.journal import Journal
from store.opening import Store
from tests.store.builders import delivered, requested, save, saved
from tests.store.children import say

ROWS = 30
CHECKPOINTS = 6


def rows() -> None:
    """Appends groups of rows, small and large, and says how many are acknowledged after each; opens twice."""
    journal_writer._CHECKPOINT_BYTES = 6000  # so that the log is often brought into the table
    for half in range(2):
        opened = Journal(Path(sys.argv[2]))
        for number in range(half * ROWS // 2, (half + 1) * ROWS // 2):
            group = [delivered(number), *([requested(number)] * (number % 3))]
            say(opened.append(group))
        opened.close()


def stored() -> None:
    """Makes a store, saves checkpoints that share blocks, and says the digest of each whose row is acknowledged."""
    for half in range(2):
        with Store.open(Path(sys.argv[2]), write=True, create=True) as store:
            for epoch in range(half * CHECKPOINTS // 2 + 1, (half + 1) * CHECKPOINTS // 2 + 1):
                digest = save(store.checkpoints, epoch=epoch, shared=2)
                store.journal.append([saved(digest, epoch=epoch)])
                say(digest)


def normal() -> None:
    """SQLite's `synchronous=NORMAL`: the log is not synced at a commit."""
    connect = journal_table.connect_for_writing

    def unsafe(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    journal.connect_for_writing = unsafe  # type: ignore[attr-defined]


def no_sync() -> None:
    """No sync of anything."""
    connect = journal_table.connect_for_writing

    def unsafe(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.execute("PRAGMA synchronous=OFF")
        return connection

    journal.connect_for_writing = unsafe  # type: ignore[attr-defined]
    os.fsync = os.fdatasync = lambda handle: None  # type: ignore[assignment]


def no_sync_of_head() -> None:
    """The head is written and not synced."""
    os.fdatasync = lambda handle: None  # type: ignore[assignment]


def no_sync_of_files() -> None:
    """A file is written and renamed without a sync of its bytes."""

    def unsafe(path: Path, parts: list[memoryview]) -> None:
        path.write_bytes(b"".join(parts))

    files.write_synced = packs.write_synced = unsafe  # type: ignore[attr-defined]


def no_sync_of_blocks() -> None:
    """The same of packs alone: the store itself and its manifests are synced."""
    synced = files.write_synced
    no_sync_of_files()
    files.write_synced = synced


def no_sync_of_folders() -> None:
    """Names are not made durable."""
    for module in (files, packs, journal):
        module.sync_folder = lambda folder: None  # type: ignore[attr-defined]


def renamed_first() -> None:
    """A file gets its name before it is synced, and is synced after its name was made durable."""

    def unsafe(path: Path, data: bytes, temporary: Path) -> None:
        draft = temporary / files.unique_name()
        draft.write_bytes(data)
        os.rename(draft, path)
        files.sync_folder(path.parent)

    checkpoints.replace_durably = unsafe  # type: ignore[attr-defined]


def blocks_last() -> None:
    """The blocks of a checkpoint are stored when the next one is saved: after its manifest, and after its row."""
    put = BlobStore.put
    waiting: list[list[Block]] = []

    def late(blobs: BlobStore, blocks: Sequence[Block | Array]) -> list[str]:
        given = [block if isinstance(block, Block) else Block.of(block) for block in blocks]
        for earlier in waiting:
            put(blobs, earlier)
        waiting[:] = [given]
        return [block.digest for block in given]

    BlobStore.put = late  # type: ignore[method-assign]


if __name__ == "__main__":
    for mutation in sys.argv[3:]:
        globals()[mutation]()
    globals()[sys.argv[1]]()
