"""What is sent when a search is handed in: the spec as it was written, and where its relative paths are taken from."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import Problem, SpecError
from store.records.spec import SearchSpec


def submission(spec: str | Path | Mapping[str, Any] | SearchSpec) -> dict[str, Any]:
    """Returns the body with which a spec is handed in.

    Raises:
        SpecError: if the file cannot be read.
    """
    if isinstance(spec, SearchSpec):
        return {"spec": spec.model_dump(mode="json", exclude_none=True), "folder": str(Path.cwd())}
    if isinstance(spec, Mapping):
        return {"spec": dict(spec), "folder": str(Path.cwd())}
    path = Path(spec)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(str(path), [Problem("file", None, f"cannot be read: {error.strerror}")]) from error
    except (ValueError, RecursionError) as error:
        raise SpecError(str(path), [Problem("file", None, f"is not TOML: {error}")]) from error
    return {"spec": raw, "file": str(path), "folder": str(path.absolute().parent)}
