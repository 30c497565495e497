"""The ASGI application: the operations' routes and the page, behind the guard."""

from __future__ import annotations

from importlib import metadata

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from orchestrator.api import page, table
from orchestrator.api.access import Rules
from orchestrator.api.context import JSON, Context
from orchestrator.api.encoding import dumps
from orchestrator.api.feed import Feed
from orchestrator.api.guard import Guard
from orchestrator.api.meter import Meter
from orchestrator.api.openapi import describe
from orchestrator.api.operations import Operation
from orchestrator.api.routing import Routes
from orchestrator.api.schemas import DescriptionShape
from orchestrator.serving.service import Service

ACCESS = "/v1/access"


def application(service: Service, feed: Feed, metrics: ASGIApp, meter: Meter, token: str | None) -> Guard:
    """Builds the application.

    Args:
        service: the daemon.
        feed: an observer of it.
        metrics: answers /metrics.
        meter: counts answers and refusals.
        token: of the TCP port, if there is one.

    Raises:
        EndpointUnusable: if the configuration names users or a group that are not there.
    """
    context = Context(service, feed, meter)
    operations = table.operations(context, metrics)
    operations.append(_description(operations))
    pages = page.routes()
    routes = Routes([*(operation.route() for operation in operations), *pages])
    public = frozenset({ACCESS, *(route.path for route in pages)})
    guard = Guard(routes, Rules(service.config.api, token, public), service.config.api.body_bytes, meter)
    context.refused = guard.refused
    return guard


def _description(others: list[Operation]) -> Operation:
    body = b""

    async def openapi(request: Request) -> Response:
        nonlocal body
        body = body or await to_thread.run_sync(make)
        return Response(body, media_type=JSON)

    def make() -> bytes:
        return dumps(describe([*others, own], metadata.version("coldframe")))

    own = Operation("GET", "/v1/openapi.json", "This description", openapi, DescriptionShape)
    return own
