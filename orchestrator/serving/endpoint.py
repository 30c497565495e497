"""Where a store's daemon listens: the path of its Unix socket, and the note `run/daemon.json` that leads clients to it.

The kernel takes 107 bytes for a socket's path. A store that lies too deep for that gets a socket with a hashed name in
the user's runtime folder, and the note says which.
"""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from orchestrator.errors import EndpointUnusable
from store.files import disk_errors
from store.records.base import Record

FOLDER = "run"
NOTE = "daemon.json"
SOCKET = "api.sock"
LONGEST_PATH = 107


class Endpoint(Record):
    """Where a daemon can be reached.

    Attributes:
        pid: of the daemon.
        socket: path of its Unix socket.
        tcp: the URL of its TCP port, if it has one.
        token_file: the file with the token for that; readable by the daemon's user alone.
        version: of coldframe.
    """

    pid: int
    socket: str
    tcp: str | None = None
    token_file: str | None = None
    version: str = ""


def socket_path(store: Path, wanted: Path | None = None) -> Path:
    """Returns where the daemon of a store puts its socket; makes the folder, mode 0700, if it is not there.

    Args:
        store: the store's folder.
        wanted: what the configuration says; None for the default.

    Raises:
        EndpointUnusable: if what was configured is too long, its folder cannot be made, or that for short names is not
            this user's own.
    """
    path = (store / FOLDER / SOCKET if wanted is None else wanted).absolute()
    if len(os.fsencode(path)) <= LONGEST_PATH:
        if wanted is None:
            _make(path.parent)
        return path
    if wanted is not None:
        why = f"api.socket is {len(os.fsencode(path))} bytes long; expected a path of {LONGEST_PATH} bytes at most"
        raise EndpointUnusable(str(path), why)
    _make(store.absolute() / FOLDER)
    return own_folder() / f"{hashlib.sha256(os.fsencode(store.absolute())).hexdigest()[:16]}.sock"


def write(store: Path, endpoint: Endpoint) -> None:
    """Leaves the note that leads clients to the daemon; replaces that of the daemon before.

    Raises:
        StoreFull, StoreReadOnly, StoreFailed: if it cannot be written.
    """
    path = store / FOLDER / NOTE
    fresh = path.with_suffix(".new")
    with disk_errors(path):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        fresh.write_text(endpoint.model_dump_json() + "\n", encoding="utf-8")
        fresh.replace(path)


def read(store: Path) -> Endpoint | None:
    """Returns what the note of a store says; None without one.

    The daemon may have ended without removing it: only who connects knows.

    Raises:
        EndpointUnusable: if this user may not read it.
    """
    path = store / FOLDER / NOTE
    try:
        return Endpoint.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None
    except OSError as error:
        raise EndpointUnusable(str(path), f"cannot be read: {error.strerror}") from error


def remove(store: Path) -> None:
    """Takes the note away; says nothing if it is gone, or the disk takes no writes."""
    with suppress(OSError):
        (store / FOLDER / NOTE).unlink()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EndpointUnusable(str(folder), f"cannot be made for the socket: {error.strerror}") from error


def own_folder() -> Path:
    """Returns a folder for sockets whose own place is too deep, which nobody else can put anything into; makes it.

    Raises:
        EndpointUnusable: if what is there is not this user's own.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    folder = Path(runtime) / "coldframe" if os.path.isdir(runtime) else Path(f"/tmp/coldframe-{os.getuid()}")
    _make(folder)
    found = folder.lstat()
    # Others may pass through it to a socket that `api.users` or `api.group` opens to them; no more than that.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o066:
        raise EndpointUnusable(str(folder), "is not a folder of this user's alone (mode 0700); remove it")
    return folder
