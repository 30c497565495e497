"""What the API counts: requests, refusals, and the watchers of its stream of events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
REASONS = ("token", "token_in_url", "uid", "host", "origin", "body", "watchers")
"""Why `orchestrator.api` refuses: each begins at 0, so that the first is seen as an increase."""
OTHER = "other"
"""The route of requests that match none: what strangers ask for must not become labels."""


class ApiMeter:
    """Counts what the API does. Every label is one of a fixed few: routes are templates, e.g. `/v1/jobs/{job}`.

    Args:
        registry: where the metrics are shown.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "coldframe_api_requests", "Requests answered by the API.", ["route", "code"], registry=registry
        )
        self._seconds = Histogram(
            "coldframe_api_request_seconds",
            "From a request to the end of its answer; streams of events not.",
            buckets=SECONDS,
            registry=registry,
        )
        self._refused = Counter(
            "coldframe_api_refused",
            "Requests that were turned away before they were looked at, by why.",
            ["reason"],
            registry=registry,
        )
        for reason in REASONS:
            self._refused.labels(reason)
        self._watchers = Gauge("coldframe_api_watchers", "Open streams of server-sent events.", registry=registry)

    def request(self, route: str | None, code: int, seconds: float | None = None) -> None:
        """Counts an answer.

        Args:
            route: the template of the route that matched, or None.
            code: the HTTP status.
            seconds: how long it took; None for a stream.
        """
        self._requests.labels(route or OTHER, str(code)).inc()
        if seconds is not None:
            self._seconds.observe(seconds)

    def refused(self, reason: str) -> None:
        """Counts a request that was turned away, for one of `REASONS`."""
        self._refused.labels(reason).inc()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Counts a stream of events for as long as it is open."""
        self._watchers.inc()
        try:
            yield
        finally:
            self._watchers.dec()
