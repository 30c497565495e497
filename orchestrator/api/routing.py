"""Finds what answers a request: by the whole path, else by the patterns of the paths that have parameters."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route, compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.api import errors

Methods = dict[str, ASGIApp]


class Routes:
    """An ASGI application without the layers of Starlette's own, which cost more than most answers.

    Attributes:
        routes: what it was made from.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        table: dict[str, Methods] = {}
        for route in self.routes:
            table.setdefault(route.path, {}).update(dict.fromkeys(route.methods or (), route.app))
        self._plain = {path: methods for path, methods in table.items() if "{" not in path}
        self._patterns = [(*compile_path(path), methods) for path, methods in table.items() if "{" in path]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on to what answers it, or answers 404 or 405."""
        methods = self._plain.get(scope["path"])
        if methods is None:
            methods = self._matching(scope)
        app = methods.get(scope["method"])
        if app is None:
            allowed = {"allow": ", ".join(sorted(methods))}
            error = HTTPException(405, headers=allowed) if methods else HTTPException(404)
            app = errors.answer(Request(scope), error)
        await app(scope, receive, send)

    def _matching(self, scope: Scope) -> Methods:
        for pattern, _, convertors, methods in self._patterns:
            found = pattern.match(scope["path"])
            if found is not None:
                scope["path_params"] = {
                    name: convertors[name].convert(text) for name, text in found.groupdict().items()
                }
                return methods
        return {}
