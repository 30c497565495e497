"""The search spaces by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from store.records.base import Config
from store.records.candidates import Named
from strategies.options import read, unknown_name
from strategies.spaces import plugins
from strategies.spaces.base import Space
from strategies.spaces.cell import CellOptions, CellSpace, ZooOptions
from strategies.spaces.mnas import MnasOptions, MnasSpace
from strategies.spaces.nasbench201 import BenchOptions, BenchSpace


class Registered(NamedTuple):
    """What a name stands for: the options it takes, and what makes a space of them."""

    options: type[Config]
    factory: Callable[[Any], Space]


_SPACES: dict[str, Registered] = {
    "cell": Registered(CellOptions, CellSpace),
    "mnas": Registered(MnasOptions, MnasSpace),
    "nasbench201": Registered(BenchOptions, BenchSpace),
    "zoo": Registered(ZooOptions, lambda options: CellSpace(CellOptions(**options.model_dump()))),
}


def register(name: str, options: type[Config], factory: Callable[[Any], Space]) -> None:
    """Adds a space under a name that is free.

    Raises:
        ValueError: if the name is taken.
    """
    if name in _SPACES:
        raise ValueError(f"a space named {name!r} is registered already")
    _SPACES[name] = Registered(options, factory)


def create(named: Named) -> Space:
    """Returns the space that a spec or a candidate names.

    Raises:
        InvalidOptions: if there is no such space, or naming all of its options that are unknown or wrong.
        PluginBroken: if it is a distribution's, and cannot be used.
    """
    entry = _SPACES.get(named.name) or plugins.load(plugins.SPACES, named.name, Registered)
    if entry is None:
        raise unknown_name("space", named.name, [*_SPACES, *plugins.names(plugins.SPACES)])
    return entry.factory(read(entry.options, named.options, "space"))
