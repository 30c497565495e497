"""What every operation of the API has at hand."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.answers import Known
from orchestrator.api.access import Refusal
from orchestrator.api.cache import Answers
from orchestrator.api.cells import Cells
from orchestrator.api.encoding import dumps
from orchestrator.api.feed import Feed
from orchestrator.api.meter import Meter
from orchestrator.serving.service import Actor, ServedSearch, Service
from orchestrator.views import find

JSON = "application/json"


class Context:
    """The daemon, its feed, and what answers are kept in.

    Attributes:
        orders: how many orders were given; an answer from before one is not given after it.
    """

    def __init__(self, service: Service, feed: Feed, meter: Meter) -> None:
        self.service, self.feed, self.meter = service, feed, meter
        self.config = service.config.api
        self.answers = Answers()
        self.cells = Cells()
        self.orders = 0
        self._ended: dict[str, tuple[int, dict[str, Any]]] = {}
        self.refused: Callable[[Refusal, Any], None] = lambda refusal, scope: None

    @property
    def mark(self) -> Hashable:
        """What changes with all that people wait for: orders, and what becomes of searches."""
        return self.feed.milestone, self.orders

    def known(self) -> Known:
        """Returns what answers are made from, as it is now."""
        return Known(self.service.store, self.service.history, True, self.served(), self._ended)

    def served(self) -> dict[str, ServedSearch]:
        """Returns what the daemon says of its searches, by id."""
        return {one.search: one for one in self.service.searches()}

    def status(self, search: str) -> str:
        """Returns how a search is, as the daemon says it."""
        served = self.served().get(search)
        return served.status if served else self.service.history.searches[search].status

    def search(self, request: Request) -> str:
        """Returns the id of the search that a path names, by its name or the beginning of its id.

        Raises:
            UnknownSearch: if there is none, or more than one.
        """
        text: str = request.path_params["search"]
        return text if text in self.service.history.searches else find.search(self.service.history, text)

    def job(self, request: Request) -> str:
        """Returns the id of the job that a path names.

        Raises:
            UnknownId: if there is none, or more than one.
        """
        return find.job(self.service.history, request.path_params["job"])

    async def kept(self, key: Hashable, make: Callable[[Known], Any]) -> Response:
        """Answers with what may have been made before; else makes it in a thread, from what is known then."""
        return Response(await self.get(key, make), media_type=JSON)

    async def get(self, key: Hashable, make: Callable[[Known], Any]) -> bytes:
        """Returns as JSON what may have been made before, as `kept`."""
        return await self.answers.get(key, self.mark, lambda: partial(make, self.known()))


def actor(request: Request) -> Actor:
    """Returns who asks, as the guard has found."""
    found: Actor = request.scope["state"]["actor"]
    return found


def at_once(value: Any, status: int = 200) -> Response:
    """Answers with something small, without a thread."""
    return Response(dumps(value), status, media_type=JSON)
