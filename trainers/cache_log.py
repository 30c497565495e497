"""What is known of a cache of decoded images: a file to which a record is added for each chunk that is on the disk.

The file is a sequence of records: the length of the payload (4 bytes, little-endian), the first 16 bytes of its BLAKE3,
and the payload (msgpack). The first is the header. What follows a record that is cut off or damaged does not count, and
of two records of one chunk the later one does.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt
from blake3 import blake3

from trainers.sources import Labels

VERSION = 1
_SUM_BYTES = 16
_LENGTH_BYTES = 4


@dataclass(frozen=True)
class Header:
    """What is to be decoded.

    Attributes:
        labels: (N,) int64 of all images, also of those that turn out to be broken.
        class_names: names of the classes, if they have any.
        shape: (C, H, W) of an image.
        per_chunk: images of a chunk, before the broken ones are left out; the last one may have fewer.
    """

    labels: Labels
    class_names: tuple[str, ...]
    shape: tuple[int, int, int]
    per_chunk: int

    @property
    def row(self) -> int:
        """Bytes of an image."""
        return int(np.prod(self.shape))

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return -(-len(self.labels) // self.per_chunk)

    def part(self, number: int) -> range:
        """Returns the images of a chunk."""
        return range(number * self.per_chunk, min((number + 1) * self.per_chunk, len(self.labels)))


@dataclass(frozen=True)
class Chunk:
    """Some consecutive images that are decoded and on the disk.

    Attributes:
        number: which chunk it is.
        kept: (n,) int64, which of its images were not broken, counted from its first.
        broken: names of the others.
        sums: (n, C, 2) int64, for each image and channel the sum of the bytes and of their squares.
        digest: BLAKE3 of the bytes, as 64 hexadecimal digits.
    """

    number: int
    kept: Labels
    broken: tuple[str, ...]
    sums: npt.NDArray[np.int64]
    digest: str


@dataclass
class Log:
    """The file's content.

    Attributes:
        path: the file.
        header: its first record; none if there is no sound one.
        chunks: those that were decoded, by number.
        end: length of the part that is sound.
    """

    path: Path
    header: Header | None = None
    chunks: dict[int, Chunk] = field(default_factory=dict)
    end: int = 0

    @classmethod
    def read(cls, path: Path) -> Log:
        """Reads what is sound in a file, which need not exist."""
        log = cls(path)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return log
        while (payload := _payload(data, log.end)) is not None and log._take(msgpack.unpackb(payload)):
            log.end += _LENGTH_BYTES + _SUM_BYTES + len(payload)
        return log

    @property
    def complete(self) -> bool:
        """Whether every chunk was decoded."""
        return self.header is not None and len(self.chunks) == self.header.chunks

    @property
    def images(self) -> int:
        """How many images were decoded and are not broken."""
        return sum(len(chunk.kept) for chunk in self.chunks.values())

    @property
    def broken(self) -> tuple[str, ...]:
        """Names of the images that are left out."""
        return tuple(name for number in sorted(self.chunks) for name in self.chunks[number].broken)

    def labels(self) -> Labels:
        """The labels of the images that are not left out, (n,)."""
        if self.header is None:
            return np.zeros(0, np.int64)
        firsts = [self.header.part(number).start for number in sorted(self.chunks)]
        kept = [self.chunks[number].kept for number in sorted(self.chunks)]
        chosen: Labels = np.concatenate([first + each for first, each in zip(firsts, kept, strict=True)])
        return self.header.labels[chosen]

    def sums(self) -> npt.NDArray[np.int64]:
        """For each of these images and each channel the sum of the bytes and of their squares, (n, C, 2)."""
        return np.concatenate([self.chunks[number].sums for number in sorted(self.chunks)])

    def begin(self, header: Header) -> None:
        """Starts the file anew."""
        self.header, self.chunks, self.end = header, {}, 0
        self._append(
            {
                "version": VERSION,
                "labels": header.labels.tobytes(),
                "class_names": list(header.class_names),
                "shape": list(header.shape),
                "per_chunk": header.per_chunk,
            }
        )

    def add(self, chunk: Chunk) -> None:
        """Adds a chunk, whose bytes are durable by now."""
        self.chunks[chunk.number] = chunk
        self._append(
            {
                "number": chunk.number,
                "kept": chunk.kept.tobytes(),
                "broken": list(chunk.broken),
                "sums": chunk.sums.tobytes(),
                "digest": chunk.digest,
            }
        )

    def _append(self, record: dict[str, Any]) -> None:
        payload = msgpack.packb(record)
        data = len(payload).to_bytes(_LENGTH_BYTES, "little") + _sum(payload) + payload
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.ftruncate(handle, self.end)
            write_at(handle, memoryview(data), self.end)
            os.fsync(handle)
        finally:
            os.close(handle)
        self.end += len(data)

    def _take(self, record: dict[str, Any]) -> bool:
        """Adds a record that was read; false if it is of another version."""
        if self.header is None:
            if record.get("version") != VERSION:
                return False
            labels = np.frombuffer(record["labels"], np.int64)
            channels, height, width = record["shape"]
            self.header = Header(labels, tuple(record["class_names"]), (channels, height, width), record["per_chunk"])
            return True
        sums = np.frombuffer(record["sums"], np.int64).reshape(-1, self.header.shape[0], 2)
        kept = np.frombuffer(record["kept"], np.int64)
        chunk = Chunk(record["number"], kept, tuple(record["broken"]), sums, record["digest"])
        self.chunks[chunk.number] = chunk
        return True


def write_at(handle: int, data: memoryview, place: int) -> None:
    """Writes all of a buffer into an open file."""
    while data.nbytes:
        written = os.pwrite(handle, data, place)
        data, place = data[written:], place + written


def _payload(data: bytes, start: int) -> bytes | None:
    """The payload of the record that begins there; none if it is not whole and sound."""
    body = start + _LENGTH_BYTES + _SUM_BYTES
    length = int.from_bytes(data[start : start + _LENGTH_BYTES], "little")
    payload = data[body : body + length]
    return payload if 0 < length == len(payload) and _sum(payload) == data[start + _LENGTH_BYTES : body] else None


def _sum(payload: bytes) -> bytes:
    return blake3(payload).digest()[:_SUM_BYTES]
