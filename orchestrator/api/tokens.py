"""The token of the TCP port: 256 random bits in a file that its owner alone can read."""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from pathlib import Path

from orchestrator.errors import EndpointUnusable

BYTES = 32
LEAST_CHARACTERS = 32
"""Of URL-safe base64: 192 bits."""
LONGEST = 4096


def load(path: Path) -> str:
    """Returns the token in a file; makes file and token, mode 0600, if there is none.

    Raises:
        EndpointUnusable: if others can read the file, if it is not this user's, or if its token is too short.
    """
    try:
        return _make(path)
    except FileExistsError:
        return _read(path)
    except OSError as error:
        raise EndpointUnusable(str(path), f"cannot be made for the token: {error.strerror}") from error


def equal(given: str, token: str) -> bool:
    """Compares in a time that does not tell how much of a token is right."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


def _make(path: Path) -> str:
    token = secrets.token_urlsafe(BYTES)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(handle, "w", encoding="ascii") as file:
        file.write(token + "\n")
        file.flush()
        os.fsync(handle)
    return token


def _read(path: Path) -> str:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise EndpointUnusable(str(path), f"cannot be read for the token: {error.strerror}") from error
    with open(handle, encoding="utf-8", errors="replace") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            why = "holds the token and must be a file of this user's, mode 0600: others could have read it; delete it"
            raise EndpointUnusable(str(path), f"{why}, and the daemon makes another")
        token = file.read(LONGEST).strip()
    if len(token) < LEAST_CHARACTERS or not token.isascii() or not token.isprintable() or " " in token:
        why = f"holds a token that cannot be used: expected {LEAST_CHARACTERS} or more ASCII characters on one line"
        raise EndpointUnusable(str(path), why)
    return token
