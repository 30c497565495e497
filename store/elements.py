"""Element types, and blocks: elements of one type in a row, the unit that is named and stored."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from blake3 import blake3

from store.errors import NotCanonical

Array = np.ndarray[Any, np.dtype[Any]]

# Names of element types, and the numpy type that carries them; numpy has no bfloat16, its bits travel as uint16.
DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(name).newbyteorder("<")
    for name in (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64"),
    )
} | {"bfloat16": np.dtype("<u2")}


@dataclass(frozen=True, eq=False)
class Block:
    """Elements of one type in a row: what is named, stored once, and shared.

    Attributes:
        dtype: a key of `DTYPES`.
        data: shape (elements,), contiguous, little-endian.
    """

    dtype: str
    data: Array

    @classmethod
    def of(cls, array: Array, dtype: str | None = None) -> Block:
        """Returns an array, flattened in C order, as a block.

        Args:
            array: any shape; it is copied only if it is not contiguous or not little-endian.
            dtype: what the elements mean where numpy cannot say it: `bfloat16` for uint16.

        Raises:
            NotCanonical: if the store has no such element type.
        """
        name = dtype or dtype_name(array.dtype)
        if name not in DTYPES or DTYPES[name].newbyteorder("=") != array.dtype.newbyteorder("="):
            raise NotCanonical(array.dtype, f"elements of type {name} as {array.dtype}; known are {', '.join(DTYPES)}")
        return cls(name, np.ascontiguousarray(array, dtype=DTYPES[name]).reshape(-1))

    @cached_property
    def digest(self) -> str:
        """The block's name."""
        return block_digest(self.dtype, self.data)

    @property
    def bytes(self) -> memoryview:
        """The elements as bytes."""
        return raw_bytes(self.data)


@cache
def dtype_name(dtype: np.dtype[Any]) -> str:
    """Returns the name of an element type; numpy takes microseconds for it, a checkpoint has thousands of tensors."""
    return dtype.name


def raw_bytes(data: Array) -> memoryview:
    """Returns the bytes of a flat array, without copying."""
    return data.view(np.uint8).data


def block_digest(dtype: str, data: Array) -> str:
    """Returns a block's name: BLAKE3 of its element type, its flat length and its bytes."""
    return blake3(f"{dtype}\0{data.size}\0".encode()).update(raw_bytes(data)).hexdigest()
