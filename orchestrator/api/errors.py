"""What goes wrong, as the API says it: a status, and `{"error": {kind, message, exit_code, ...}}`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.api.encoding import dumps
from orchestrator.errors import (
    Draining,
    NoNetwork,
    OrchestratorError,
    Problem,
    SpecError,
    TotalLowered,
    UnknownDevice,
    UnknownId,
    UnknownSearch,
    WrongState,
)
from store.errors import BlobMissing, JournalError, ManifestMissing, StoreError, StoreFailed, StoreFull, StoreReadOnly
from strategies.errors import StrategyError
from trainers.errors import TrainerError

EXPECTED = (OrchestratorError, StoreError, StrategyError, TrainerError)
DEFECT = 70
_LONGEST_VALUE = 200

_log = logging.getLogger("coldframe.api")

# The first that fits; what is expected and not here is 422 where the person can mend it (exit code 2), else 500.
_STATUSES: tuple[tuple[type[Exception] | tuple[type[Exception], ...], int], ...] = (
    (Draining, 503),
    (SpecError, 422),
    ((WrongState, TotalLowered), 409),
    ((UnknownDevice, NoNetwork, ManifestMissing, BlobMissing), 404),
    (StoreFull, 507),
    ((Draining, StoreReadOnly, StoreFailed, JournalError), 503),
)


class ApiError(Exception):
    """Raised when the API itself cannot take a request.

    Args:
        status: of HTTP.
        kind: a word for machines.
        message: a sentence for people.
        problems: what is wrong with which key.
        close: end the connection: the rest of what was sent is not read.
    """

    def __init__(
        self, status: int, kind: str, message: str, problems: Sequence[Problem] = (), *, close: bool = False
    ) -> None:
        self.status, self.kind, self.message = status, kind, message
        self.problems, self.close = tuple(problems), close
        super().__init__(message)


def answer(request: Request, error: Exception) -> Response:
    """Returns the answer to a request that ended with an error; one that nobody expected goes into the log."""
    if isinstance(error, ApiError):
        headers = {"connection": "close"} if error.close else None
        return _response(error.status, error.kind, error.message, 2, error.problems, headers)
    if isinstance(error, HTTPException):
        return _response(error.status_code, "http", str(error.detail), 2, (), dict(error.headers or {}))
    if isinstance(error, EXPECTED):
        return _expected(error)
    if isinstance(error, OSError):
        return _response(503, type(error).__name__, f"the disk failed: {error.strerror}", 74)
    _log.error("a request failed: %s %s", request.method, request.scope["state"].get("route"), exc_info=error)
    return _response(500, "Defect", "this is a defect of coldframe; the daemon's log has more", DEFECT)


def _expected(error: Any) -> Response:
    problems = error.problems if isinstance(error, SpecError) else ()
    return _response(status(error), type(error).__name__, str(error), error.exit_code, problems)


def status(error: Exception) -> int:
    """Returns the HTTP status of an error that is expected; 404 for what is unknown, 409 for what is ambiguous."""
    if isinstance(error, UnknownSearch | UnknownId):
        return 409 if error.found else 404
    for kinds, found in _STATUSES:
        if isinstance(error, kinds):
            return found
    return 422 if getattr(error, "exit_code", DEFECT) == 2 else 500


def _response(
    status: int,
    kind: str,
    message: str,
    exit_code: int,
    problems: Sequence[Problem] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    error: dict[str, Any] = {"kind": kind, "message": message, "exit_code": exit_code}
    if problems:
        error["problems"] = [
            {"key": problem.key, "value": _short(problem.value), "expected": problem.expected} for problem in problems
        ]
    return Response(dumps({"error": error}), status, headers, media_type="application/json")


def _short(value: Any) -> Any:
    """A value as it came, if it is short; else the beginning of what it prints."""
    if (
        value is None
        or isinstance(value, bool | int | float)
        or (isinstance(value, str) and len(value) < _LONGEST_VALUE)
    ):
        return value
    return f"{value!r:.{_LONGEST_VALUE}}"
