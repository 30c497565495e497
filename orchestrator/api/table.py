"""Every operation of the API, in one table: what is not in it is not there."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp

from orchestrator.api import schemas
from orchestrator.api.context import Context
from orchestrator.api.events import LARGEST, MOST, STREAM, USUAL, Events
from orchestrator.api.operations import Operation, Parameter
from orchestrator.api.ordering import Ordering
from orchestrator.api.reading import LARGEST_OFFSET, WIDEST, Reading

_TEXT = "text/plain"
_WIDTH = Parameter(
    "width", "columns of tables, for text", {"type": "integer", "minimum": 20, "maximum": WIDEST, "default": 200}
)
_EVENTS = (
    Parameter(
        "after",
        "events after this sequence number",
        {"type": "integer", "minimum": 0, "maximum": LARGEST, "default": 0},
    ),
    Parameter("search", "only what concerns this search: name, or 4 or more digits of its id", {"type": "string"}),
    Parameter(
        "limit",
        "events in a page; a stream has no limit",
        {"type": "integer", "minimum": 1, "maximum": MOST, "default": USUAL},
    ),
)
_OFFSET = Parameter(
    "offset",
    "in bytes; `X-End` of an answer is the next one",
    {"type": "integer", "minimum": 0, "maximum": LARGEST_OFFSET, "default": 0},
)


def operations(context: Context, metrics: ASGIApp) -> list[Operation]:
    """Returns all operations but the description of them."""
    return [*_daemon(context, metrics), *_searches(context), *_orders(context), *_jobs(context)]


def _daemon(context: Context, metrics: ASGIApp) -> list[Operation]:
    read, order, events = Reading(context), Ordering(context), Events(context)

    async def shown(request: Request) -> ASGIApp:
        return metrics

    return [
        Operation("GET", "/v1/version", "Version of coldframe and Python", read.version, schemas.VersionShape),
        Operation("GET", "/v1/health", "How the daemon is", read.health, schemas.HealthShape),
        Operation("GET", "/v1/access", "What whoever asks may do", read.access, schemas.AccessShape),
        Operation("GET", "/v1/devices", "Devices, as the daemon sees them", read.devices, schemas.DevicesShape),
        Operation(
            "POST",
            "/v1/devices/{device}/return",
            "Take a device back into service",
            order.return_device,
            schemas.ReturnedShape,
            schemas.NoBody,
            statuses=(404, 409),
        ),
        Operation("GET", "/v1/workers", "What workers did in the last hour", read.workers, schemas.WorkersShape),
        Operation(
            "GET",
            "/v1/events",
            "The journal's events; as server-sent events for who accepts these, then also those that come",
            events.events,
            schemas.EventsShape,
            parameters=_EVENTS,
            statuses=(404, 409, 429),
            media=(STREAM,),
        ),
        Operation("POST", "/v1/gc", "Collect garbage", order.collect, schemas.ReportShape, schemas.GcBody),
        Operation("POST", "/v1/check", "Read the whole store again", order.check, schemas.ReportShape, schemas.NoBody),
        Operation("GET", "/metrics", "What Prometheus scrapes", shown, media=(_TEXT, "application/openmetrics-text")),
    ]


def _searches(context: Context) -> list[Operation]:
    read, search = Reading(context), "/v1/searches/{search}"
    return [
        Operation("GET", "/v1/searches", "Every search, oldest first", read.searches, schemas.SearchesShape),
        Operation("GET", search, "How far a search is", read.status, schemas.StatusShape, media=(_TEXT,)),
        Operation(
            "GET",
            f"{search}/show",
            "Everything about a search",
            read.show,
            schemas.ShownShape,
            parameters=(_WIDTH,),
            media=(_TEXT,),
        ),
        Operation("GET", f"{search}/why", "What a search waits for", read.why, schemas.WhyShape),
        Operation("GET", f"{search}/result", "Best candidates and history", read.result, schemas.ResultShape),
        Operation("GET", f"{search}/rungs", "Accuracy per rung over time", read.rungs, schemas.RungsShape),
        Operation("GET", f"{search}/candidates", "Candidates' accuracies", read.candidates, schemas.CandidatesShape),
        Operation("GET", f"{search}/failures", "Latest failed attempts", read.failures, schemas.FailuresShape),
        Operation(
            "GET",
            f"{search}/cells/{{rank:int}}.svg",
            "A drawing of one of the best networks",
            read.cell,
            media=("image/svg+xml",),
        ),
    ]


def _orders(context: Context) -> list[Operation]:
    order, search = Ordering(context), "/v1/searches/{search}"
    ordered, none = schemas.OrderedShape, schemas.NoBody
    return [
        Operation(
            "POST",
            "/v1/searches",
            "Hand a search in; one that the store knows goes on",
            order.submit,
            schemas.SubmittedShape,
            schemas.SubmitBody,
            statuses=(201, 404, 409),
        ),
        Operation("POST", f"{search}/pause", "Start nothing of a search any more", order.pause, ordered, none),
        Operation("POST", f"{search}/resume", "Let a search go on", order.resume, ordered, none),
        Operation("POST", f"{search}/stop", "End a search in good order", order.stop, ordered, none),
        Operation(
            "PUT", f"{search}/priority", "Change a search's share", order.prioritise, ordered, schemas.PriorityBody
        ),
        Operation("POST", f"{search}/extend", "Raise a search's totals", order.extend, ordered, schemas.ExtendBody),
    ]


def _jobs(context: Context) -> list[Operation]:
    read = Reading(context)
    return [
        Operation(
            "GET",
            "/v1/show/{what}",
            "Everything about a search, job, checkpoint or candidate",
            read.anything,
            schemas.ShownShape,
            parameters=(_WIDTH,),
            media=(_TEXT,),
        ),
        Operation("GET", "/v1/jobs/{job}", "Everything about a job", read.job, schemas.ShownShape),
        Operation("GET", "/v1/jobs/{job}/story", "What happened to a job", read.story, schemas.StoryShape),
        Operation("GET", "/v1/jobs/{job}/log", "What a job printed", read.log, parameters=(_OFFSET,), media=(_TEXT,)),
    ]
