"""The worker's end of the socket, and what orders mean to it."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator

import pytest

from store.errors import BadFrame
from store.records.framing import LARGEST, Decoder, encode
from store.records.messages import REPORT, AnyReport, Exit, Failed, Progress, Stop, Stopped
from tests.trainers.harness import SECONDS, assign, noop
from trainers.channel import Channel, Inbox
from trainers.errors import ChannelClosed


class Far:
    """The daemon's end."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._decoder = Decoder(REPORT)

    def send(self, *orders: object) -> None:
        self.connection.sendall(b"".join(encode(order) for order in orders))  # type: ignore[arg-type]

    def received(self) -> list[AnyReport]:
        """All reports that have come."""
        if not select.select([self.connection], [], [], 0)[0]:
            return []
        return list(self._decoder.feed(self.connection.recv(1 << 20)))


@pytest.fixture
def ends() -> Iterator[tuple[Far, Channel]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(SECONDS)
    with ours, theirs:
        yield Far(ours), Channel(theirs)


def stop(order: object) -> Stop:
    return Stop(job=order.job, attempt=order.attempt)  # type: ignore[attr-defined]


JOBS = [assign(noop(seed)) for seed in range(4)]


def test_jobs_come_in_the_order_in_which_they_were_sent(ends: tuple[Far, Channel]) -> None:
    far, channel = ends
    inbox = Inbox(channel)
    far.send(*JOBS, Exit())
    assert [inbox.next() for _ in range(5)] == [*JOBS, None]


def test_an_order_may_arrive_in_pieces(ends: tuple[Far, Channel]) -> None:
    far, channel = ends
    frame = encode(JOBS[0])
    for cut in (1, 3, 4, 5, len(frame) - 1):
        far.connection.sendall(frame[:cut])
        assert channel.poll() == []
        far.connection.sendall(frame[cut:])
        assert channel.poll() == [JOBS[0]]


def test_polling_does_not_wait(ends: tuple[Far, Channel]) -> None:
    _, channel = ends
    assert channel.poll() == []


def test_receiving_waits(ends: tuple[Far, Channel]) -> None:
    far, channel = ends
    received: list[object] = []
    thread = threading.Thread(target=lambda: received.append(channel.receive()))
    thread.start()
    far.send(Exit())
    thread.join(SECONDS)
    assert received == [Exit()]


def test_a_stop_for_the_current_job_is_seen_at_the_next_poll(ends: tuple[Far, Channel]) -> None:
    far, channel = ends
    inbox = Inbox(channel)
    far.send(JOBS[0], JOBS[1])
    inbox.next()
    assert inbox.poll() is False
    far.send(stop(JOBS[0]))
    assert inbox.poll() is True
    assert inbox.poll() is True, "it stays asked for until the job ends"
    assert inbox.next() == JOBS[1]
    assert inbox.poll() is False, "it concerned the job before"


def test_a_stop_that_is_already_there_with_its_job_takes_it_out(ends: tuple[Far, Channel]) -> None:
    far, channel = ends
    inbox = Inbox(channel)
    far.send(JOBS[0], JOBS[1], JOBS[2])
    inbox.next()
    far.send(stop(JOBS[1]))
    assert inbox.poll() is False
    assert far.received() == [Stopped(job=JOBS[1].job, attempt=1)]
    assert inbox.next() == JOBS[2]


def test_a_stale_stop_is_ignored(ends: tuple[Far, Channel]) -> None:
    """A stop that crossed the job's end on its way, or is for an attempt that is over, changes nothing."""
    far, channel = ends
    inbox = Inbox(channel)
    current = JOBS[1].model_copy(update={"attempt": 2})
    far.send(JOBS[0], current)
    inbox.next()
    inbox.next()
    far.send(stop(JOBS[0]), stop(JOBS[1]), stop(JOBS[3]))
    assert inbox.poll() is False
    assert far.received() == []


def test_exit_waits_for_the_jobs_before_it(ends: tuple[Far, Channel]) -> None:
    far, channel = ends
    inbox = Inbox(channel)
    far.send(JOBS[0], JOBS[1], Exit())
    assert inbox.next() == JOBS[0]
    assert inbox.poll() is False
    assert inbox.next() == JOBS[1]
    assert inbox.next() is None


@pytest.mark.parametrize("unread", [False, True])
def test_the_end_of_the_stream_is_noticed_everywhere(unread: bool) -> None:
    """With unread reports on the daemon's side the kernel says `connection reset` instead of end-of-file."""
    ours, theirs = socket.socketpair()
    with theirs:
        channel = Channel(theirs)
        if unread:
            channel.send(Progress(job="", attempt=0))
        ours.close()
        with pytest.raises(ChannelClosed):
            channel.poll()
        with pytest.raises(ChannelClosed):
            channel.receive()
        with pytest.raises(ChannelClosed):
            channel.send(Progress(job="", attempt=0))


def test_a_large_report_goes_out_whole_while_the_daemon_is_slow(ends: tuple[Far, Channel]) -> None:
    far, channel = ends
    report = Failed(job="j", attempt=1, reason="error", message="x" * (LARGEST - 1000))
    thread = threading.Thread(target=channel.send, args=(report,))
    thread.start()
    decoder = Decoder(REPORT)
    received: list[AnyReport] = []
    while not received:
        received = list(decoder.feed(far.connection.recv(4096)))
    thread.join(SECONDS)
    assert received == [report]


def test_a_report_too_large_for_a_frame_is_refused_and_nothing_is_sent(ends: tuple[Far, Channel]) -> None:
    far, channel = ends
    with pytest.raises(BadFrame, match="at most"):
        channel.send(Failed(job="j", attempt=1, reason="error", message="x" * LARGEST))
    assert far.received() == []


def test_the_socket_is_not_inherited_by_what_a_trainer_starts(ends: tuple[Far, Channel]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.set_inheritable(True)
        theirs.setblocking(False)
        Channel(theirs)
        assert theirs.get_inheritable() is False
        assert theirs.getblocking() is True
