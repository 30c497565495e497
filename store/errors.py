"""What can go wrong in the store.

StoreError
├── NotCanonical
├── NotAKey
├── BadFrame
├── StoreLocked
├── StoreReadOnly
├── StoreFull
├── StoreFailed
├── UnsupportedFormat
├── NotAStore
├── JournalError
│   ├── JournalClosed
│   ├── JournalFailed
│   ├── JournalCorrupt
│   └── JournalTruncated
├── BlobError
│   ├── BlobMissing
│   ├── BlobCorrupt
│   └── InvalidDigest
└── ManifestError
    ├── ManifestMissing
    └── ManifestCorrupt
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

REFUSED = 2
IO_ERROR = 74


class StoreError(Exception):
    """Base of everything that the store raises. Its text says what to do, its class which exit code follows."""

    exit_code = REFUSED


class NotCanonical(StoreError):
    """Raised when a value has no canonical encoding."""

    def __init__(self, value: Any, why: str) -> None:
        super().__init__(f"cannot be stored: {value!r:.200}: {why}")


class NotAKey(StoreError):
    """Raised when tokens are no key of a block in a space."""

    def __init__(self, block: str, tokens: tuple[int, ...], choices: tuple[int, ...]) -> None:
        super().__init__(
            f"block {block!r:.100}: tokens {list(tokens)!r:.200} are no key; expected {len(choices)} of them, each "
            f"from 0 to one less than its choices {list(choices)!r:.200}"
        )


class BadFrame(StoreError):
    """Raised when bytes are not a frame of the worker protocol."""

    def __init__(self, why: str) -> None:
        super().__init__(f"not a frame of the worker protocol: {why}")


class StoreLocked(StoreError):
    """Raised when another process writes to the store. `pid` is None where the holder left no readable note."""

    def __init__(self, folder: Path, pid: int | None, host: str | None, *, same_host: bool) -> None:
        self.pid, self.host = pid, host
        holder = "another process" if pid is None else f"process {pid} on {host}"
        stop = f" or end it with `kill {pid}`" if pid is not None and same_host else ""
        super().__init__(f"{folder} is in use: {holder} writes to it. Wait until it is done{stop}, then try again")


class StoreReadOnly(StoreError):
    """Raised when the store lies where nothing can be written."""

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        super().__init__(
            f"cannot write to {path}: {why}. Make the folder writable for this user, or copy the store to a place "
            "that is; reading commands (list, status, show, check) also work where nothing can be written"
        )


class StoreFull(StoreError):
    """Raised when there is no room. Nothing that was acknowledged is lost, and writing works again with room."""

    exit_code = IO_ERROR

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        super().__init__(f"no room to write {path}: {why}. Free some space (`coldframe gc` removes what nothing needs)")


class StoreFailed(StoreError):
    """Raised when the disk refused to read or to write something that should have worked."""

    exit_code = IO_ERROR

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        super().__init__(f"the disk failed at {path}: {why}. Check the disk, then run `coldframe check`")


class UnsupportedFormat(StoreError):
    """Raised when a store was written in a way that this version does not know."""

    def __init__(self, path: Path, found: str, known: str) -> None:
        super().__init__(f"{path} says {found}, this coldframe knows {known}. Use the coldframe that wrote the store")


class NotAStore(StoreError):
    """Raised when a folder is no store, and cannot become one because something else lies there."""

    def __init__(self, folder: Path, why: str) -> None:
        super().__init__(f"{folder} is not a store: {why}. Name a store, or a new or empty folder to make one")


class JournalError(StoreError):
    """Base of what can be wrong with the journal."""


class JournalClosed(JournalError):
    """Raised when events are given to a journal that was closed or opened for reading."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path} takes no events: {why}")


class JournalFailed(JournalError):
    """Raised when a commit failed in a way that leaves open what the disk holds: this process must end."""

    exit_code = IO_ERROR

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f"writing {path} failed: {why}. Nothing more is acknowledged; check the disk and start again, "
            "all that was acknowledged before is kept"
        )


class JournalCorrupt(JournalError):
    """Raised when a row of the journal, or its head, is not what was written. `sequence` is the first bad row."""

    def __init__(self, path: Path, sequence: int | None, why: str) -> None:
        self.sequence = sequence
        where = "" if sequence is None else f" row {sequence}"
        super().__init__(f"{path}:{where} {why}. {_repair(path)}")


class JournalTruncated(JournalError):
    """Raised when the journal has fewer rows than were acknowledged."""

    def __init__(self, path: Path, rows: int, acknowledged: int) -> None:
        self.rows, self.acknowledged = rows, acknowledged
        super().__init__(f"{path}: only {rows} of {acknowledged} acknowledged rows are there. {_repair(path)}")


def _repair(path: Path) -> str:
    return (
        f"Restore the store from a copy, or run `python -m store.repair {path.parent}` to keep the rows that are sound "
        "(jobs whose rows are lost are done again)"
    )


class BlobError(StoreError):
    """Base of what can be wrong with a block's bytes."""


class BlobMissing(BlobError):
    """Raised when no pack holds a block."""

    def __init__(self, digest: str) -> None:
        self.digest = digest
        super().__init__(f"block {digest} is not in the store; what needs it has to be trained again")


class BlobCorrupt(BlobError):
    """Raised when a block's bytes do not have the digest that names them."""

    def __init__(self, digest: str, pack: Path) -> None:
        self.digest, self.pack = digest, pack
        super().__init__(f"block {digest} is damaged in {pack}; quarantine it, and train again what needs it")


class InvalidDigest(BlobError):
    """Raised when a name is not 64 lower-case hexadecimal digits; such names never reach the file system."""

    def __init__(self, name: object) -> None:
        super().__init__(f"not a digest: {name!r:.100}; expected 64 digits of 0-9 a-f")


class ManifestError(StoreError):
    """Base of what can be wrong with a checkpoint's manifest."""


class ManifestMissing(ManifestError):
    """Raised when no manifest has a digest."""

    def __init__(self, digest: str) -> None:
        self.digest = digest
        super().__init__(f"checkpoint {digest} is not in the store; an earlier one has to be used")


class ManifestCorrupt(ManifestError):
    """Raised when a manifest is damaged, or says something that cannot be."""

    def __init__(self, digest: str, why: str) -> None:
        self.digest = digest
        super().__init__(f"checkpoint {digest} is damaged: {why}; an earlier one has to be used")
