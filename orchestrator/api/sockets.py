"""The sockets that the API listens on, bound before anybody is told where."""

from __future__ import annotations

import errno
import grp
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

from orchestrator.errors import EndpointUnusable
from orchestrator.serving.config import ApiConfig, TcpConfig

BACKLOG = 256


def unix(path: Path, config: ApiConfig) -> socket.socket:
    """Binds the Unix socket; one that a dead daemon left behind is taken away first.

    Its mode is 0600 in a folder of mode 0700. With `api.group`, the group may use both; with `api.users`, the file
    system lets everyone connect, and the uid of each connection decides (`access.Rules`).

    Raises:
        EndpointUnusable: if somebody listens there, something else lies there, it cannot be bound, or no group is
            called so.
    """
    group = None if config.group is None else group_id(config.group)
    _clear(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        bound.bind(str(path))
    except OSError as error:
        bound.close()
        raise EndpointUnusable(str(path), f"cannot be listened on: {error.strerror}") from error
    finally:
        os.umask(before)
    try:
        _open_to_others(path, config, group)
    except OSError as error:
        bound.close()
        raise EndpointUnusable(str(path), f"cannot be given to api.group: {error.strerror}") from error
    bound.listen(BACKLOG)
    bound.setblocking(False)
    return bound


def tcp(config: TcpConfig) -> socket.socket:
    """Binds the TCP port.

    Raises:
        EndpointUnusable: if it cannot be.
    """
    place = f"{config.host}:{config.port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise EndpointUnusable(place, f"is no address to listen on: {error.strerror}") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise EndpointUnusable(place, f"cannot be listened on: {error.strerror}") from error
    bound.setblocking(False)
    return bound


def group_id(name: str) -> int:
    """Returns the gid of `api.group`.

    Raises:
        EndpointUnusable: if there is no such group.
    """
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise EndpointUnusable("api.group", f"names {name!r}: there is no such group") from error


def _clear(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise EndpointUnusable(str(path), f"cannot be listened on: {error.strerror}") from error
    if not stat.S_ISSOCK(found.st_mode):
        raise EndpointUnusable(str(path), "is there already and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError as error:
            if error.errno not in (errno.ECONNREFUSED, errno.ENOENT):
                raise EndpointUnusable(str(path), f"is in use: {error.strerror}") from error
        else:
            raise EndpointUnusable(str(path), "is in use: a process listens there")
    with suppress(FileNotFoundError):
        path.unlink()


def _open_to_others(path: Path, config: ApiConfig, group: int | None) -> None:
    folder = 0o700
    if group is not None:
        os.chown(path, -1, group)
        os.chown(path.parent, -1, group)
        folder |= 0o010
        path.chmod(0o660)
    if config.users:
        folder |= 0o011
        path.chmod(0o666)
    if config.socket is None:  # a folder that was configured is its owner's affair
        path.parent.chmod(folder)
