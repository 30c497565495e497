"""A store, opened: its lock, journal, blocks and checkpoints together."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from store import format as store_format
from store.blobs import BlobStore
from store.checkpoints import CheckpointStore
from store.files import TEMPORARY, disk_errors, sweep_strays
from store.journal import Journal
from store.journal_table import Told
from store.lock import StoreLock


class Store:
    """An open store; made by `open`, ended by `close` or as a context manager.

    Attributes:
        folder: where it lies.
        journal: what happened.
        blobs: blocks by digest.
        checkpoints: manifests over the blocks.
    """

    def __init__(self, folder: Path, journal: Journal, checkpoints: CheckpointStore, resources: ExitStack) -> None:
        self.folder = folder
        self.journal = journal
        self.blobs = checkpoints.blobs
        self.checkpoints = checkpoints
        self._resources = resources

    @classmethod
    def open(cls, folder: Path, *, write: bool, create: bool = False, told: Told | None = None) -> Store:
        """Opens a store.

        Args:
            folder: where it lies.
            write: be its writer: takes the lock until `close`, and sweeps what crashed writers left. Without, nothing
                is written; this works beside a writer, and where nothing can be written.
            create: make it a store if it is a new or empty folder.
            told: of a writer, hears of the journal's rows as they are verified, as `Journal` says.

        Raises:
            NotAStore: if the folder is none, or holds other things.
            UnsupportedFormat: if a newer coldframe wrote it.
            StoreLocked: if another process is its writer.
            StoreReadOnly: if nothing can be written there.
            JournalCorrupt, JournalTruncated: if the journal is not what was acknowledged.
        """
        folder = folder.absolute()
        if create and write:
            store_format.ensure(folder)
        store_format.require(folder, "write" if write else "read")
        with ExitStack() as resources:
            if write:
                resources.enter_context(StoreLock(folder))
                with disk_errors(folder):
                    sweep_strays(folder / TEMPORARY)
            journal = Journal(folder, read_only=not write, told=told)
            resources.callback(journal.close)
            blobs = BlobStore(folder, read_only=not write)
            resources.callback(blobs.close)
            if write:
                blobs.sweep()
            checkpoints = CheckpointStore(folder, read_only=not write, blobs=blobs)
            return cls(folder, journal, checkpoints, resources.pop_all())

    def close(self) -> None:
        """Makes durable what waits, closes everything and lets the next writer in; safe to call twice."""
        self._resources.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
