"""Who may ask what: judged from a request's connection and headers alone, before anything else of it is read."""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from starlette.types import Scope

from orchestrator.api import sockets, tokens
from orchestrator.errors import EndpointUnusable
from orchestrator.serving.config import ApiConfig
from orchestrator.serving.service import Actor

ANYONE = "anyone"
"""The name of who reads over TCP without the token."""
READING = frozenset({"GET", "HEAD"})
_SECRETS = frozenset({"token", "access_token"})
_FORBIDDEN = 403
_SEND = "send `Authorization: Bearer TOKEN`"


class Peer(NamedTuple):
    """The process at the other end of a Unix socket, as the kernel tells it (`SO_PEERCRED`)."""

    pid: int
    uid: int
    gid: int


class Refusal(NamedTuple):
    """Why a request is turned away. `reason` is one of a fixed few: it becomes a metric's label."""

    status: int
    reason: str
    message: str


class Rules:
    """The configuration's rules.

    Args:
        config: of the API.
        token: of the TCP port; None if there is no such port.
        public: paths that need no token: the page and its files, which hold nothing of the store.

    Raises:
        EndpointUnusable: if the configuration names users or a group that are not there.
    """

    def __init__(self, config: ApiConfig, token: str | None, public: frozenset[str]) -> None:
        self._token = token
        self._public = public
        self._uids = {os.geteuid(), 0} | {_uid(name) for name in config.users}
        self._group = None if config.group is None else sockets.group_id(config.group)
        self._hosts = frozenset(host.lower() for host in config.tcp.hosts) if config.tcp else frozenset()
        self._reading = config.tcp is not None and config.tcp.public_reading

    def judge(self, scope: Scope) -> Actor | Refusal:
        """Returns who asks, or why the request is refused."""
        headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
        found = {name: _all(headers, name) for name in (b"host", b"origin", b"authorization")}
        if scope["query_string"] and _has_secret(scope["query_string"]):
            return Refusal(_FORBIDDEN, "token_in_url", f"a token never goes into a URL: {_SEND}")
        peer = scope["state"].get("peer")
        if peer is not None:
            return self._local(peer, found[b"origin"])
        return self._remote(scope, found)

    def _local(self, peer: Peer, origins: Sequence[str]) -> Actor | Refusal:
        if not self._admits(peer.uid):
            message = f"user {name_of(peer.uid)} may not use this socket: expected its owner, root, or one of api.users"
            return Refusal(_FORBIDDEN, "uid", message)
        if origins:
            return Refusal(_FORBIDDEN, "origin", "no page of a browser has business on a Unix socket")
        return Actor(name_of(peer.uid), local=True)

    def _remote(self, scope: Scope, found: dict[bytes, list[str]]) -> Actor | Refusal:
        hosts, origins, tokens_ = found[b"host"], found[b"origin"], found[b"authorization"]
        if len(hosts) != 1 or _without_port(hosts[0]) not in self._hosts:
            return Refusal(_FORBIDDEN, "host", "the Host of this request is none of api.tcp.hosts")
        if origins and origins not in ([f"http://{hosts[0]}"], [f"https://{hosts[0]}"]):  # a proxy may speak TLS for us
            return Refusal(_FORBIDDEN, "origin", "this request comes from a page of another origin")
        if tokens_:
            return Actor("token", local=False) if self._knows(tokens_) else _unauthorised("the token is not right")
        public = scope["path"] in self._public or self._reading
        if public and scope["method"] in READING:
            return Actor(ANYONE, local=False)
        return _unauthorised(f"this needs the token: {_SEND}; it is in api.tcp.token_file")

    def _knows(self, given: Sequence[str]) -> bool:
        scheme, _, token = given[0].partition(" ")
        right = self._token is not None and tokens.equal(token.strip(), self._token)
        return len(given) == 1 and scheme.lower() == "bearer" and right

    def _admits(self, uid: int) -> bool:
        return uid in self._uids or (self._group is not None and self._group in _groups(uid))


@lru_cache(maxsize=256)
def name_of(uid: int) -> str:
    """Returns a user's name, or what stands for it where the system knows none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


@lru_cache(maxsize=256)
def _groups(uid: int) -> frozenset[int]:
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return frozenset()
    return frozenset(os.getgrouplist(user.pw_name, user.pw_gid))


def _uid(name: str) -> int:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError as error:
        raise EndpointUnusable("api.users", f"names {name!r}: there is no such user") from error


def _all(headers: Sequence[tuple[bytes, bytes]], wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in headers if name == wanted]


def _has_secret(query: bytes) -> bool:
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    return any(name.lower() in _SECRETS for name, _ in pairs)


def _without_port(host: str) -> str:
    """The host of a Host header, in lower case; empty if it is not a host and at most a port."""
    try:
        parts = urlsplit(f"//{host}")
        port = parts.port
    except ValueError:
        return ""
    name = parts.netloc.lower()
    return name.removesuffix(f":{port}") if port is not None else name


def _unauthorised(message: str) -> Refusal:
    return Refusal(401, "token", message)
