"""How much memory of a device jobs of each kind have taken. Pure; a part of the fold of the journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from store.records.base import digest
from store.records.requests import AnyRequest, Compute

KIND_LENGTH = 16


def kind_of(request: AnyRequest) -> str:
    """Names the kind of a request: requests of one kind take about as much memory of a device.

    The same in them are what is asked for, the trainer and its options, the space, the data set, the proxy but for its
    share of the images, and of the recipe the batch, the precision and the auxiliary head; of a computation its
    function.
    """
    if isinstance(request, Compute):
        return digest([request.kind, request.function])[:KIND_LENGTH]
    candidate = request.candidate
    proxy = candidate.proxy.model_dump(exclude={"sample_ratio"})
    recipe = candidate.recipe.model_dump(include={"batch_size", "precision", "auxiliary_weight"})
    trainer = candidate.trainer.model_dump()
    kind = [request.kind, trainer, candidate.space.name, candidate.data.name, proxy, recipe]
    return digest(kind)[:KIND_LENGTH]


class Peaks:
    """The most that a job of each kind has taken."""

    def __init__(self) -> None:
        self._bytes: dict[str, int] = {}

    def need(self, kind: str) -> int | None:
        """Returns the most that a job of a kind has taken, in bytes; None if none was measured."""
        return self._bytes.get(kind)

    def succeeded(self, event: Mapping[str, Any]) -> None:
        """A job has ended; if it was measured, its kind is."""
        kind, peak = event.get("memory_kind"), event.get("peak_bytes")
        if kind is not None and peak is not None:
            self._bytes[kind] = max(peak, self._bytes.get(kind, 0))
