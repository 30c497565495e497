"""What a strategy may ask for. A request's key is the digest of what was asked, and nothing else."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field

from store.records.base import Record, digest
from store.records.candidates import Candidate


class _Request(Record):
    @cached_property
    def key(self) -> str:
        """The digest under which the outcome is kept, across searches; also the job's id.

        The candidate enters by its own digest, which is computed once for all requests about it.
        """
        asked = {name: getattr(self, name) for name in type(self).model_fields}
        if "candidate" in asked:
            asked["candidate"] = asked["candidate"].id
        return digest(asked)


class Train(_Request):
    """Train a candidate to a total of `epochs`, from its newest earlier checkpoint if there is one."""

    kind: Literal["train"] = "train"
    candidate: Candidate
    epochs: int = Field(ge=1)


class Evaluate(_Request):
    """Score a candidate's architecture on a split, with the weights of a given checkpoint."""

    kind: Literal["evaluate"] = "evaluate"
    candidate: Candidate
    checkpoint: str = Field(description="digest of the manifest whose weights are used")
    split: Literal["validation", "train", "test"] = Field(
        default="validation", description="test: only for a candidate that was trained on all training images"
    )


class Measure(_Request):
    """Count a candidate's parameters and multiply-adds; with a device, also its latency there."""

    kind: Literal["measure"] = "measure"
    candidate: Candidate
    device: str | None = Field(default=None, description="measure latency on this device, e.g. `cpu`")


class Compute(_Request):
    """Run a registered pure function on plain values and arrays, off the event loop."""

    kind: Literal["compute"] = "compute"
    function: str = Field(description="`package.module:function`, registered on the server")
    arguments: bytes = Field(description="canonical msgpack of the arguments")
    stateful: bool | None = Field(
        default=None, description="the function takes and returns arrays too, which stay in the store: `Computed.state`"
    )
    state: str | None = Field(default=None, description="digest of the state that it starts from")

    @property
    def candidate(self) -> None:
        """A computation concerns no candidate."""


Request = Annotated[Train | Evaluate | Measure | Compute, Field(discriminator="kind")]
AnyRequest = Train | Evaluate | Measure | Compute


def describe(request: AnyRequest) -> str:
    """A few words for people: `train 3f2a1b to 20`."""
    match request:
        case Train(candidate=candidate, epochs=epochs):
            return f"train {candidate.id[:8]} to {epochs}"
        case Evaluate(candidate=candidate) | Measure(candidate=candidate):
            return f"{request.kind} {candidate.id[:8]}"
        case Compute(function=function):
            return f"compute {function}"


def json_safe(value: Any) -> Any:
    """Turns bytes into hexadecimal text, for printing a record as JSON."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: json_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(item) for item in value]
    return value
