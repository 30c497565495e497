"""What the daemon may be told to do. Each order is checked and journalled by the service; here it is only read."""

from __future__ import annotations

from pathlib import PurePath
from typing import TypeVar

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.api import bodies, paths
from orchestrator.api.context import Context, actor, at_once
from orchestrator.api.errors import ApiError
from orchestrator.api.schemas import Body, ExtendBody, GcBody, NoBody, PriorityBody, SubmitBody
from orchestrator.errors import Problem
from orchestrator.serving.service import Submission

Sent = TypeVar("Sent", bound=Body)

_NOTHING = Problem("", None, "expected weight or priority")
_NOT_NOW = {"full": 507, "read only": 503, "draining": 503, "starting": 503}


class Ordering:
    """The handlers of everything that changes something."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._service = context.service

    async def submit(self, request: Request) -> Response:
        """Takes a search: 201 for one that the store had not seen."""
        body, who = await self._read(request, SubmitBody), actor(request)
        raw, folder = body.spec, body.folder
        if not who.local:
            folders = self._context.config.data_folders
            raw, folder = (
                await to_thread.run_sync(paths.confined, body.spec, body.file, folders, self._service.store.folder),
                None,
            )
        if folder is not None and not PurePath(folder).is_absolute():
            expected = "expected an absolute path"
            raise ApiError(422, "body", "the body is not as expected", [Problem("folder", folder, expected)])
        submission = Submission(raw, body.file, folder, body.weight, body.priority)
        done = await self._service.submit(submission, who)
        self._context.orders += 1
        found = {"search": done.search, "name": done.name, "status": done.status, "new": done.new}
        return at_once(found, 201 if done.new else 200)

    async def pause(self, request: Request) -> Response:
        """Pauses a search."""
        search = await self._named(request)
        await self._service.pause(search, actor(request))
        return self._ordered(search)

    async def resume(self, request: Request) -> Response:
        """Lets a search go on."""
        search = await self._named(request)
        await self._service.resume(search, actor(request))
        return self._ordered(search)

    async def stop(self, request: Request) -> Response:
        """Ends a search in good order."""
        search = await self._named(request)
        await self._service.stop(search, actor(request))
        return self._ordered(search)

    async def prioritise(self, request: Request) -> Response:
        """Changes a search's share."""
        search, body = self._context.search(request), await self._read(request, PriorityBody)
        if body.weight is None and body.priority is None:
            raise ApiError(422, "body", "the body is not as expected", [_NOTHING])
        await self._service.prioritise(search, body.weight, body.priority, actor(request))
        return self._ordered(search)

    async def extend(self, request: Request) -> Response:
        """Raises a search's totals."""
        search, body = self._context.search(request), await self._read(request, ExtendBody)
        await self._service.extend(search, body.totals, actor(request))
        return self._ordered(search)

    async def return_device(self, request: Request) -> Response:
        """Takes a device back into service."""
        device: str = request.path_params["device"]
        await self._read(request, NoBody)
        await self._service.return_device(device, actor(request))
        states = {one.device: one.state for one in self._service.devices()}
        return at_once({"device": device, "state": states.get(device, "in service")})

    async def collect(self, request: Request) -> Response:
        """Collects garbage; on a full disk too, which it may help."""
        body = await bodies.read(request, GcBody, self._context.config.body_bytes)
        return at_once(await self._service.collect(body.delete, body.grace_seconds))

    async def check(self, request: Request) -> Response:
        """Reads the whole store again."""
        await bodies.read(request, NoBody, self._context.config.body_bytes)
        return at_once(await self._service.check())

    async def _named(self, request: Request) -> str:
        search = self._context.search(request)
        await self._read(request, NoBody)
        return search

    async def _read(self, request: Request, model: type[Sent]) -> Sent:
        """Reads the body of an order that is to be journalled.

        Raises:
            ApiError: also if the journal takes none now.
        """
        health = self._service.health()
        if (status := _NOT_NOW.get(health.status)) is not None:
            kind = health.status.replace(" ", "_")
            raise ApiError(status, kind, f"the daemon takes no orders now: {health.reason or health.status}")
        return await bodies.read(request, model, self._context.config.body_bytes)

    def _ordered(self, search: str) -> Response:
        self._context.orders += 1
        name = self._service.history.searches[search].name
        return at_once({"search": search, "name": name, "status": self._context.status(search)})
