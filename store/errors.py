"""What can go wrong in the store.

StoreError
├── NotCanonical
├── BadFrame
├── StoreLocked
├── StoreReadOnly
├── StoreFull
├── UnsupportedFormat
├── NotAStore
├── JournalError
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

from typing import Any


class StoreError(Exception):
    """Base of everything that the store raises. Its text says what to do, its class which exit code follows."""

    exit_code = 2


class NotCanonical(StoreError):
    """Raised when a value has no canonical encoding."""

    def __init__(self, value: Any, why: str) -> None:
        super().__init__(f"cannot be stored: {value!r:.200}: {why}")


class BadFrame(StoreError):
    """Raised when bytes are not a frame of the worker protocol."""

    def __init__(self, why: str) -> None:
        super().__init__(f"not a frame of the worker protocol: {why}")
