"""Prometheus's own port: GET and HEAD of /metrics, without a token; nothing else is there."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import uvicorn
from anyio.abc import TaskStatus
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.errors import EndpointUnusable
from orchestrator.metrics.registry import Metrics
from orchestrator.serving.config import MetricsConfig

PATH = "/metrics"
SEND_SECONDS = 10.0
CONNECTIONS = 32


async def serve(
    config: MetricsConfig, metrics: Metrics, *, task_status: TaskStatus[int | None] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Serves the metrics on their own port until it is cancelled; returns at once if none is configured.

    Args:
        config: where to listen.
        metrics: what is shown.
        task_status: told the port when it is bound, or None if there is none.

    Raises:
        EndpointUnusable: if the address cannot be listened on.
    """
    if config.port is None:
        task_status.started(None)
        return
    with _bound(config.host, config.port) as listening:
        task_status.started(listening.getsockname()[1])
        await _Server(_settings(_only_metrics(metrics.app))).serve([listening])


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: signals are the daemon's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _settings(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=1,
    )


def _only_metrics(app: ASGIApp) -> ASGIApp:
    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        with anyio.move_on_after(SEND_SECONDS):  # a scraper that reads nothing holds no task for longer
            chosen = app if scope["path"] == PATH else PlainTextResponse(f"only {PATH} is here\n", 404)
            await chosen(scope, receive, send)

    return respond


def _bound(host: str, port: int) -> socket.socket:
    listening: socket.socket | None = None
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, kind)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        if listening is not None:
            listening.close()
        raise EndpointUnusable(
            f"metrics: {host}:{port}", f"cannot be listened on: {error.strerror or error}"
        ) from error
    return listening
