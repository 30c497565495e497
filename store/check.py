"""Reads a whole store, computes every digest anew, and reports. Changes nothing, and works beside a writer."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import Field, computed_field

from store import format as store_format
from store.blobs import BlobStore
from store.blocks import KnowledgePool
from store.checkpoints import CheckpointStore
from store.errors import BlobError, JournalError, ManifestError, StoreFailed
from store.journal import Journal
from store.journal_head import NAME as HEAD
from store.journal_head import head_damage
from store.journal_table import NAME as TABLE
from store.journal_table import integrity
from store.packs import CHUNK, METADATA, PackEntry, open_chunk, pack_folder, read_block, read_index
from store.pool_roots import as_journalled, inherited
from store.records.base import Record
from store.records.checkpoints import CheckpointManifest
from store.roots import Roots

_NAMED = 3
_REPAIR = "`python -m store.repair` makes the file anew"


class Problem(Record):
    """Something that is not as it was written."""

    kind: Literal["format", "journal", "pack", "block", "manifest", "checkpoint", "pool"]
    where: str = Field(description="a path or a digest")
    message: str


class CheckReport(Record):
    """What a check found. Quarantined packs, and checkpoints that went with them, are known and no problem."""

    rows: int = Field(default=0, description="journal rows whose hashes were computed anew")
    packs: int = 0
    blocks: int = Field(default=0, description="blocks whose digests were computed anew")
    bytes: int = Field(default=0, description="bytes of these blocks")
    manifests: int = 0
    checkpoints: int = Field(default=0, description="checkpoints that the journal needs and that are complete")
    pool_entries: int = Field(default=0, description="blocks in the knowledge pool")
    quarantined_packs: int = Field(default=0, description="packs that were set aside earlier")
    quarantined_checkpoints: int = Field(default=0, description="checkpoints that were given up earlier")
    problems: tuple[Problem, ...] = ()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def check(folder: Path, progress: Callable[[int, int], None] | None = None) -> CheckReport:
    """Checks a store.

    Args:
        folder: the store.
        progress: called with packs done and packs in all.

    Raises:
        NotAStore, UnsupportedFormat: if it cannot be checked at all. What is damaged is reported, not raised.
    """
    folder = folder.absolute()
    store_format.require(folder, "check")
    return _Check(folder, progress or (lambda done, total: None)).run()


class _Check:
    def __init__(self, folder: Path, progress: Callable[[int, int], None]) -> None:
        self._folder, self._progress = folder, progress
        self._blobs = BlobStore(folder, read_only=True)
        self._checkpoints = CheckpointStore(folder, read_only=True, blobs=self._blobs)
        self._sound: dict[str, tuple[str, int]] = {}
        self._problems: list[Problem] = []
        self._packs = self._bytes = 0

    def run(self) -> CheckReport:
        for why in store_format.unusable(self._folder):
            self._problem("format", self._folder / store_format.NAME, why)
        # In this order, what a writer adds in the meantime can only be more than what is asked for.
        rows, roots, pool = self._journal()
        manifests = self._checkpoints.digests()
        self._all_packs()
        complete = {digest for digest in manifests if self._manifest(digest, roots)}
        self._roots(roots, set(manifests))
        self._pool(pool, set(manifests))
        aside = self._blobs.quarantined
        return CheckReport(
            rows=rows,
            packs=self._packs,
            blocks=len(self._sound),
            bytes=self._bytes,
            manifests=len(manifests),
            checkpoints=len(complete & roots.live),
            pool_entries=len(pool),
            quarantined_packs=len(list(aside.iterdir())) if aside.is_dir() else 0,
            quarantined_checkpoints=len(roots.quarantined),
            problems=tuple(self._problems),
        )

    def _journal(self) -> tuple[int, Roots, KnowledgePool]:
        try:
            journal = Journal(self._folder, read_only=True)
            self._journal_files()
            return journal.count, Roots.of(journal), as_journalled(self._folder, journal)
        except JournalError as error:
            self._problem("journal", self._folder, str(error))
            return 0, Roots(), KnowledgePool.open(self._folder, read_only=True)

    def _journal_files(self) -> None:
        """Looks at what no row depends on: indexes, and the slot of the head that does not count."""
        if why := integrity(self._folder / TABLE):
            self._problem("journal", self._folder / TABLE, f"its rows are sound, its pages are not: {why}. {_REPAIR}")
        with suppress(FileNotFoundError):  # nothing was written yet
            if why := head_damage(self._folder):
                self._problem("journal", self._folder / HEAD, f"{why}; the next events are written over it")

    def _all_packs(self) -> None:
        names = list(self._blobs.names())
        for done, name in enumerate(names):
            self._progress(done, len(names))
            self._pack(pack_folder(self._blobs.packs, name))
        self._progress(len(names), len(names))

    def _pack(self, folder: Path) -> None:
        self._packs += 1
        try:
            entries = read_index(folder)
            size = (folder / CHUNK).stat().st_size
            with open_chunk(folder) as handle:
                for entry in entries:
                    self._block(handle, folder, entry)
        except (ValueError, OSError, StoreFailed) as error:
            self._problem("pack", folder, str(error))
            return
        if size != sum(entry.size for entry in entries):
            self._problem("pack", folder, f"{CHUNK} is {size} bytes long, {METADATA} says otherwise")

    def _block(self, handle: int, folder: Path, entry: PackEntry) -> None:
        try:
            read_block(handle, folder, entry)
        except (BlobError, StoreFailed) as error:
            self._problem("block", folder, str(error))
            return
        self._sound[entry.digest] = (entry.dtype, entry.length)
        self._bytes += entry.size

    def _manifest(self, digest: str, roots: Roots) -> bool:
        """Whether a checkpoint is complete; what the journal does not need, or gave up, may be incomplete."""
        try:
            manifest = self._checkpoints.manifest(digest)
        except (ManifestError, StoreFailed) as error:
            if digest not in roots.quarantined:
                self._problem("manifest", self._checkpoints.path(digest), str(error))
            return False
        missing = self._missing(manifest)
        if missing and digest in roots.live:
            self._problem("checkpoint", digest, f"{missing} of its {len(manifest.blocks)} blocks are missing")
        return not missing

    def _missing(self, manifest: CheckpointManifest) -> int:
        return sum(self._sound.get(block.blob) != (block.dtype, block.length) for block in manifest.blocks)

    def _roots(self, roots: Roots, there: set[str]) -> None:
        for digest in sorted(roots.live - there):
            self._problem("checkpoint", digest, "the journal needs it, and its manifest is not there")

    def _pool(self, pool: KnowledgePool, there: set[str]) -> None:
        """Looks for the blocks that the pool names; the rest of their checkpoints may be gone."""
        if pool.damage:
            self._problem("pool", pool.path, f"{pool.damage}; it is made anew from the journal when it is next used")
        if pool.damage or not pool.path.exists():
            return  # the journal alone does not say what a quota took, and `gc` may have removed it since
        for digest, names in sorted(pool.manifests().items()):
            if digest not in there:
                self._problem("pool", digest, f"blocks of it can be inherited ({_some(names)}), and it is not there")
            elif missing := names - self._inheritable(digest, names):
                self._problem("pool", digest, f"blocks of it can be inherited, and are not there: {_some(missing)}")

    def _inheritable(self, digest: str, names: frozenset[str]) -> set[str]:
        try:
            parts = inherited(self._checkpoints.manifest(digest), names)
        except (ManifestError, StoreFailed):
            return set()
        bad = {part.block for part in parts if self._sound.get(part.blob) != (part.dtype, part.length)}
        return {part.block for part in parts} - bad

    def _problem(
        self,
        kind: Literal["format", "journal", "pack", "block", "manifest", "checkpoint", "pool"],
        where: Path | str,
        message: str,
    ) -> None:
        self._problems.append(Problem(kind=kind, where=str(where), message=message))


def _some(names: Collection[str]) -> str:
    first = ", ".join(sorted(names)[:_NAMED])
    return first if len(names) <= _NAMED else f"{first} and {len(names) - _NAMED} more"
