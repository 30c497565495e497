"""The knowledge pool: which block of which trained network a new network's block starts from (FNAS section 4.3).

One entry is a block of a trained network: its key, and where its tensors lie (`MANIFEST/BLOCK`). A question is a
network's blocks; the answer is, for each, the visible entry whose expanded embedding has the highest cosine
similarity. Fairness: keys are only compared between networks of the same space that read images of the same shape and
were trained for equally many steps; a search has one entry for each key and count of steps, the first; and an answer
says how many generations of inheriting lie behind it.

The journal is the truth. What is in the pool's file can be made again by adding every `weights_pooled` row's
contribution in order, so a file that is damaged, missing or behind costs time and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from store import format as store_format
from store.errors import NotAKey, StoreError, StoreFull
from store.files import TEMPORARY
from store.pool_answers import Answers
from store.pool_file import PoolFile, frame, of_batch, read, to_batch
from store.pool_keys import Integers, Words, fits, pack
from store.pool_known import KnownKeys
from store.pool_statistics import Counts, Evicted, PoolStatistics
from store.pool_table import Batch, Kind, PoolTable
from store.pool_value import Units, arrived, least_useful, matched
from store.records.knowledge import Contribution, Inheritance, PoolQuery

FOLDER = "pool"
NAME = "entries"
NOT_A_KEY = "a key that does not fit its space"
_FEWEST_RECORDS = 1024
_RECORDS_SHARE = 32


class KnowledgePool:
    """A store's pool. Made by `open`; calls come from one thread at a time.

    Where the disk has no room the pool goes on in memory and writes later; `flush` says so, and `statistics().waiting`.
    """

    def __init__(self, folder: Path, *, read_only: bool) -> None:
        path = folder / FOLDER / NAME
        self._read_only = read_only
        self._table, self._counts, self._sequence = PoolTable(), Counts(), 0
        self._waiting: list[bytes] = []
        self._used: set[int] = set()
        self._records = self._dropped = 0
        contents = read(path)
        self._damage, size = contents.damage, contents.bytes
        try:
            for record in contents.records:
                self._replay(record)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            self._damage, size = f"a record cannot be understood ({type(error).__name__}: {error})", 0
            self._table, self._counts, self._sequence = PoolTable(), Counts(), 0
        self._noted = self._counts
        self._file = PoolFile(path, folder / TEMPORARY, size)
        self._answers = Answers(self._table)
        self._known: KnownKeys | None = None

    @classmethod
    def open(cls, folder: Path, *, read_only: bool = False, rows: int | None = None) -> KnowledgePool:
        """Opens a store's pool; one that does not exist yet is empty.

        Opened for writing, it says in the store's format that there is a pool; its file comes with the first
        contribution.

        Args:
            folder: the store.
            read_only: write nothing; what is added stays in memory. Works beside a writer.
            rows: how many rows the journal has. A pool that has seen more belongs to a journal that was cut back since,
                and is begun anew.

        Raises:
            StoreFailed: if the disk cannot read the file. A file that is damaged is begun anew; `damage` says why.
            StoreReadOnly, StoreFull: if the store's format cannot be written.
        """
        if not read_only and store_format.is_store(folder):
            # Before a row says that there is a pool: no older coldframe may then collect what only the pool needs.
            store_format.add_feature(folder, store_format.POOL)
        pool = cls(folder, read_only=read_only)
        if rows is not None and pool.sequence > rows:
            pool._begin_anew(f"it knows {pool.sequence} rows of a journal that has {rows}")
        return pool

    @property
    def sequence(self) -> int:
        """The last row of the journal that was added; `add` what comes after it."""
        return self._sequence

    @property
    def path(self) -> Path:
        """Where its file lies."""
        return self._file.path

    @property
    def damage(self) -> str:
        """Why the file had to be begun anew when it was opened; empty if it had not."""
        return self._damage

    def __len__(self) -> int:
        return len(self._table)

    def match(self, query: PoolQuery, *, searches: Collection[str]) -> Inheritance:
        """Returns which entries a network's blocks start from.

        Entries of another space, of images of another shape or trained for another number of steps are not compared.
        Of equally near ones the one of the lowest generation counts, then the one that came first. An entry without
        any equal token is no neighbour.

        Args:
            query: the network's blocks; without `iterations`, entries of the number of steps that most of the visible
                ones have are compared (the lower one of two that equally many have).
            searches: ids of the searches whose entries are visible.

        Raises:
            NotAKey: if a block's tokens are no key of the space.
        """
        for block in query.blocks:
            if not fits(block.tokens, query.choices):
                raise NotAKey(block.name, block.tokens, query.choices)
        answer = self._answers.match(query, searches)
        found = answer.inheritance
        self._counts = self._counts.plus(
            answer.refused, time=1, networks=1, asked=len(found.blocks), hits=found.hits, matches=found.matches
        )
        if rows := sorted(set(answer.rows)):
            uses = self._table.entries.all["use"]
            uses[rows] = matched(uses[rows], self._counts.time)
            self._used.update(rows)
        return found

    def add(
        self, sequence: int, search: str, contribution: Contribution, sizes: Mapping[str, int] | None = None
    ) -> int:
        """Takes a trained network's blocks in: those whose key the search does not have yet.

        Args:
            sequence: the row of the journal that says so. A row that was added before, or comes before one that was,
                changes nothing: rows are added in order, and none is left out.
            search: who contributes it.
            contribution: what the row says. A block whose tokens are no key is left out and counted.
            sizes: bytes of the blocks' tensors by name, for the quota.

        Returns:
            How many entries came.

        Raises:
            StoreFailed, StoreReadOnly: if the disk refuses for another reason than its room; the entries count all the
                same.
        """
        if sequence <= self._sequence:
            return 0
        whole = [block for block in contribution.blocks if fits(block.tokens, contribution.choices)]
        unfit = len(contribution.blocks) - len(whole)
        self._counts = self._counts.plus({NOT_A_KEY: unfit} if unfit else None, time=1)
        self._sequence = sequence
        keys = pack([block.tokens for block in whole], contribution.choices)
        new = self._is_new(search, contribution, keys)
        names = [block.name for block, is_new in zip(whole, new, strict=True) if is_new]
        use = arrived(self._counts.time)
        batch = Batch.of(search, contribution, names, keys[new], sizes or {}, use)
        if names:
            self._table.append(batch)
        self._write({"type": "entries"} | (of_batch(batch) if names else {}))
        self._note_uses()
        self._tidy()
        return len(names)

    def forget(self, manifests: Iterable[str]) -> int:
        """Removes the entries of checkpoints that are lost; returns how many there were."""
        rows = self._rows_of(manifests)
        self._drop(rows, "forgotten")
        return len(rows)

    def evict(self, quota_bytes: int, live: Collection[str]) -> Evicted:
        """Removes the least useful entries (see `store.pool_value`) until the pool's blocks keep to a quota.

        Args:
            quota_bytes: the most that blocks may take which are kept for the pool alone.
            live: manifests of checkpoints that are needed anyway; their blocks neither count nor go.
        """
        if int(self._table.entries.all["bytes"].sum()) <= quota_bytes:
            return Evicted()
        rows, freed = least_useful(self._table, quota_bytes, live)
        self._drop(rows, "evicted")
        return Evicted(entries=len(rows), bytes=freed)

    def manifests(self) -> dict[str, frozenset[str]]:
        """Returns which blocks of which checkpoints the pool needs: what `gc` has to keep."""
        return Units(self._table).by_manifest(self._table)

    def statistics(self) -> PoolStatistics:
        """Counts what is there."""
        units = Units(self._table)
        by_search = dict.fromkeys(self._table.searches.all, 0)
        for (_, search), count in self._table.held.items():
            by_search[self._table.searches.all[search]] += count
        return PoolStatistics(
            entries=len(self),
            bytes=int(units.bytes.sum()),
            checkpoints=len(np.unique(units.manifest)),
            searches={search: count for search, count in by_search.items() if count},
            damage=self._damage,
            waiting=len(self._waiting),
            **self._counts.model_dump(exclude={"time"}),
        )

    def flush(self) -> None:
        """Makes durable all that happened.

        Raises:
            StoreFull, StoreReadOnly, StoreFailed: if the disk refuses. The pool can be used on, and flushed again.
        """
        if self._read_only:
            return
        self._note_uses()
        if self._waiting:
            self._append()
        self._file.sync()

    def close(self) -> None:
        """Writes what waits, as far as there is room: what is lost is found in the journal. Safe to call twice."""
        with suppress(StoreError):
            self.flush()
        self._file.close()

    def _is_new(self, search: str, contribution: Contribution, keys: Words) -> list[bool]:
        kind = self._table.kind(Kind.of(contribution))
        if self._known is None:
            self._known = KnownKeys(self._table)
        return self._known.add(kind, self._table.searches.number(search), keys)

    def _rows_of(self, manifests: Iterable[str]) -> Integers:
        numbers = sorted(self._table.manifests.known(manifests))
        return np.flatnonzero(np.isin(self._table.of_contribution("manifest", slice(None)), numbers))

    def _drop(self, rows: Integers, why: str) -> None:
        if not len(rows):
            return
        self._note_uses()
        self._counts = self._counts.plus(None, **{why: len(rows)})
        self._table.drop(rows)
        self._answers, self._known = Answers(self._table), None
        self._write({"type": "drop", "rows": rows.astype("<u4").tobytes()})
        self._dropped += len(rows)
        self._tidy()
        if not self._read_only and not self._waiting:
            with suppress(StoreError):  # the entries are gone here, and at worst they come back at the next start
                self._file.sync()

    def _note_uses(self) -> None:
        if (self._used or self._counts != self._noted) and self._sequence:
            rows = np.array(sorted(self._used), dtype="<u4")
            uses = self._table.entries.all["use"][rows]
            self._write({"type": "uses", "rows": rows.tobytes(), "use": uses.tobytes()})
            self._used = set()

    def _write(self, record: dict[str, Any]) -> None:
        """Appends a record, and those before it that could not be written; what cannot be written now waits."""
        self._noted = self._counts
        if self._read_only:
            return
        self._waiting.append(frame(self._state() | record))
        self._records += 1
        with suppress(StoreFull):
            self._append()

    def _append(self) -> None:
        self._file.append(self._waiting)
        self._waiting = []

    def _tidy(self) -> None:
        """Writes the whole file anew when reading it takes too long, or most of it counts no more."""
        most = max(_FEWEST_RECORDS, len(self._table.contributions) // _RECORDS_SHARE)
        if self._read_only or (self._records < most and self._dropped <= len(self)):
            return
        self._records = self._dropped = 0
        with suppress(StoreFull):  # tried again after as many more records
            self._file.replace([frame(self._state() | {"type": "entries"} | of_batch(self._table.batch()))])
            self._waiting, self._used = [], set()

    def _state(self) -> dict[str, Any]:
        return {"sequence": self._sequence, "counts": self._counts.model_dump()}

    def _replay(self, record: dict[str, Any]) -> None:
        match record["type"]:
            case "entries" if "entries" in record:
                self._table.append(to_batch(record))
            case "drop":
                self._table.drop(np.frombuffer(record["rows"], dtype="<u4"))
            case "uses":
                rows = np.frombuffer(record["rows"], dtype="<u4")
                self._table.entries.all["use"][rows] = np.frombuffer(record["use"], dtype="<f8")
        self._sequence, self._counts = record["sequence"], Counts.model_validate(record["counts"])
        self._records += 1

    def _begin_anew(self, why: str) -> None:
        self._damage = why
        self._table, self._counts, self._sequence = PoolTable(), Counts(), 0
        self._answers, self._known = Answers(self._table), None
        self._file.size = 0
