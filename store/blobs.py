"""Blocks by digest: stored once, whoever trained them; verified whenever they are read; never changed.

Many processes put and get at the same time: the daemon, every worker, commands. There is no lock between them. A pack
appears under its name only when it is durable, equal packs have equal names, and the worst that a race can do is to
store a block twice. Only `quarantine` and `store.gc` take packs away.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from store.elements import Array, Block
from store.errors import BlobCorrupt, BlobMissing, StoreReadOnly
from store.files import (
    STRAY_SECONDS,
    checked,
    disk_errors,
    is_digest,
    make_folder,
    remove,
    sweep_strays,
    sync_folder,
    unique_name,
)
from store.index import BlobIndex, Location, Pack
from store.packs import (
    PackEntry,
    move_aside,
    open_chunk,
    pack_folder,
    put_in_place,
    read_block,
    read_index,
    salvage,
    try_block,
    write_pack,
)

FOLDER = "blobs"


class BlobStore:
    """The blocks of a store.

    Args:
        folder: the store.
        read_only: write nothing at all; the index is then made in memory, by reading every pack's.

    Raises:
        StoreReadOnly, StoreFull, StoreFailed: if the folders cannot be made, or the index cannot be opened.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self.folder = folder / FOLDER
        self.packs = self.folder / "packs"
        self.temporary = self.folder / "tmp"
        self.quarantined = self.folder / "quarantine"
        self._read_only = read_only
        self._lock = threading.RLock()
        self._index: BlobIndex | None = None
        if not read_only:
            with disk_errors(self.folder):
                for each in (self.folder, self.packs, self.temporary, self.quarantined):
                    make_folder(each)

    def put(self, blocks: Sequence[Block | Array]) -> list[str]:
        """Stores blocks, those that are new in one pack; when it returns, all of them are durable.

        Packs that hold a block already get a fresh modification time, which keeps `gc` off them for its grace period.

        Returns:
            The blocks' digests, in their order.

        Raises:
            NotCanonical: if an array has an element type that the store does not keep.
            StoreFull, StoreReadOnly, StoreFailed: if the disk refuses; then nothing new is left behind.
        """
        if self._read_only:
            raise StoreReadOnly(self.folder, "it was opened for reading")
        given = [block if isinstance(block, Block) else Block.of(block) for block in blocks]
        unique = {block.digest: block for block in given}
        with self._lock:
            kept = self._keep_fresh(list(unique))
            new = [block for digest, block in unique.items() if digest not in kept]
            if new:
                self._write(new)
        return [block.digest for block in given]

    def get(self, digests: Iterable[str]) -> dict[str, Array]:
        """Reads blocks and checks them.

        Returns:
            Flat, writable arrays by digest; bfloat16 comes as uint16.

        Raises:
            InvalidDigest: if a name is not a digest.
            BlobMissing: if no pack has a block.
            BlobCorrupt: if a block's bytes are damaged in every pack that has it.
            StoreFailed: if the disk cannot read them.
        """
        wanted = list(dict.fromkeys(checked(digest) for digest in digests))
        with self._lock:
            places = self._located(wanted)
            by_pack: dict[str, list[PackEntry]] = {}
            for digest in wanted:
                first = places[digest][0]
                by_pack.setdefault(first.pack, []).append(first.entry)
            blocks: dict[str, Array] = {}
            for pack, entries in by_pack.items():
                blocks |= self._read(pack, entries, places)
        return {digest: blocks[digest] for digest in wanted}

    def locate(self, digests: Iterable[str]) -> dict[str, PackEntry]:
        """Returns what is known of blocks without reading them: element type and length.

        Raises:
            InvalidDigest: if a name is not a digest.
            BlobMissing: if no pack has a block.
        """
        wanted = list(dict.fromkeys(checked(digest) for digest in digests))
        with self._lock:
            places = self._located(wanted)
        return {digest: places[digest][0].entry for digest in wanted}

    def relocate(self, digests: Sequence[str]) -> dict[str, PackEntry]:
        """As `locate`, by what the packs say themselves, for who has reason to doubt the index; makes that anew.

        Raises:
            BlobMissing: if no pack has a block.
        """
        with self._lock:
            places = self._in_packs(digests)
            self.index.remake()
        for digest in digests:
            if digest not in places:
                raise BlobMissing(digest)
        return {digest: places[digest][0].entry for digest in digests}

    def __contains__(self, digest: str) -> bool:
        with self._lock:
            return digest in self._locate([checked(digest)])

    def quarantine(self, digest: str) -> tuple[str, ...]:
        """Sets aside the packs in which a block is damaged, after storing their sound blocks anew.

        Returns:
            The blocks that are lost: no pack has them any more. None, if the block was not damaged or not there.

        Raises:
            InvalidDigest: if the name is not a digest.
            StoreFull, StoreReadOnly, StoreFailed: if the disk refuses; the packs are then where they were.
        """
        with self._lock:
            self.refresh()
            lost: set[str] = set()
            for pack, entry in self.index.find([checked(digest)]).get(digest, []):
                if try_block(pack_folder(self.packs, pack), entry) is None:
                    lost |= self._set_aside(pack)
            return tuple(sorted(lost - self._locate(sorted(lost)).keys()))

    def refresh(self) -> None:
        """Brings the index up to date with the packs that are there."""
        with self._lock:
            there, known = set(self.names()), self.index.packs()
            self.index.forget(known - there)
            self.index.add(self._scan(there - known))

    def sweep(self, older_than: float = STRAY_SECONDS) -> int:
        """Removes what crashed writers left, and refreshes the index.

        Args:
            older_than: seconds; younger drafts may belong to a writer that lives.

        Returns:
            How many drafts of packs were removed.
        """
        with disk_errors(self.temporary):
            removed = sweep_strays(self.temporary, older_than)
        self.refresh()
        return removed

    def names(self) -> Iterator[str]:
        """Yields the names of the packs that are there."""
        for shelf in sorted(self.packs.iterdir()) if self.packs.is_dir() else ():
            yield from sorted(entry.name for entry in shelf.iterdir() if is_digest(entry.name))

    def discard(self, pack: str, newer_than: float) -> bool:
        """Removes a pack for good, unless someone has put one of its blocks again. Only `store.gc` calls this.

        Args:
            pack: its name.
            newer_than: a pack touched after this time, in seconds since 1970, stays.

        Returns:
            Whether it was removed.
        """
        with self._lock, disk_errors(self.packs):
            folder = pack_folder(self.packs, pack)
            # Out of the way first: whoever touches the pack after this finds it gone and writes its block anew, who
            # touched it before left a fresh time; and a kill in the middle leaves a stray, not half a pack.
            grave = self.temporary / unique_name()
            try:
                os.rename(folder, grave)
            except FileNotFoundError:
                return False  # it was set aside
            if grave.stat().st_mtime > newer_than:
                put_in_place(grave, folder)
                return False
            sync_folder(folder.parent)
            self.index.forget([pack])
            remove(grave)
            return True

    def rewrite(self, pack: str, keep: Sequence[str], newer_than: float) -> bool:
        """Puts some of a pack's blocks into a new pack, then removes the old one as `discard` does.

        Raises:
            BlobMissing, BlobCorrupt: if a block to keep cannot be read; then nothing is changed.
        """
        with self._lock:
            data, entries = self.get(keep), self.locate(keep)
            self._write([Block(entries[digest].dtype, data[digest]) for digest in data])
            return self.discard(pack, newer_than)

    def close(self) -> None:
        """Closes the index."""
        with self._lock:
            if self._index is not None:
                self._index.close()
                self._index = None

    @property
    def index(self) -> BlobIndex:
        """The table of places."""
        if self._index is None:
            self._index = BlobIndex(None if self._read_only else self.folder, lambda: self._scan(self.names()))
        return self._index

    def _scan(self, names: Iterable[str]) -> Iterator[Pack]:
        for name in names:
            folder = pack_folder(self.packs, name)
            try:
                entries = read_index(folder)
                if not self._read_only:
                    sync_folder(folder.parent)  # its writer may have been killed between the rename and this
            except (ValueError, OSError):
                continue  # its blocks count as missing, and `check` reports it
            yield name, entries

    def _locate(self, digests: list[str]) -> dict[str, list[Location]]:
        places = self.index.find(digests)
        if len(places) < len(digests):
            self.refresh()
            places = self.index.find(digests)
        return places

    def _located(self, digests: list[str]) -> dict[str, list[Location]]:
        """As `_locate`, but reads every pack's own index before it says that a block is missing: ours may be damaged.

        Raises:
            BlobMissing: if no pack has one of the blocks.
        """
        places = self._locate(digests)
        missing = [digest for digest in digests if digest not in places]
        if missing and (overlooked := self._in_packs(missing)):
            self.index.remake()
            places |= overlooked
        for digest in digests:
            if digest not in places:
                raise BlobMissing(digest)
        return places

    def _in_packs(self, digests: Sequence[str]) -> dict[str, list[Location]]:
        """Returns the places of blocks by what the packs say themselves."""
        wanted, found = set(digests), dict[str, list[Location]]()
        for name, entries in self._scan(self.names()):
            for entry in entries:
                if entry.digest in wanted:
                    found.setdefault(entry.digest, []).append(Location(name, entry))
        return found

    def _keep_fresh(self, digests: list[str]) -> set[str]:
        """Returns the blocks that are stored, after making sure that each one's pack is there and not old."""
        places = self.index.find(digests)
        gone: set[str] = set()
        for pack in {place.pack for found in places.values() for place in found}:
            try:
                os.utime(pack_folder(self.packs, pack))
            except FileNotFoundError:
                gone.add(pack)
        if gone:
            self.index.forget(gone)
        return {digest for digest, found in places.items() if any(place.pack not in gone for place in found)}

    def _write(self, blocks: Sequence[Block]) -> None:
        pack = write_pack(self.packs, self.temporary, blocks)
        self.index.add([pack])

    def _read(self, pack: str, entries: list[PackEntry], places: dict[str, list[Location]]) -> dict[str, Array]:
        folder = pack_folder(self.packs, pack)
        blocks: dict[str, Array] = {}
        with suppress(FileNotFoundError), open_chunk(folder) as handle:
            for entry in sorted(entries, key=lambda entry: entry.offset):
                with suppress(BlobCorrupt):
                    blocks[entry.digest] = read_block(handle, folder, entry)
        for entry in entries:
            if entry.digest not in blocks:
                blocks[entry.digest] = self._read_elsewhere(entry.digest, places[entry.digest])
        return blocks

    def _read_elsewhere(self, digest: str, places: list[Location]) -> Array:
        """Reads a block that could not be read where the index said: by the packs' own indexes, from every place."""
        self.refresh()
        # A pack whose own index is damaged is passed over here, and what the table says of it stays.
        self.index.add(self._scan({place.pack for place in places} & self.index.packs()))
        places = self.index.find([digest]).get(digest, [])
        if (data := self._first_sound(places)) is not None:
            return data
        overlooked = self._in_packs([digest]).get(digest, [])
        if (data := self._first_sound(overlooked)) is not None:
            self.index.remake()
            return data
        if not (places := places or overlooked):
            raise BlobMissing(digest)
        raise BlobCorrupt(digest, pack_folder(self.packs, places[0].pack))

    def _first_sound(self, places: list[Location]) -> Array | None:
        found = (try_block(pack_folder(self.packs, place.pack), place.entry) for place in places)
        return next((data for data in found if data is not None), None)

    def _set_aside(self, pack: str) -> set[str]:
        """Moves a damaged pack away, once its sound blocks are stored anew; returns its damaged blocks."""
        folder = pack_folder(self.packs, pack)
        try:
            entries = read_index(folder)
        except (ValueError, OSError):
            entries = self.index.entries(pack)  # what does not belong there fails its digest
        sound, damaged = salvage(folder, entries)
        if sound:
            self._write(sound)
        with disk_errors(folder):
            move_aside(folder, self.quarantined)
        self.index.forget([pack])
        return damaged
