"""Frozen records, their canonical bytes, and the one digest that names everything."""

from __future__ import annotations

import math
from typing import Any

import msgpack
from blake3 import blake3
from pydantic import BaseModel, ConfigDict

from store.errors import NotCanonical

DIGEST_LENGTH = 64


class Record(BaseModel):
    """A value that is journalled or sent: immutable, tolerant of fields that a newer version added."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Config(BaseModel):
    """A value that a person wrote: immutable; every unknown key is refused, and so are NaN and the infinities."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def canonical(value: Any) -> bytes:
    """Returns the one msgpack encoding of a value: keys sorted, tuples as arrays, `None` entries of maps left out.

    Leaving `None` out lets a later version add an optional field without changing the name of what is already stored.

    Raises:
        NotCanonical: if the value holds a NaN, an infinity, or a type that msgpack does not carry.
    """
    try:
        return msgpack.packb(plain(value), use_bin_type=True)  # type: ignore[no-any-return]
    except (TypeError, ValueError, OverflowError) as error:
        raise NotCanonical(value, str(error)) from error


def digest(value: Any) -> str:
    """Returns the name of a value: BLAKE3 of its canonical bytes, 64 hexadecimal digits."""
    return blake3(canonical(value)).hexdigest()


# The rest recurses; these are most of what there is, and a manifest has tens of thousands of them.
_LEAVES = frozenset({str, int, bool, bytes, type(None)})


def plain(value: Any) -> Any:
    """Returns what `canonical` encodes: keys sorted, absent values left out, records as maps.

    Raises:
        NotCanonical: if a number in it is not finite.
    """
    if type(value) in _LEAVES:
        return value
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="python")
    if isinstance(value, dict):
        return {key: plain(value[key]) for key in sorted(value) if value[key] is not None}
    if isinstance(value, list | tuple):
        return [item if type(item) in _LEAVES else plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise NotCanonical(value, "it is not finite")
    return value
