"""What is sent when a search is handed in: the spec as it was written, and where its relative paths are taken from."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import Problem, SpecError
from store.records.spec import SearchSpec


def submission(spec: str | Path | Mapping[str, Any] | SearchSpec) -> dict[str, Any]:
    """Returns the body with which a spec is handed in.

    Raises:
        SpecError: if the file cannot be read, or holds what cannot be sent.
    """
    if isinstance(spec, SearchSpec):
        return {"spec": spec.model_dump(mode="json", exclude_none=True), "folder": str(Path.cwd())}
    if isinstance(spec, Mapping):
        return {"spec": sendable("spec", spec), "folder": str(Path.cwd())}
    path = Path(spec)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(str(path), [Problem("file", None, f"cannot be read: {error.strerror}")]) from error
    except (ValueError, RecursionError) as error:
        raise SpecError(str(path), [Problem("file", None, f"is not TOML: {error}")]) from error
    return {"spec": sendable(str(path), raw), "file": str(path), "folder": str(path.absolute().parent)}


def sendable(what: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a body that JSON can carry as it is.

    Args:
        what: the body is called in messages.
        body: maps and lists of plain values.

    Raises:
        SpecError: naming every key whose value JSON cannot carry: numbers that are not finite, dates, other objects.
    """
    if problems := list(_unsendable(body)):
        raise SpecError(what, problems)
    return dict(body)


def _unsendable(body: Mapping[str, Any]) -> Iterator[Problem]:
    waiting: list[tuple[str, Any]] = [("", body)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += [(f"{key}.{name}" if key else str(name), item) for name, item in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [(f"{key}.{place}", item) for place, item in enumerate(value)]
        elif isinstance(value, float) and not math.isfinite(value):
            yield Problem(key, value, "expected a finite number")
        elif value is not None and not isinstance(value, str | int | float):
            yield Problem(key, str(value), "expected text, a number, true or false, a list or a table")
