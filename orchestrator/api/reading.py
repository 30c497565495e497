"""What may be asked of the daemon about searches, jobs and itself: the same objects as the commands print."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from orchestrator import answers, summary
from orchestrator.answers import Known
from orchestrator.api import charts, troubles, workers
from orchestrator.api.context import JSON, Context, actor, at_once
from orchestrator.api.encoding import fields
from orchestrator.api.operations import whole_number
from orchestrator.errors import NoNetwork, UnknownId
from orchestrator.serving import joblogs
from orchestrator.views import History, find, part, progress

LARGEST_OFFSET = 2**53
WIDEST = 1000
TOP = 10
TEXT = "text/plain; charset=utf-8"


class Reading:
    """The handlers of everything that is only read, but events."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._service = context.service
        self._version = {"version": metadata.version("coldframe"), "python": platform.python_version()}

    # The daemon

    async def version(self, request: Request) -> Response:
        """Answers `version`."""
        return at_once(self._version)

    async def health(self, request: Request) -> Response:
        """Answers how the daemon is."""
        return at_once(fields(self._service.health()))

    async def access(self, request: Request) -> Response:
        """Answers what whoever asks may do."""
        who, tcp = actor(request), self._context.config.tcp
        may_order = who.local or who.name == "token"
        return at_once({"public_reading": bool(tcp and tcp.public_reading), "token": may_order, "local": who.local})

    async def devices(self, request: Request) -> Response:
        """Answers `devices`."""
        return at_once([fields(device) for device in self._service.devices()])

    async def workers(self, request: Request) -> Response:
        """Answers what workers did in the last hour."""
        return await self._context.kept("workers", lambda known: workers.last_hour(known.history))

    # Searches

    async def searches(self, request: Request) -> Response:
        """Answers `list`."""
        return await self._context.kept("searches", answers.searches)

    async def status(self, request: Request) -> Response:
        """Answers `status`, to who asks for text with the lines that the command prints."""
        search = self._context.search(request)
        if _wants_text(request):
            from orchestrator.rendering import status_lines

            return await self._lines(lambda known: status_lines(known, search))
        return await self._context.kept(("status", search), lambda known: answers.status(known, search))

    async def why(self, request: Request) -> Response:
        """Answers `why`."""
        search = self._context.search(request)

        def told() -> Callable[[], Any]:
            name, waits = self._service.history.searches[search].name, self._service.why(search)
            found = {"status": self._context.status(search)} | answers.waits(search, name, waits)
            return lambda: found

        return Response(await self._context.answers.get(("why", search), self._context.mark, told), media_type=JSON)

    async def result(self, request: Request) -> Response:
        """Answers with a search's best candidates and its history."""
        search = self._context.search(request)
        return await self._context.kept(("result", search), lambda known: answers.result(known, search))

    async def rungs(self, request: Request) -> Response:
        """Answers with the accuracy per rung over time."""
        search = self._context.search(request)

        def make(known: Known) -> Any:
            return {"search": search, "rungs": charts.rungs(progress(known.history, search))}

        return await self._context.kept(("rungs", search), make)

    async def candidates(self, request: Request) -> Response:
        """Answers with the candidates' accuracies, and the best of them."""
        search = self._context.search(request)
        return await self._context.kept(("candidates", search), lambda known: _candidates(known, search))

    async def failures(self, request: Request) -> Response:
        """Answers with the latest failed attempts."""
        search = self._context.search(request)
        return await self._context.kept(("failures", search), lambda known: troubles.latest(known, search))

    async def cell(self, request: Request) -> Response:
        """Answers with a drawing of one of the best networks; `X-Candidate` says of which.

        Raises:
            NoNetwork: if there is none of that rank, or its kind has no drawing.
        """
        search, rank = self._context.search(request), int(request.path_params["rank"])
        told = await self._context.get(("candidates", search), lambda known: _candidates(known, search))
        best = json.loads(told)["top"]
        found = best[rank - 1] if 0 < rank <= len(best) else None
        drawn = await self._context.cells.svg(found["genotype"]) if found is not None else None
        if found is None or drawn is None:
            raise NoNetwork(f"search {self._service.history.searches[search].name!r}", f"has no drawing of rank {rank}")
        return Response(drawn, headers={"X-Candidate": found["candidate"]}, media_type="image/svg+xml")

    # Anything by its id

    async def show(self, request: Request) -> Response:
        """Answers `show` for a search that the path names."""
        return await self._shown(self._context.search(request), request)

    async def anything(self, request: Request) -> Response:
        """Answers `show` for a search, job, checkpoint or candidate."""
        return await self._shown(request.path_params["what"], request)

    async def job(self, request: Request) -> Response:
        """Answers `show` for a job."""
        job = self._context.job(request)
        return await self._kept_part(("job", job), [job], lambda known: answers.show(known, job))

    async def story(self, request: Request) -> Response:
        """Answers `story`."""
        job = self._context.job(request)
        return await self._kept_part(("story", job), [job], lambda known: answers.story(known, job))

    async def log(self, request: Request) -> Response:
        """Answers with what a job printed; `X-End` is the offset to go on from."""
        offset = whole_number(request, "offset", 0, 0, LARGEST_OFFSET)
        job, folder = self._context.job(request), self._service.store.folder
        piece = await to_thread.run_sync(joblogs.read, folder, job, offset)
        return Response(piece.text, headers={"X-End": str(piece.end)}, media_type=TEXT)

    async def _shown(self, text: str, request: Request) -> Response:
        width = whole_number(request, "width", 200, 20, WIDEST)
        maker = partial(_below, text=text, width=width) if _wants_text(request) else partial(answers.show, text=text)
        try:
            kind, name = await to_thread.run_sync(find.anything, self._service.history, text)
        except UnknownId as error:
            if error.found:
                raise
            return await self._stored(text, maker, request)
        if kind in {"checkpoint", "candidate"}:  # a live fold without stories knows too little of them
            return await self._stored(text, maker, request)
        if kind == "job":
            return await self._answer(partial(self._of_jobs, [name], maker), request)
        return await self._answer(partial(maker, self._context.known()), request)

    async def _stored(self, text: str, maker: Callable[[Known], Any], request: Request) -> Response:
        def make() -> Any:
            jobs = part.jobs_with(self._service.store.journal, text) if len(text) >= find.SHORTEST else set[str]()
            return self._of_jobs(sorted(jobs), maker)

        return await self._answer(make, request)

    def _of_jobs(self, jobs: list[str], maker: Callable[[Known], Any]) -> Any:
        return maker(self._with(part.read_jobs(self._service.store.journal, jobs)))

    def _with(self, history: History) -> Known:
        return Known(self._service.store, history, True)

    async def _answer(self, make: Callable[[], Any], request: Request) -> Response:
        if _wants_text(request):
            lines = await to_thread.run_sync(make)
            return Response("".join(f"{line}\n" for line in lines), media_type=TEXT)
        return Response(await self._context.answers.run(make), media_type=JSON)

    async def _lines(self, make: Callable[[Known], Iterator[str]]) -> Response:
        known = self._context.known()
        lines = await to_thread.run_sync(lambda: list(make(known)))
        return Response("".join(f"{line}\n" for line in lines), media_type=TEXT)

    async def _kept_part(self, key: Any, jobs: list[str], make: Callable[[Known], Any]) -> Response:
        return await self._context.kept(key, lambda known: self._of_jobs(jobs, make))


def _below(known: Known, text: str, width: int) -> list[str]:
    from orchestrator.rendering import show_lines

    return list(show_lines(known, text, width))


def _candidates(known: Known, search: str) -> dict[str, Any]:
    view = known.view(search)
    names = ("candidate", "accuracy", "test_accuracy", "epochs", "parameters", "multiply_adds", "origin", "index")
    top = [
        {name: getattr(found, name) for name in names} | {"genotype": summary.genotype(view, found)}
        for found in view.best[:TOP]
    ]
    return {"search": search, "top": top} | charts.candidates(view.candidates)


def _wants_text(request: Request) -> bool:
    wanted = request.headers.get("accept", "")
    return "text/plain" in wanted and "json" not in wanted
