"""The journal's events: a page of them as JSON, or all that come as server-sent events."""

from __future__ import annotations

from typing import Final

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.api.access import ANYONE, Refusal
from orchestrator.api.context import JSON, Context, actor
from orchestrator.api.encoding import Encoded
from orchestrator.api.errors import ApiError
from orchestrator.api.feed import Feed, Watcher
from orchestrator.api.operations import whole_number
from orchestrator.errors import Problem
from orchestrator.views import find

PING_SECONDS: Final = 15.0
STUCK_SECONDS: Final = 60.0
"""A watcher that takes nothing for so long is let go; it can come back and go on from where it was."""
LARGEST: Final = 2**63 - 1
MOST, USUAL = 1000, 500
PAGES_READ: Final = 24
"""Of the journal for one page of a single search's events: one that has few of them may be answered with none yet."""
STREAM: Final = "text/event-stream"


class Events:
    """The handler of `/v1/events`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._feed = context.feed

    async def events(self, request: Request) -> ASGIApp:
        """Answers with a page of events, or a stream for who accepts one.

        Raises:
            ApiError: if the position is none, or one of another journal; or if too many watch.
            UnknownSearch: if there is no such search.
        """
        streams = request.method == "GET" and STREAM in request.headers.get("accept", "")
        after = self._after(request, streams)
        name = request.query_params.get("search")
        search = None if name is None else find.search(self._context.service.history, name)
        if not streams:
            return await self._page(after, search, whole_number(request, "limit", USUAL, 1, MOST))
        most = self._context.config.watchers
        if actor(request).name == ANYONE:
            most //= 2  # the others are for those who have the token, or the socket
        if self._feed.watchers >= most:
            message = f"there are {self._feed.watchers} watchers already, as many as api.watchers allows"
            self._context.refused(Refusal(429, "watchers", message), request.scope)
            raise ApiError(429, "watchers", message)
        return EventStream(self._context, after, search)

    def _after(self, request: Request, streams: bool) -> int:
        after = whole_number(request, "after", 0, 0, LARGEST)
        last = request.headers.get("last-event-id", "") if streams else ""
        if last:
            if not last.isascii() or not last.isdigit() or len(last) > 18:
                expected = "expected the number of an event"
                raise ApiError(422, "query", f"Last-Event-ID: {expected}", [Problem("Last-Event-ID", last, expected)])
            after = int(last)
        there = self._context.service.store.journal.count
        if after > there:
            raise ApiError(409, "ahead", f"event {after} is not in this journal: its last one is {there}")
        return after

    async def _page(self, after: int, search: str | None, limit: int) -> Response:
        rows, position = list[Encoded](), after
        for _ in range(PAGES_READ):
            read = await self._feed.read(position)
            for row in read:
                position = row.sequence
                if search is None or row.concerns(search, self._feed.history):
                    rows.append(row)
                    if len(rows) == limit:
                        break
            if not read or len(rows) >= limit:
                break
        events = b",".join(row.json for row in rows)
        return Response(
            b'{"events":[%s],"next":%d,"last":%d}' % (events, position, self._feed.sequence), media_type=JSON
        )


class EventStream:
    """An answer that goes on until the watcher leaves, or the daemon ends."""

    def __init__(self, context: Context, after: int, search: str | None) -> None:
        self._feed: Feed = context.feed
        self._meter = context.meter
        self._after, self._search = after, search

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends what there is and what comes."""
        headers = [(b"content-type", STREAM.encode()), (b"x-accel-buffering", b"no")]
        with self._meter.watching(), self._feed.watch(self._after, self._search) as watcher:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_until_gone, receive, tasks.cancel_scope)
                await _follow(watcher, send)
                tasks.cancel_scope.cancel()
            with anyio.move_on_after(STUCK_SECONDS):
                await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _follow(watcher: Watcher, send: Send) -> None:
    chunk: bytes | None = b"retry: 2000\n\n"
    while chunk is not None:
        with anyio.move_on_after(STUCK_SECONDS) as sending:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if sending.cancelled_caught:
            return
        chunk = b": nothing new\n\n"
        with anyio.move_on_after(PING_SECONDS):
            chunk = await watcher.next()


async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
