"""The knowledge pool's file: records one after the other, each with its length and checksums.

The file is an index of what the journal says, so nothing depends on its last records: a record that a crash cut off is
cut away, and its rows of the journal are added again. Anything else that is not as it was written makes the whole file
worthless, and it is begun anew. Only the store's writer writes it; others may read it at the same time.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import numpy as np
from blake3 import blake3

from store.errors import StoreFailed
from store.files import disk_errors, make_folder, replace_durably, write_all
from store.pool_keys import words_of
from store.pool_table import CONTRIBUTION, ENTRY, Batch, Kind

MAGIC = b"cf-pool1"
_HEAD = struct.Struct("<Q16s8s")
_CHECKED = 24


class Contents(NamedTuple):
    """What a file holds: its records, the bytes up to the end of the last, and why that is not all of it, if so.

    Attributes:
        cut: the last record was not written to its end; those before it count.
        damage: something is not as it was written, so that there are no records; empty if nothing is.
    """

    records: list[dict[str, Any]]
    bytes: int
    cut: bool = False
    damage: str = ""


def read(path: Path) -> Contents:
    """Reads a file; one that is not there has no records.

    Raises:
        StoreFailed: if the disk cannot read it.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Contents([], 0)
    except OSError as error:
        raise StoreFailed(path, error.strerror or str(error)) from error
    if len(data) < len(MAGIC) and MAGIC.startswith(data):
        return Contents([], 0, cut=True)
    if not data.startswith(MAGIC):
        return Contents([], 0, damage="it does not begin as such a file does")
    records, position = [], len(MAGIC)
    try:
        for payload in _payloads(memoryview(data)[position:]):
            records.append(msgpack.unpackb(payload, raw=False))
            position += _HEAD.size + len(payload)
    except ValueError as error:
        return Contents([], 0, damage=f"the record at byte {position} is damaged: {error}")
    return Contents(records, position, cut=position < len(data))


def _payloads(data: memoryview) -> Iterator[memoryview]:
    """Yields whole records up to one that is cut off; raises ValueError at one that is damaged."""
    while len(data) >= _HEAD.size:
        size, check, of_head = _HEAD.unpack_from(data)
        if blake3(data[:_CHECKED]).digest()[: len(of_head)] != of_head:
            raise ValueError("its head is not what was written")
        data = data[_HEAD.size :]
        if len(data) < size:
            return
        payload, data = data[:size], data[size:]
        if blake3(payload).digest()[: len(check)] != check:
            raise ValueError("its bytes are not what was written")
        yield payload


def frame(record: dict[str, Any]) -> bytes:
    """Returns a record as it lies in the file."""
    payload: bytes = msgpack.packb(record, use_bin_type=True)
    head = struct.pack("<Q16s", len(payload), blake3(payload).digest()[:16])
    return head + blake3(head).digest()[:8] + payload


class PoolFile:
    """The file, open for appending.

    Args:
        path: where it lies; its folder is made when something is written.
        temporary: a folder on the same file system for drafts.
        size: its sound bytes; what lies behind them is cut away. 0: it is begun anew.
    """

    def __init__(self, path: Path, temporary: Path, size: int) -> None:
        self.path, self._temporary = path, temporary
        self.size = size
        self._handle: int | None = None

    def append(self, frames: Sequence[bytes]) -> None:
        """Writes records at the end. A kill after this takes none of them back; a power loss may.

        Raises:
            StoreFull, StoreReadOnly, StoreFailed: if the disk refuses; the file then ends where it did.
        """
        with disk_errors(self.path):
            if not self.size:
                self._begin(frames)
                return
            handle = self._opened()
            try:
                write_all(handle, memoryview(b"".join(frames)))
            except OSError:
                os.ftruncate(handle, self.size)
                raise
            self.size = os.fstat(handle).st_size

    def replace(self, frames: Iterable[bytes]) -> None:
        """Puts a file of these records in place, durably, or leaves the one that is there.

        Raises:
            StoreFull, StoreReadOnly, StoreFailed: if the disk refuses.
        """
        with disk_errors(self.path):
            self._begin(frames)

    def sync(self) -> None:
        """Makes durable what was appended.

        Raises:
            StoreFull, StoreFailed: if the disk refuses.
        """
        if self._handle is not None:
            with disk_errors(self.path):
                os.fdatasync(self._handle)

    def close(self) -> None:
        """Closes the file; safe to call twice."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _begin(self, frames: Iterable[bytes]) -> None:
        for folder in (self.path.parent, self._temporary):
            make_folder(folder)
        data = b"".join([MAGIC, *frames])
        replace_durably(self.path, data, self._temporary)
        self.close()
        self.size = len(data)

    def _opened(self) -> int:
        if self._handle is None:
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            try:
                if os.fstat(handle).st_size != self.size:
                    os.ftruncate(handle, self.size)
            except BaseException:
                os.close(handle)
                raise
            self._handle = handle
        return self._handle


def of_batch(batch: Batch) -> dict[str, Any]:
    """Returns a batch of entries as plain values and bytes."""
    return {
        "kinds": [list(kind) for kind in batch.kinds],
        "searches": batch.searches,
        "blocks": batch.blocks,
        "manifests": batch.manifests,
        "contributions": batch.contributions.tobytes(),
        "entries": batch.entries.tobytes(),
        "keys": [keys.astype("<u8", copy=False).tobytes() for keys in batch.keys],
    }


def to_batch(record: dict[str, Any]) -> Batch:
    """Returns the batch that `of_batch` was given.

    Raises:
        KeyError, TypeError, ValueError: if a program wrote it that had other columns.
    """
    kinds = [
        Kind(space, tuple(choices), tuple(shape), iterations) for space, choices, shape, iterations in record["kinds"]
    ]
    keys = [
        np.frombuffer(data, dtype="<u8").reshape(-1, words_of(kind.choices))
        for kind, data in zip(kinds, record["keys"], strict=True)
    ]
    names = record["searches"], record["blocks"], record["manifests"]
    contributions = np.frombuffer(record["contributions"], dtype=CONTRIBUTION)
    return Batch(kinds, *names, contributions, np.frombuffer(record["entries"], dtype=ENTRY), keys)
