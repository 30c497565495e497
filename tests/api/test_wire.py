"""Fault 25: whatever a worker sends, the daemon's end of its socket gives a typed error or waits for the rest."""

from __future__ import annotations

import asyncio
import socket
import struct
import tracemalloc
from contextlib import suppress

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.workers import _Wire
from store.errors import BadFrame
from store.records import framing
from store.records.messages import PROTOCOL, REPORT, AnyReport, Hello, Progress
from tests.api.client import until

HELLO = framing.encode(Hello(protocol=PROTOCOL, pid=1, device="cpu"))
BEAT = framing.encode(Progress(job="j", attempt=1, epoch=1, step=3))


def framed(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


def deep(levels: int) -> bytes:
    return framed(b"\x91" * levels + b"\xc0")


HOSTILE = {
    "a length of 4 GiB": b"\xff\xff\xff\xff" + b"x" * 100,
    "a length just too long": struct.pack(">I", framing.LARGEST + 1),
    "an empty frame": framed(b""),
    "a truncated map": framed(msgpack.packb({"type": "hello"})[:-3]),
    "trailing bytes": framed(msgpack.packb({"type": "exit"}) + b"\x00"),
    "1100 levels": deep(1100),
    "100000 levels": deep(100_000),
    "an array of 4 G": framed(b"\xdd\xff\xff\xff\xff"),
    "a map of 4 G": framed(b"\xdf\xff\xff\xff\xff"),
    "bytes of 4 G": framed(b"\xc6\xff\xff\xff\xff"),
    "a key that cannot be hashed": framed(b"\x81\x90\x01"),
    "an extension": framed(msgpack.packb(msgpack.ExtType(5, b"x"))),
    "a timestamp": framed(msgpack.packb(msgpack.Timestamp(1, 1))),
    "no UTF-8": framed(b"\xa2\xff\xfe"),
    "a kind that is not known": framed(msgpack.packb({"type": "eval", "code": "1"})),
    "an order instead of a report": framed(msgpack.packb({"type": "exit"})),
    "a report without its job": framed(msgpack.packb({"type": "progress"})),
    "an attempt that is no number": framed(msgpack.packb({"type": "progress", "job": "j", "attempt": "x"})),
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("sent", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_report_is_a_bad_frame(sent: bytes) -> None:
    decoder: framing.Decoder[AnyReport] = framing.Decoder(REPORT)
    with pytest.raises(BadFrame):
        list(decoder.feed(sent))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200) | st.binary(max_size=200).map(framed), st.integers(1, 7))
def test_any_bytes_are_reports_or_a_bad_frame_and_never_more_than_they_are(sent: bytes, at_a_time: int) -> None:
    decoder: framing.Decoder[AnyReport] = framing.Decoder(REPORT)
    try:
        for start in range(0, len(sent), at_a_time):
            list(decoder.feed(sent[start : start + at_a_time]))
    except BadFrame:
        return
    assert len(decoder._buffer) <= len(sent)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(HELLO + BEAT) - 1), st.integers(1, 255))
def test_a_flipped_byte_is_a_report_or_a_bad_frame(place: int, flip: int) -> None:
    sent = bytearray(HELLO + BEAT)
    sent[place] ^= flip
    decoder: framing.Decoder[AnyReport] = framing.Decoder(REPORT)
    found = list[AnyReport]()
    with suppress(BadFrame):
        found.extend(decoder.feed(bytes(sent)))
    assert len(found) <= 2


async def connected() -> tuple[_Wire, socket.socket]:
    """The daemon's end of a worker's socket, and the worker's."""
    ours, theirs = socket.socketpair()
    _, wire = await asyncio.get_running_loop().connect_accepted_socket(_Wire, ours)
    theirs.setblocking(False)
    return wire, theirs


@pytest.mark.parametrize("sent", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_worker_that_speaks_nonsense_is_cut_off_and_the_others_are_heard(sent: bytes) -> None:
    heard: list[AnyReport] = []
    bad, good = await connected(), await connected()
    for wire, theirs in (bad, good):
        theirs.send(HELLO)
        await asyncio.wait_for(wire.greeted.wait(), 10)
        wire.listen(heard.append)
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(bad[1], sent)
    await asyncio.wait_for(bad[0].closed.wait(), 10)
    assert "not a frame of the worker protocol" in bad[0].fault
    await loop.sock_sendall(good[1], BEAT)
    await until(lambda: heard)
    assert isinstance(heard[0], Progress)
    good[0].close()
    await asyncio.wait_for(good[0].closed.wait(), 10)
    for _, theirs in (bad, good):
        theirs.close()


async def test_a_worker_that_sends_on_and_on_costs_no_memory() -> None:
    wire, theirs = await connected()
    loop = asyncio.get_running_loop()
    flood = b"\xc1" * (64 << 20)
    tracemalloc.start()
    try:
        start = struct.pack(">I", framing.LARGEST)  # a frame of the largest size that never ends
        await loop.sock_sendall(theirs, start)
        for _ in range(15):
            await loop.sock_sendall(theirs, b"\xc0" * 65536)
        _, peak = tracemalloc.get_traced_memory()
        assert peak < 8 * framing.LARGEST
        with pytest.raises(ConnectionError):  # the frame is full and no msgpack: what follows goes nowhere
            await loop.sock_sendall(theirs, flood)
        _, peak = tracemalloc.get_traced_memory()
        assert peak < 8 * framing.LARGEST
    finally:
        tracemalloc.stop()
        theirs.close()
    await asyncio.wait_for(wire.closed.wait(), 10)
    assert wire.fault
