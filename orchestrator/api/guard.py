"""Stands before the API: turns away who may not, counts and writes down whom, and puts headers on every answer."""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.api.access import Peer, Refusal, Rules, name_of
from orchestrator.api.encoding import dumps
from orchestrator.api.meter import Meter
from orchestrator.serving.logs import fields

_log = logging.getLogger("coldframe.api")
_audit = logging.getLogger("coldframe.audit")

HEADERS: Final = {
    b"content-security-policy": b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    b"cross-origin-resource-policy": b"same-origin",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
}
"""Of answers that do not bring their own. Styles are those inside a drawing that is opened by itself."""
HEADER_BYTES = 16 << 10
"""Of a request's line and headers together."""
SPARED_SECONDS = 1.0
"""Between two audit lines about the same reason and the same caller; those between are counted."""
CALLERS = 1024


class Guard:
    """ASGI middleware.

    Args:
        app: what is guarded.
        rules: who may.
        body_bytes: the longest body.
        meter: counts answers and refusals.
    """

    def __init__(self, app: ASGIApp, rules: Rules, body_bytes: int, meter: Meter) -> None:
        self._app, self._rules, self._meter = app, rules, meter
        self._body_bytes = body_bytes
        self._lines: dict[tuple[str, str], tuple[float, int]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judges a request and passes it on, or answers it."""
        if scope["type"] != "http":
            return
        judged = self._too_large(scope) or self._rules.judge(scope)
        if not isinstance(judged, Refusal) and self._too_long(scope):
            message = f"the body is longer than api.body_bytes = {self._body_bytes}"
            judged = Refusal(413, "body", message)
        answering = _Answering(scope, send, self._meter)
        try:
            if isinstance(judged, Refusal):
                self.refused(judged, scope)
                await _refuse(judged, answering.send)
            else:
                scope["state"]["actor"] = judged
                await self._app(scope, receive, answering.send)
        finally:
            answering.count()

    def refused(self, refusal: Refusal, scope: Scope) -> None:
        """Counts a refusal, and writes who, how and why into the audit log: no query, no header, no body."""
        self._meter.refused(refusal.reason)
        caller, now = _caller(scope), time.monotonic()
        last, more = self._lines.get((refusal.reason, caller), (-SPARED_SECONDS, 0))
        if now - last < SPARED_SECONDS:
            self._lines[refusal.reason, caller] = (last, more + 1)
            return
        if len(self._lines) >= CALLERS:
            self._lines.clear()
        self._lines[refusal.reason, caller] = (now, 0)
        method, path = scope["method"], ascii(scope["path"][:200])[1:-1]
        found = {"reason": refusal.reason, "status": refusal.status, "caller": caller, "method": method, "path": path}
        line = f"refused {method} {path} of {caller}: {refusal.reason}" + (f", and {more} before" if more else "")
        _audit.warning(line, extra=fields(**found, more=more))

    def unreadable(self, peer: Peer | None, client: Any) -> None:
        """Counts what came over a connection and is no HTTP."""
        scope = {"state": {"peer": peer}, "client": client, "method": "-", "path": "-"}
        self.refused(Refusal(400, "malformed", "what was sent is no HTTP"), scope)

    def _too_large(self, scope: Scope) -> Refusal | None:
        """The protocol limits headers that come in pieces; at once come as many as are read at once."""
        size = len(scope["raw_path"]) + len(scope["query_string"])
        size += sum(len(name) + len(value) for name, value in scope["headers"])
        if size <= HEADER_BYTES:
            return None
        return Refusal(431, "headers", f"address and headers are longer than {HEADER_BYTES} bytes together")

    def _too_long(self, scope: Scope) -> bool:
        lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        return any(not value.isdigit() or int(value[:20]) > self._body_bytes for value in lengths)


class _Answering:
    """An answer on its way: what is added to its headers, and what is counted of it."""

    def __init__(self, scope: Scope, send: Send, meter: Meter) -> None:
        self._scope, self._send, self._meter = scope, send, meter
        self._started = time.monotonic()
        self._status = 0
        self._stream = False

    async def send(self, message: Message) -> None:
        """Passes a message on."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers: list[tuple[bytes, bytes]] = list(message.get("headers", ()))
            there = {name.lower() for name, _ in headers}
            self._stream = (b"content-type", b"text/event-stream") in headers
            message["headers"] = headers + [pair for pair in HEADERS.items() if pair[0] not in there]
        await self._send(message)

    def count(self) -> None:
        """Counts it, once it has ended."""
        seconds = None if self._stream else time.monotonic() - self._started
        self._meter.request(self._scope["state"].get("route"), self._status or 499, seconds)


async def _refuse(refusal: Refusal, send: Send) -> None:
    body = dumps({"error": {"kind": refusal.reason, "message": refusal.message, "exit_code": 2}})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),  # what may still come of the body is not read
    ]
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _caller(scope: Scope) -> str:
    peer: Peer | None = scope["state"].get("peer")
    if peer is not None:
        return f"{name_of(peer.uid)} (uid {peer.uid})"
    client: Any = scope.get("client")
    return str(client[0]) if client else "unknown"
