"""Listens on the Unix socket and, if configured, on TCP, inside the daemon's event loop."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib import metadata
from pathlib import Path

import anyio
import uvicorn
from anyio.abc import TaskStatus
from starlette.types import ASGIApp

from orchestrator.api import sockets, tokens
from orchestrator.api.application import application
from orchestrator.api.feed import Feed
from orchestrator.api.meter import Meter, Uncounted
from orchestrator.api.protocol import Protocol
from orchestrator.serving import endpoint
from orchestrator.serving.config import ApiConfig
from orchestrator.serving.endpoint import Endpoint
from orchestrator.serving.service import Service

END_SECONDS = 3
"""From the end of the streams to that of the connections whose answers are still on their way."""
IDLE_SECONDS = 30
"""A connection that asks nothing for so long is closed."""


async def serve(
    service: Service,
    feed: Feed,
    metrics: ASGIApp,
    meter: Meter | None = None,
    *,
    task_status: TaskStatus[Endpoint] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serves the API until it is cancelled; then ends its streams at once, and the rest within seconds.

    Args:
        service: the daemon.
        feed: an observer of it.
        metrics: what answers /metrics.
        meter: counts answers and refusals.
        task_status: told where it listens, once it does; the note of `serving.endpoint` is written by then.

    Raises:
        EndpointUnusable: if it cannot listen where the configuration says, or the token's file is not safe.
        StoreFull, StoreReadOnly, StoreFailed: if the note cannot be written.
    """
    api, store = service.config.api, service.store.folder
    token = tokens.load(api.tcp.token_file) if api.tcp is not None else None
    app = application(service, feed, metrics, meter or Uncounted(), token)
    with _listening(store, api) as (found, bound):
        server = _Server(_settings(app))
        await server.begin(bound)
        task_status.started(found)
        try:
            await server.main_loop()
        finally:
            feed.close()
            with anyio.CancelScope(shield=True):
                await server.end(bound)


class _Server(uvicorn.Server):
    """uvicorn's server, started and ended by ours, and blind to signals: those drain the daemon."""

    async def begin(self, bound: list[socket.socket]) -> None:
        """Accepts connections from now on."""
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.startup(bound)

    async def end(self, bound: list[socket.socket]) -> None:
        """Lets answers that are on their way end, and closes what does not take its own in time."""
        await self.shutdown(bound)
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()


def _settings(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        loop="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # they would let a request say where it comes from
        server_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=END_SECONDS,
    )


@contextmanager
def _listening(store: Path, api: ApiConfig) -> Iterator[tuple[Endpoint, list[socket.socket]]]:
    """Binds the sockets and leaves the note that leads to them; takes away what it left at the end."""
    path = endpoint.socket_path(store, api.socket)
    with ExitStack() as resources:
        bound = [resources.enter_context(sockets.unix(path, api))]
        resources.callback(_unlink, path)
        if api.tcp is not None:
            bound.append(resources.enter_context(sockets.tcp(api.tcp)))
        found = Endpoint(
            pid=os.getpid(),
            socket=str(path),
            tcp=_url(bound[1]) if api.tcp is not None else None,
            token_file=str(api.tcp.token_file) if api.tcp is not None else None,
            version=metadata.version("coldframe"),
        )
        endpoint.write(store, found)
        resources.callback(endpoint.remove, store)
        yield found, bound


def _url(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if bound.family == socket.AF_INET6 else f"http://{host}:{port}"


def _unlink(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
