"""Heavy work for strategies: calls a named function with plain values and arrays, in a worker."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import entry_points
from inspect import isroutine
from typing import Any, cast

from store.records import arrays
from store.records.outcomes import Computed
from store.records.requests import Compute
from trainers.errors import UnknownComputation

PACKAGES = frozenset({"store", "strategies", "trainers"})
GROUP = "coldframe.computations"


def compute(request: Compute) -> Computed:
    """Calls the function and returns what it gives.

    Raises:
        UnknownComputation: if the function is not ours, not registered under `coldframe.computations`, or not there.
        NotCanonical: if it returns something other than plain finite values and arrays.
    """
    function = resolve(request.function)
    return Computed(value=arrays.pack(function(*arrays.unpack(request.arguments))))


def resolve(name: str) -> Callable[..., Any]:
    """Returns the function that `package.module:function` names.

    Only public functions that their module defines itself count: what a module merely imports (`os`, `subprocess`)
    cannot be reached through it. Raises as `compute`.
    """
    module_name, _, function_name = name.partition(":")
    if not function_name.isidentifier() or function_name.startswith("_"):
        raise UnknownComputation(name, "expected `package.module:function`")
    if module_name.partition(".")[0] not in PACKAGES and not _is_registered(name):
        raise UnknownComputation(name, f"expected a function of coldframe, or an entry point of the group {GROUP!r}")
    return _find(name, module_name, function_name)


def _is_registered(name: str) -> bool:
    return any(point.value == name for point in entry_points(group=GROUP))


def _find(name: str, module_name: str, function_name: str) -> Callable[..., Any]:
    try:
        function: Any = getattr(importlib.import_module(module_name), function_name, None)
    except ModuleNotFoundError as error:
        raise UnknownComputation(name, str(error)) from error
    if not isroutine(function) or function.__module__ != module_name:
        raise UnknownComputation(name, f"{module_name} defines no function {function_name!r}")
    return cast(Callable[..., Any], function)
