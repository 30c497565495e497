"""uvicorn's HTTP protocol with what it lacks here: who is at the other end, and limits on those who say nothing."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from orchestrator.api.access import Peer
from orchestrator.api.guard import Guard

HEAD_SECONDS = 10.0
"""From a connection, or the answer before, to the end of a request's headers; idle ones are closed sooner."""
CONNECTIONS = 512
"""Of others than the daemon's user: one more is closed at once, so that they cannot take all descriptors."""
_CREDENTIALS = struct.Struct("3i")
_log = logging.getLogger("coldframe.http")
_log.setLevel(logging.ERROR)  # uvicorn warns of each request that is no HTTP: strangers would fill the log


class Protocol(H11Protocol):
    """One connection. `scope["state"]["peer"]` is who the kernel says it is; None on TCP."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.logger = _log
        self.strange = True
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Asks the kernel who is there, once: a connection cannot change hands."""
        super().connection_made(transport)
        known = peer(transport)
        self.app_state = {**self.app_state, "peer": known}
        self.strange = known is None or known.uid not in (os.geteuid(), 0)
        others = sum(isinstance(one, Protocol) and one.strange for one in self.connections)
        if self.strange and others > CONNECTIONS:
            transport.abort()
            return
        self._arm()

    def data_received(self, data: bytes) -> None:
        """Passes bytes on; headers that begin to come must end in time."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._arm()
        else:
            self._disarm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the deadline."""
        self._disarm()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP, and counts it."""
        if isinstance(self.app, Guard):
            self.app.unreadable(self.app_state.get("peer"), self.client)
        super().send_400_response(msg)

    def _arm(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def peer(transport: asyncio.BaseTransport) -> Peer | None:
    """Returns who is at the other end of a Unix socket; None for another kind of socket."""
    found = transport.get_extra_info("socket")
    if found is None or found.family != socket.AF_UNIX:
        return None
    return Peer(*_CREDENTIALS.unpack(found.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)))
