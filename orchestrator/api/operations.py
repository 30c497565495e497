"""An operation of the API: one entry of the table from which routes and the OpenAPI description are made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.api import errors
from orchestrator.api.errors import ApiError
from orchestrator.api.schemas import Body
from orchestrator.errors import Problem

Handler = Callable[[Request], Awaitable[ASGIApp]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value in the query, or a header, that an operation takes."""

    name: str
    about: str
    schema: dict[str, Any]
    place: Literal["query", "header"] = "query"


@dataclass(frozen=True, slots=True)
class Operation:
    """What is asked, how, and what is answered.

    Attributes:
        method: GET, POST or PUT. A GET changes nothing.
        path: with its parameters in braces.
        about: a sentence.
        handler: answers.
        answer: the shape of the JSON; None if it is `media` instead.
        body: the shape of what is sent.
        parameters: in the query.
        statuses: that it answers beside 200 and those that every operation may.
        media: the types that are answered, beside JSON.
    """

    method: Literal["GET", "POST", "PUT"]
    path: str
    about: str
    handler: Handler
    answer: type[BaseModel] | None = None
    body: type[Body] | None = None
    parameters: tuple[Parameter, ...] = ()
    statuses: tuple[int, ...] = ()
    media: tuple[str, ...] = ()

    def route(self) -> Route:
        """Returns the route, whose errors are answered as JSON."""
        return Route(self.path, _Endpoint(self), methods=[self.method])


class _Endpoint:
    """An operation as an ASGI application."""

    def __init__(self, operation: Operation) -> None:
        self._operation = operation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["route"] = self._operation.path
        request = Request(scope, receive)
        try:
            answer = await self._operation.handler(request)
        except Exception as error:
            answer = errors.answer(request, error)
        await answer(scope, receive, send)


def whole_number(request: Request, name: str, default: int, least: int, most: int) -> int:
    """Returns an integer of the query.

    Raises:
        ApiError: if it is none, or out of bounds.
    """
    text = request.query_params.get(name)
    if text is None:
        return default
    expected = f"expected an integer from {least} to {most}"
    if not text.isascii() or not text.isdigit() or len(text) > 19 or not least <= int(text) <= most:
        raise ApiError(422, "query", f"{name} in the query: {expected}", [Problem(name, text, expected)])
    return int(text)
