"""Listens on the Unix socket and, if configured, on TCP, inside the daemon's event loop."""

from __future__ import annotations

import anyio
from anyio.abc import TaskStatus
from starlette.types import ASGIApp

from orchestrator.api.feed import Feed
from orchestrator.api.meter import Meter
from orchestrator.errors import EndpointUnusable
from orchestrator.serving.endpoint import Endpoint
from orchestrator.serving.service import Service


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
    """
    raise EndpointUnusable("the API", "is not there yet")
