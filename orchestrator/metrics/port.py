"""Prometheus's own port: GET and HEAD of /metrics, without a token; nothing else is there."""

from __future__ import annotations

import anyio
from anyio.abc import TaskStatus

from orchestrator.metrics.registry import Metrics
from orchestrator.serving.config import MetricsConfig


async def serve(
    config: MetricsConfig, metrics: Metrics, *, task_status: TaskStatus[int | None] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Serves the metrics on their own port until it is cancelled; returns at once if none is configured.

    Args:
        config: where to listen.
        metrics: what is shown.
        task_status: told the port when it is bound, or None if there is none.

    Raises:
        ConfigError: if the address cannot be listened on.
    """
    if config.port is None:
        task_status.started(None)
        return
    raise NotImplementedError
