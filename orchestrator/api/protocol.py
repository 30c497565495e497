"""uvicorn's HTTP protocol with what it lacks here: who is at the other end, and limits on what strangers may send."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from orchestrator.api.access import Peer
from orchestrator.api.guard import HEADER_BYTES, Guard

HEAD_SECONDS = 10.0
"""From a connection, or the answer before, to the end of a request's headers; idle ones are closed sooner."""
CONNECTIONS = 512
"""Of others than the daemon's user: one more is closed at once, so that they cannot take all descriptors."""
PIPELINED = 16
"""Requests that wait on a connection for the answers before theirs; one more and it is closed."""
_CREDENTIALS = struct.Struct("3i")
_log = logging.getLogger("coldframe.http")
_log.setLevel(logging.ERROR)  # uvicorn warns of each request that is no HTTP: strangers would fill the log


class Protocol(HttpToolsProtocol):
    """One connection. `scope["state"]["peer"]` is who the kernel says it is; None on TCP."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.logger = _log
        self.strange = True
        self._in_head, self._useless = True, 0
        self._running: RequestResponseCycle | None = None
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
        """Passes bytes on; headers, and what stands around pieces of a body, must end, and headers in time."""
        if self.transport.is_closing():
            return
        self._useless += len(data)
        super().data_received(data)
        if self._useless > HEADER_BYTES and not self.transport.is_closing():
            self.send_400_response("The headers are too long.")
        elif self._is_answered() and self.timeout_keep_alive_task is None:
            self._arm()
        else:
            self._disarm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells whoever answers, also where more requests have come since; uvicorn tells the latest alone."""
        self._disarm()
        self.pipeline.clear()
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Takes a header; none that comes after the body, where it would pass for one of the next request."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Lets the request be answered, or wait for its turn, if not too many wait."""
        self._in_head, self._useless = False, 0
        if len(self.pipeline) >= PIPELINED:
            self.transport.abort()
        if not self.transport.is_closing():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Takes a piece of a body."""
        self._useless = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Takes note that the next bytes are headers."""
        self._in_head, self._useless = True, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Gives what is left of a body that nobody reads as long as headers, and no longer."""
        super().on_response_complete()
        if not self._in_head:
            self._arm()

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP, and counts it; ends the connection where that would run into another answer."""
        if isinstance(self.app, Guard):
            self.app.unreadable(self.app_state.get("peer"), self.client)
        own = not self._in_head and self._running is self.cycle and not self.cycle.response_started
        if own:  # it is the body that is malformed: whoever waits for the rest is told that none comes
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if own or self._is_answered():
            super().send_400_response(msg)
        else:
            self.transport.abort()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _is_answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

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
