"""Decoded images on the disk, memory-mapped: made once, whoever needs them first, and then shared by all workers.

A cache is a folder with `pixels` (the images' bytes, (N, H, C, W), nothing else), `chunks` (what is known of them, see
`trainers.cache_log`), `verified` and `lock`. It is made a chunk at a time: its bytes are fsynced, then its record is. A
kill leaves whole chunks and perhaps a tail that no record speaks of, and the next process goes on after them.

Nothing is mapped before every chunk has been compared with its digest. That it was is what `verified` says; it holds as
long as the file is untouched and the machine has not been started again. A damaged chunk is decoded anew, in place.
Making and mending happen under the lock; using needs none.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from store import caches
from store.errors import StoreFull
from store.files import disk_errors, remove, replace_durably
from store.lock import boot
from trainers.cache_log import Chunk, Header, Log, write_at
from trainers.errors import DataMalformed
from trainers.sources import Labels, Pixels, Source, Told

CHUNK_BYTES = 16 << 20
CHUNK_IMAGES = 512
_PIXELS, _CHUNKS, _VERIFIED = "pixels", "chunks", "verified"

log = logging.getLogger("coldframe.worker")


class Stored(NamedTuple):
    """A split's decoded images.

    Attributes:
        pixels: (n, C, H, W), memory-mapped, without those that are broken.
        labels: (n,) int64.
        class_names: names of the classes, if they have any.
        sums: (n, C, 2) int64, for each image and channel the sum of the bytes and of their squares.
        broken: names of the images that are left out.
    """

    pixels: Pixels
    labels: Labels
    class_names: tuple[str, ...]
    sums: npt.NDArray[np.int64]
    broken: tuple[str, ...]


def stored(folder: Path, source: Callable[[], Source], told: Told) -> Stored:
    """Returns a split's decoded images, made now if they are not there yet.

    Args:
        folder: the cache; the folder above the one that it lies in exists.
        source: opens the split. It is called only if something has to be decoded.
        told: hears how far that is.

    Raises:
        DataError: if the split cannot be read or an image is not what it should be. Chunks that are done stay, unless
            the content can never be used.
        StoreFull: if there is no room for the cache. Chunks that are done stay.
        StoreReadOnly, StoreFailed: if it cannot be written or read.
    """
    found = _verified(folder)
    if found is None:
        with caches.held(folder, lambda: told("waiting for another worker that decodes images", 0, 0)):
            found = _verified(folder) or _Making(folder, source, told).run()
    caches.used(folder)
    return found


class _Making:
    """Makes a cache, or makes it whole; the lock is held."""

    def __init__(self, folder: Path, source: Callable[[], Source], told: Told) -> None:
        self._folder, self._open, self._told = folder, source, told
        self._log = Log.read(folder / _CHUNKS)
        self._source: Source | None = None

    def run(self) -> Stored:
        path = self._folder / _PIXELS
        with disk_errors(path):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            header = self._log.header or self._begin(handle)
            kept = self._all_chunks(handle, header)
            with disk_errors(path):
                os.ftruncate(handle, kept * header.row)
                os.fsync(handle)
                _stamp(self._folder)
        except DataMalformed:
            self._clear()  # this content can never be decoded
            raise
        finally:
            os.close(handle)
        return _mapped(self._folder, self._log)

    def _clear(self) -> None:
        """Removes what was made. The lock stays: others wait for it, or are about to open it in this folder."""
        for name in (_VERIFIED, _CHUNKS, _PIXELS):
            remove(self._folder / name)

    def _begin(self, handle: int) -> Header:
        """Writes down what is to be done, if there is room for it: better to know that before any work is done."""
        source = self._opened()
        row = int(np.prod(source.shape))
        per_chunk = max(1, min(CHUNK_IMAGES, CHUNK_BYTES // row))
        header = Header(source.labels, source.class_names, source.shape, per_chunk)
        disk = os.fstatvfs(handle)
        needed, free = row * len(header.labels), disk.f_bavail * disk.f_frsize
        if needed > free:
            raise StoreFull(self._folder, f"the decoded images take {needed:,} bytes, and {free:,} are free")
        with disk_errors(self._folder):
            self._log.begin(header)
        return header

    def _all_chunks(self, handle: int, header: Header) -> int:
        """Returns how many images there are, less those that are broken."""
        first = 0
        for number in range(header.chunks):
            known = self._log.chunks.get(number)
            if known is not None:
                self._told("checking decoded images", header.part(number).start, len(header.labels))
                if not _is_sound(handle, known, first, header):
                    log.warning("%s: chunk %d is damaged and is decoded anew", self._folder / _PIXELS, number)
                    known = None
            if known is None:
                known = self._decode(handle, number, first, header)
            first += len(known.kept)
        return first

    def _decode(self, handle: int, number: int, first: int, header: Header) -> Chunk:
        part, total = header.part(number), len(header.labels)
        decoded = self._opened().decoded(part, lambda done: self._told("decoding images", done + 1, total))
        raw = decoded.pixels.transpose(0, 2, 1, 3).tobytes()
        chunk = Chunk(number, decoded.kept, decoded.broken, sums(decoded.pixels), blake3(raw).hexdigest())
        with disk_errors(self._folder / _PIXELS):
            write_at(handle, memoryview(raw), first * header.row)
            os.fdatasync(handle)
            self._log.add(chunk)
        return chunk

    def _opened(self) -> Source:
        if self._source is None:
            self._source = self._open()
        return self._source


def _verified(folder: Path) -> Stored | None:
    """What is complete, and was compared with its digests since the file changed and the machine was started."""
    try:
        if json.loads((folder / _VERIFIED).read_bytes()) != _state(folder):
            return None
    except (OSError, ValueError):
        return None
    known = Log.read(folder / _CHUNKS)
    return _mapped(folder, known) if known.complete else None


def _stamp(folder: Path) -> None:
    replace_durably(folder / _VERIFIED, json.dumps(_state(folder)).encode(), folder)


def _state(folder: Path) -> dict[str, object]:
    found = (folder / _PIXELS).stat()
    return {"boot": boot(), "inode": found.st_ino, "size": found.st_size, "changed": found.st_ctime_ns}


def _mapped(folder: Path, known: Log) -> Stored:
    header = known.header
    if header is None or not known.images:
        return Stored(np.zeros((0, 1, 1, 1), np.uint8), np.zeros(0, np.int64), (), np.zeros((0, 1, 2), np.int64), ())
    channels, height, width = header.shape
    pixels = np.memmap(folder / _PIXELS, np.uint8, "r", shape=(known.images, height, channels, width))
    return Stored(pixels.transpose(0, 2, 1, 3), known.labels(), header.class_names, known.sums(), known.broken)


def _is_sound(handle: int, chunk: Chunk, first: int, header: Header) -> bool:
    size = len(chunk.kept) * header.row
    raw = bytearray(size)
    return os.preadv(handle, [raw], first * header.row) == size and blake3(raw).hexdigest() == chunk.digest


def sums(pixels: Pixels) -> npt.NDArray[np.int64]:
    """Returns for each image and channel the sum of the bytes and of their squares, (N, C, 2)."""
    first = pixels.sum(axis=(2, 3), dtype=np.int64)
    second = np.square(pixels, dtype=np.uint16).sum(axis=(2, 3), dtype=np.int64)
    return np.stack([first, second], axis=2)
