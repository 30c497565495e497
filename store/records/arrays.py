"""Plain values with numpy arrays among them, as canonical msgpack and back."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np

from store.errors import NotCanonical
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


def checked_blocks(value: Any) -> dict[str, dict[str, np.ndarray[Any, Any]]]:
    """Returns the arrays that a computation leaves behind, if they are what the store can give back just so.

    Raises:
        NotCanonical: if they are anything but numeric arrays by block and name, no block of them empty.
    """
    if not isinstance(value, dict) or not all(_is_block(name, block) for name, block in value.items()):
        raise NotCanonical(value, "expected numeric arrays as {block: {name: array}}, in every block one at least")
    return value


def _is_block(name: Any, block: Any) -> bool:
    return (
        isinstance(name, str)
        and isinstance(block, dict)
        and len(block) > 0
        and all(
            isinstance(key, str) and isinstance(array, np.ndarray) and array.dtype.kind in "biuf"
            for key, array in block.items()
        )
    )


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
