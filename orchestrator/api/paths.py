"""Paths in a spec that comes over TCP: they lie in `api.data_folders`, wherever links lead, and never in the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.errors import Problem, SpecError

_KEYS = (
    ("data", "path"),
    *(
        (*place, *options, "table")
        for place in (("trainer",), ("reference", "trainer"))
        for options in ((), ("options",))
    ),
)


def confined(raw: Mapping[str, Any], file: str, folders: Sequence[Path], store: Path) -> dict[str, Any]:
    """Returns a spec whose paths are resolved and allowed.

    Args:
        raw: the spec as it was sent.
        file: what it is called.
        folders: in which its data and tables must lie.
        store: in which they must not.

    Raises:
        SpecError: naming each path that is not allowed. Whether it exists is not told.
    """
    allowed = [folder.resolve() for folder in folders]
    found, problems = dict(raw), list[Problem]()
    for keys, written in list(_written(raw)):
        path = _resolved(written)
        inside = path is not None and any(path.is_relative_to(folder) for folder in allowed)
        if path is None or not inside or path.is_relative_to(store.resolve()):
            problems.append(Problem(".".join(keys), written, "expected an absolute path in one of api.data_folders"))
        else:
            found = _with(found, keys, str(path))
    if problems:
        raise SpecError(file, problems)
    return found


def _written(raw: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    for keys in _KEYS:
        value: Any = raw
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        if isinstance(value, str):
            yield keys, value


def _resolved(written: str) -> Path | None:
    """Where a path leads; None for one that is relative, or for the daemon's environment to fill in."""
    if not written.startswith("/") or "$" in written:
        return None
    try:
        return Path(written).resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, or a name that no file can have
        return None


def _with(raw: dict[str, Any], keys: Sequence[str], value: str) -> dict[str, Any]:
    if len(keys) == 1:
        return raw | {keys[0]: value}
    return raw | {keys[0]: _with(dict(raw[keys[0]]), keys[1:], value)}
