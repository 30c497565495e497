"""Heavy work for strategies: calls a named function with plain values and arrays, in a worker.

A function with state is called as `function(arrays, *arguments)` and returns `(arrays, value)`. The arrays, maps by
block and name, come from the store and go there; the value goes to the strategy, with the digest of the arrays.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import entry_points
from inspect import isroutine
from typing import Any, cast

from store.checkpoints import CheckpointStore
from store.records import arrays
from store.records.checkpoints import STATE
from store.records.outcomes import Computed
from store.records.requests import Compute
from trainers.errors import BadRequest, CheckpointMismatch, UnknownComputation
from trainers.heartbeat import heartbeat
from trainers.job import Job

PACKAGES = frozenset({"store", "strategies", "trainers"})
GROUP = "coldframe.computations"


def compute_job(job: Job) -> Computed:
    """Does a computation in a worker, which says that it is alive as long as it is busy.

    Raises:
        BadRequest: if the job is no computation.
        UnknownComputation, NotCanonical: as `compute`.
        CheckpointMismatch: if the state to start from is a checkpoint of something else.
        ManifestMissing, ManifestCorrupt, BlobMissing, BlobCorrupt, StoreFailed: if it cannot be read.
    """
    request = job.request
    if not isinstance(request, Compute):
        raise BadRequest(f"{request.kind} is no computation")
    with heartbeat(lambda: job.alive(0, 0, 0)):
        return _compute_from(request, job.checkpoints) if request.stateful else compute(request)


def compute(request: Compute) -> Computed:
    """Calls a function without state and returns what it gives.

    Raises:
        UnknownComputation: if the function is not ours, not registered under `coldframe.computations`, or not there.
        NotCanonical: if it returns something other than plain finite values and arrays.
    """
    function = resolve(request.function)
    return Computed(value=arrays.pack(function(*arrays.unpack(request.arguments))))


def _compute_from(request: Compute, checkpoints: CheckpointStore) -> Computed:
    function = resolve(request.function)
    before = None if request.state is None else _load(request.state, checkpoints)
    after, value = function(before, *arrays.unpack(request.arguments))
    # The request stands where a training has its candidate: two computations never share a manifest, so that one can
    # go when only the other is needed.
    state = checkpoints.save(
        candidate=request.key,
        epoch=0,
        step=0,
        history=(),
        sums={},
        position="{}",
        tensors={STATE: arrays.checked_blocks(after)},
    )
    return Computed(value=arrays.pack(value), state=state)


def _load(state: str, checkpoints: CheckpointStore) -> dict[str, Any]:
    loaded = checkpoints.load(state)
    if set(loaded.tensors) - {STATE}:
        raise CheckpointMismatch(state, "the computation", "it is not a state of")
    return loaded.tensors.get(STATE, {})


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
