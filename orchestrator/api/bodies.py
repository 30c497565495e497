"""Bodies of requests: read up to a limit, parsed, and checked to be no deeper than a store takes, and of sound text."""

from __future__ import annotations

import json
from typing import Any, Never, TypeVar

import anyio
from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request

from orchestrator.api.errors import ApiError
from orchestrator.errors import Problem
from store.records.base import Config

BODY_SECONDS = 30.0
DEEPEST = 32

Body = TypeVar("Body", bound=Config)


async def read(request: Request, model: type[Body], most: int) -> Body:
    """Reads the body of a request.

    Args:
        request: of which nothing has been read.
        model: what it must be.
        most: bytes.

    Raises:
        ApiError: if it is too long, too slow, no JSON, or not what it must be.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    raw = await _bytes(request, most)
    if kind != "application/json" and (raw or kind):
        raise ApiError(415, "media_type", f"the body is {kind or 'of no kind'}: expected application/json")
    value = _parsed(raw)
    if not isinstance(value, dict):
        raise ApiError(422, "body", "the body is not as expected", [Problem("", None, "expected an object")])
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems = [
            Problem(".".join(map(str, detail["loc"])), detail["input"], detail["msg"])
            for detail in error.errors(include_url=False)
        ]
        raise ApiError(422, "body", "the body is not as expected", problems) from error


async def _bytes(request: Request, most: int) -> bytes:
    parts, size = list[bytes](), 0
    try:
        with anyio.fail_after(BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise ApiError(413, "too_long", f"the body is longer than api.body_bytes = {most}", close=True)
                parts.append(part)
    except TimeoutError as error:
        raise ApiError(408, "too_slow", f"the body was not there within {BODY_SECONDS:.0f} s", close=True) from error
    except ClientDisconnect as error:
        raise ApiError(400, "malformed", "the body ended before its end", close=True) from error
    return b"".join(parts)


def _parsed(raw: bytes) -> Any:
    if not raw:
        return {}
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_refuse)
    except RecursionError as error:
        raise ApiError(400, "malformed", f"the body is nested more than {DEEPEST} deep") from error
    except ValueError as error:  # no UTF-8, no JSON, a number of more than 4,300 digits, a NaN
        raise ApiError(400, "malformed", f"the body is not JSON: {error}") from error
    _check(value)
    return value


def _refuse(constant: str) -> Never:
    raise ValueError(f"{constant} is not JSON")


def _check(value: Any) -> None:
    waiting = [(value, 1)]
    while waiting:
        found, depth = waiting.pop()
        if depth > DEEPEST:
            raise ApiError(400, "malformed", f"the body is nested more than {DEEPEST} deep")
        if isinstance(found, dict):
            waiting += [(item, depth + 1) for pair in found.items() for item in pair]
        elif isinstance(found, list):
            waiting += [(item, depth + 1) for item in found]
        elif isinstance(found, str) and ("\0" in found or not _is_text(found)):
            raise ApiError(400, "malformed", "a text in the body holds a NUL, or half a character")
        elif isinstance(found, float) and found in (float("inf"), float("-inf")):
            raise ApiError(400, "malformed", "a number in the body is larger than a float can be")


def _is_text(found: str) -> bool:
    try:
        found.encode()
    except UnicodeEncodeError:
        return False
    return True
