"""A user's own code, found through entry points of the distributions that are installed, and loaded when it is named.

Only what is installed where coldframe runs can be named: code never comes with a spec. A plug-in that cannot be used
is an error of whoever names it, not of the program's start.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from strategies.errors import PluginBroken

STRATEGIES = "coldframe.strategies"
SPACES = "coldframe.spaces"
TRAINERS = "coldframe.trainers"
DATASETS = "coldframe.datasets"

Kind = TypeVar("Kind")


def names(group: str) -> tuple[str, ...]:
    """Returns the names that installed distributions register in a group, sorted; loads nothing."""
    return tuple(sorted({point.name for point in _points(group)}))


def load(group: str, name: str, kind: type[Kind]) -> Kind | None:
    """Returns what a distribution registers under a name, or None if none does.

    Args:
        group: one of the groups above.
        name: as a spec has it.
        kind: the class that it must be an instance of.

    Raises:
        PluginBroken: if it cannot be loaded, is of another class, or two distributions register the name; the error
            names entry point and distribution.
    """
    points = [point for point in _points(group) if point.name == name]
    if not points:
        return None
    if len(points) > 1:
        others = " and ".join(_distribution(point) for point in points[1:])
        raise PluginBroken(group, name, _distribution(points[0]), f"{others} registers the name too")
    found = _loaded(points[0])
    if not isinstance(found, kind):
        why = f"{points[0].value} is a {type(found).__name__}; expected a {kind.__module__}.{kind.__name__}"
        raise PluginBroken(group, name, _distribution(points[0]), why)
    return found


@lru_cache
def _points(group: str) -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=group))


@lru_cache
def _loaded(point: EntryPoint) -> object:
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        # It is a user's module: whatever its import raises is told to who asked for it.
        why = f"{point.value} cannot be loaded: {type(error).__name__}: {error}"
        raise PluginBroken(point.group, point.name, _distribution(point), why) from error


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "an unknown distribution"
