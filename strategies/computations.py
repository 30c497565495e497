"""Computations in simulated worlds: the functions are called in this process, and their states are kept in memory."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from store.records import arrays
from store.records.base import digest
from store.records.outcomes import Computed
from store.records.requests import Compute

NEWEST = 4
"""So many states are kept: a search goes on from its last one, and an agent's networks take megabytes."""


class Computations:
    """What the computations of a world left behind.

    A state is named by its arrays and by the request that made it, as a worker's manifest is. An older one than the
    newest few is made again when it is asked for, by the same request: the functions are pure.
    """

    def __init__(self) -> None:
        self._newest: dict[str, bytes] = {}
        self._made_by: dict[str, Compute] = {}

    def answer(self, request: Compute) -> Computed:
        """Calls the function and returns what it gives; what it raises is raised.

        Raises:
            LookupError: if it starts from a state that no computation of this world has made.
        """
        function, arguments = _function(request.function), arrays.unpack(request.arguments)
        if not request.stateful:
            return Computed(value=arrays.pack(function(*arguments)))
        before = None if request.state is None else arrays.unpack(self._state(request.state))
        after, value = function(before, *arguments)
        kept = arrays.pack(arrays.checked_blocks(after))
        return Computed(value=arrays.pack(value), state=self._keep(request, kept))

    def _state(self, wanted: str) -> bytes:
        """Returns a state, made again if it is no longer kept, from the newest one before it that is."""
        chain = [wanted]
        while chain[-1] not in self._newest:
            maker = self._made_by.get(chain[-1])
            if maker is None:
                raise LookupError(f"no computation has made the state {chain[-1][:12]}")
            if maker.state is None:
                break
            chain.append(maker.state)
        for state in reversed(chain):
            if state not in self._newest:
                self.answer(self._made_by[state])
        return self._newest[wanted]

    def _keep(self, request: Compute, state: bytes) -> str:
        name = digest([request.key, state])
        self._made_by[name] = request
        self._newest.pop(name, None)
        self._newest[name] = state
        while len(self._newest) > NEWEST:
            del self._newest[next(iter(self._newest))]
        return name


def _function(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found
