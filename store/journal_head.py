"""The journal's head: how many rows were acknowledged, and the hash of the last, kept outside SQLite.

SQLite can lose committed rows silently when a bit of its write-ahead log flips; it then opens a shorter, sound-looking
table. The head notices. It is a file of two slots on different pages, written in turn: a write that is torn by a power
loss spoils the slot of the count that was never acknowledged, and the other one still holds. (Measured here, one update
and its `fdatasync`: 0.1 ms; as a new file renamed into place, with the folder fsynced: 0.6 ms.)
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from store.files import TEMPORARY, make_folder, replace_durably

NAME = "journal.head"
NOTHING = bytes(32)
_MAGIC = b"cf-head1"
_BODY = struct.Struct("<8sQ32s")
_SLOT_SIZE = 4096
_SLOT_USED = _BODY.size + 32


class HeadState(NamedTuple):
    """What was acknowledged: the number of rows and the hash of the last (32 zero bytes for none)."""

    rows: int
    hash: bytes


def read_head(folder: Path) -> HeadState | None:
    """Returns the newest sound slot of a store's head file, or None if there is no sound one.

    Raises:
        FileNotFoundError: if there is no head file.
    """
    data = (folder / NAME).read_bytes()
    slots = [_decode(data[start : start + _SLOT_USED]) for start in (0, _SLOT_SIZE)]
    return max((slot for slot in slots if slot is not None), default=None)


def head_damage(folder: Path) -> str:
    """Says what in a store's head file is not as it was written; empty if nothing. One sound slot is enough to go on.

    Raises:
        FileNotFoundError: if there is no head file.
    """
    data = (folder / NAME).read_bytes()
    slots = [data[start : start + _SLOT_SIZE] for start in (0, _SLOT_SIZE)]
    bad = sum(_decode(slot[:_SLOT_USED]) is None or slot[_SLOT_USED:].strip(b"\0") != b"" for slot in slots)
    if len(data) != 2 * _SLOT_SIZE:
        return f"it has {len(data)} bytes instead of {2 * _SLOT_SIZE}"
    return f"{bad} of its 2 slots {'is' if bad == 1 else 'are'} not as written" if bad else ""


def create_head(folder: Path, state: HeadState) -> None:
    """Writes a head file with both slots alike, in place of one that may be there."""
    slot = _encode(state).ljust(_SLOT_SIZE, b"\0")
    make_folder(folder / TEMPORARY)
    replace_durably(folder / NAME, slot + slot, folder / TEMPORARY)


class Head:
    """The head file, open for writing."""

    def __init__(self, folder: Path, state: HeadState) -> None:
        self._handle = os.open(folder / NAME, os.O_RDWR)
        first = _decode(os.pread(self._handle, _SLOT_USED, 0))
        self._next = 1 if first == state else 0

    def write(self, state: HeadState) -> None:
        """Replaces the older slot and waits until it is durable.

        Raises:
            OSError: if the disk refuses. The head on disk is then either the old or the new one.
        """
        data = _encode(state)
        if os.pwrite(self._handle, data, self._next * _SLOT_SIZE) != len(data):
            raise OSError("the head was written in part only")
        os.fdatasync(self._handle)
        self._next = 1 - self._next

    def close(self) -> None:
        """Closes the file."""
        os.close(self._handle)


def _encode(state: HeadState) -> bytes:
    body = _BODY.pack(_MAGIC, state.rows, state.hash)
    return body + blake3(body).digest()


def _decode(slot: bytes) -> HeadState | None:
    if len(slot) != _SLOT_USED or blake3(slot[: _BODY.size]).digest() != slot[_BODY.size :]:
        return None
    magic, count, last = _BODY.unpack(slot[: _BODY.size])
    return HeadState(count, last) if magic == _MAGIC else None
