"""Frames of the worker protocol: any cut gives the same messages, any garbage a typed error."""

from __future__ import annotations

import struct
from contextlib import suppress

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import BadFrame
from store.records.framing import LARGEST, Decoder, encode
from store.records.messages import ORDER, REPORT, AnyOrder, AnyReport, Assign, Exit, Hello, Progress, Stop
from store.records.requests import Train
from tests.store.builders import candidate

texts = st.text(st.characters(codec="utf-8"), max_size=30)
counts = st.integers(0, 2**31)
messages = st.one_of(
    st.builds(Hello, protocol=counts, pid=counts, device=texts, versions=st.dictionaries(texts, texts, max_size=3)),
    st.builds(Progress, job=texts, attempt=counts, epoch=counts, step=counts, steps=counts, note=texts),
)


@given(st.lists(messages, max_size=5), st.lists(st.integers(0, 200), max_size=20))
def test_messages_come_back_however_the_bytes_are_cut(sent: list[AnyReport], cuts: list[int]) -> None:
    data = b"".join(encode(message) for message in sent)
    decoder = Decoder(REPORT)
    received: list[AnyReport] = []
    for cut in cuts:
        received += decoder.feed(data[:cut])
        data = data[cut:]
    assert [*received, *decoder.feed(data)] == sent


def decode(data: bytes) -> list[AnyOrder]:
    """The orders in some bytes; none if they are refused as they should be."""
    with suppress(BadFrame):
        return list(Decoder(ORDER).feed(data))
    return []


@given(st.binary(max_size=300))
def test_any_bytes_give_messages_or_a_typed_error(data: bytes) -> None:
    assert all(isinstance(message, Assign | Stop | Exit) for message in decode(data))


@given(st.integers(4, 400), st.integers(1, 255))
def test_a_flipped_byte_gives_a_message_or_a_typed_error(offset: int, change: int) -> None:
    data = bytearray(encode(Assign(job="a", attempt=1, request=Train(candidate=candidate(), epochs=2))))
    data[offset % len(data)] ^= change
    assert all(isinstance(message, Assign | Stop | Exit) for message in decode(bytes(data)))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\x81",
        msgpack.packb({"type": "exit"}) + b"trailing",
        msgpack.packb({"type": "unheard of"}),
        msgpack.packb([1, 2]),
        b"\x91" * 5000 + b"\x01",
        b"\xdd\xff\xff\xff\xff",
        b"\xa2\xff\xff",
    ],
)
def test_a_malformed_body_is_a_bad_frame(body: bytes) -> None:
    with pytest.raises(BadFrame):
        list(Decoder(ORDER).feed(struct.pack(">I", len(body)) + body))


def test_a_frame_that_claims_too_much_is_refused_before_it_arrives() -> None:
    with pytest.raises(BadFrame, match="at most"):
        list(Decoder(ORDER).feed(struct.pack(">I", LARGEST + 1)))
    with pytest.raises(BadFrame, match="at most"):
        encode(Progress(job="x" * LARGEST, attempt=1))
