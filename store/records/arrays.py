"""Plain values with numpy arrays among them, as canonical msgpack and back."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np

from store.records.base import canonical

_MARK = "__array__"


def pack(value: Any) -> bytes:
    """Returns canonical msgpack of numbers, text, bytes, lists, string-keyed maps and numeric arrays.

    Raises:
        NotCanonical: if something in it is of another type or not finite.
    """
    return canonical(_encode(value))


def unpack(data: bytes) -> Any:
    """Returns what `pack` was given; tuples come back as lists."""
    return msgpack.unpackb(data, raw=False, object_hook=_decode, strict_map_key=False)


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        plain = np.ascontiguousarray(value)
        return {_MARK: plain.dtype.str, "shape": list(value.shape), "data": plain.tobytes()}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: _encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(item) for item in value]
    return value


def _decode(value: dict[str, Any]) -> Any:
    if _MARK not in value:
        return value
    return np.frombuffer(value["data"], dtype=np.dtype(value[_MARK])).reshape(value["shape"]).copy()
