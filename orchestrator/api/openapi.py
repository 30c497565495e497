"""The OpenAPI 3.1 description, made from the table that the routes are made from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from orchestrator.api.operations import Operation
from orchestrator.api.schemas import ErrorShape

REFERENCE = "#/components/schemas/{model}"
JSON = "application/json"

_PATHS = {
    "search": {"type": "string", "minLength": 1, "description": "name of a search, or 4 or more digits of its id"},
    "job": {"type": "string", "minLength": 1, "description": "4 or more digits of a job's id"},
    "what": {"type": "string", "minLength": 1, "description": "a search's name, or 4 or more digits of any id"},
    "device": {"type": "string", "minLength": 1, "description": "as `/v1/devices` names it, e.g. `cuda:0`"},
    "rank": {"type": "integer", "minimum": 1, "maximum": 1000, "description": "1 is the best"},
}
_STATUSES = {
    200: "As asked",
    201: "The store had not seen the search",
    400: "Not HTTP or JSON as it should be",
    401: "The token is missing or wrong",
    403: "Not allowed: the user, the Host, the Origin, or a token in the URL",
    404: "There is no such thing",
    408: "The body took too long",
    409: "Not in this state; or the name stands for several things",
    413: "The body is too long",
    415: "The body is not JSON",
    422: "What was sent is wrong: `problems` says which key, and what was expected",
    429: "Too many watchers",
    503: "The daemon is starting, ending, or its disk takes no writes",
    507: "The disk is full",
}
_ALWAYS = (401, 403)
_WITH_BODY = (400, 408, 413, 415, 422, 503, 507)


def describe(operations: Iterable[Operation], version: str) -> dict[str, Any]:
    """Returns the description of some operations."""
    table = list(operations)
    models: set[type[BaseModel]] = {ErrorShape}
    models |= {model for one in table for model in (one.answer, one.body) if model is not None}
    _, schemas = models_json_schema(
        [(model, "validation") for model in sorted(models, key=lambda model: model.__name__)],
        ref_template=REFERENCE,
    )
    paths: dict[str, dict[str, Any]] = {}
    for one in table:
        paths.setdefault(_plain(one.path), {})[one.method.lower()] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "coldframe",
            "version": version,
            "summary": "The daemon of an orchestrator for neural architecture search",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _operation(one: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": _identifier(one),
        "summary": one.about,
        "parameters": [*_of_path(one.path), *map(_parameter, one.parameters)],
        "responses": _responses(one),
    }
    if one.body is not None:
        required = any(field.is_required() for field in one.body.model_fields.values())
        found["requestBody"] = {"required": required, "content": {JSON: {"schema": _reference(one.body.__name__)}}}
    return found


def _responses(one: Operation) -> dict[str, Any]:
    good = {JSON: {"schema": _reference(one.answer.__name__)}} if one.answer is not None else {}
    good |= {kind: {"schema": {"type": "string"}} for kind in one.media}
    found = {str(status): {"description": _STATUSES[status], "content": good} for status in (200, *_made(one))}
    bad = {*_ALWAYS, *one.statuses, *(_WITH_BODY if one.body is not None else ())} - {201}
    bad |= {422} if one.parameters else set()
    bad |= {404, 409} if "{search}" in one.path or "{job}" in one.path or "{what}" in one.path else set()
    for status in sorted(bad):
        content = {JSON: {"schema": _reference(ErrorShape.__name__)}}
        found[str(status)] = {"description": _STATUSES[status], "content": content}
    return found


def _made(one: Operation) -> tuple[int, ...]:
    return tuple(status for status in one.statuses if status == 201)


def _of_path(path: str) -> list[dict[str, Any]]:
    names = re.findall(r"{(\w+)(?::\w+)?}", path)
    found = []
    for name in names:
        schema = dict(_PATHS[name])
        about = schema.pop("description")
        found.append({"name": name, "in": "path", "required": True, "description": about, "schema": schema})
    return found


def _parameter(one: Any) -> dict[str, Any]:
    return {"name": one.name, "in": one.place, "required": False, "description": one.about, "schema": one.schema}


def _plain(path: str) -> str:
    """A path without the types that the routes give its parameters."""
    return re.sub(r"{(\w+):\w+}", r"{\1}", path)


def _identifier(one: Operation) -> str:
    words = re.findall(r"\w+", _plain(one.path).removeprefix("/v1"))
    return "_".join([one.method.lower(), *words])


def _reference(name: str) -> dict[str, str]:
    return {"$ref": REFERENCE.format(model=name)}
