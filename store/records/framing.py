"""Frames of the worker protocol: four bytes of length, then msgpack. No I/O: bytes in, messages out."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import msgpack
from pydantic import BaseModel, TypeAdapter

from store.errors import BadFrame

LARGEST = 1 << 20
_LENGTH = struct.Struct(">I")

Message = TypeVar("Message")


def encode(message: BaseModel) -> bytes:
    """Returns a message as one frame.

    Raises:
        BadFrame: if the message is larger than `LARGEST` bytes.
    """
    body: bytes = msgpack.packb(message.model_dump(mode="python"), use_bin_type=True)
    if len(body) > LARGEST:
        raise BadFrame(f"a message of {len(body)} bytes, at most {LARGEST} are allowed")
    return _LENGTH.pack(len(body)) + body


class Decoder(Generic[Message]):
    """Collects bytes and gives back the messages that are complete."""

    def __init__(self, adapter: TypeAdapter[Message]) -> None:
        self._adapter = adapter
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yields every message that the bytes so far complete.

        Raises:
            BadFrame: if the length, the msgpack or the message is not what the protocol has.
        """
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > LARGEST:
                raise BadFrame(f"a frame of {length} bytes, at most {LARGEST} are allowed")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield self._decode(body)

    def _decode(self, body: bytes) -> Message:
        try:
            value: Any = msgpack.unpackb(body, raw=False)
            return self._adapter.validate_python(value)
        except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
            raise BadFrame(str(error)) from error
