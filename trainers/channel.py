"""The worker's end of the socket: orders in, reports out, and who is waiting for what.

The socket is the worker's own, so nothing that user code prints can get between two frames. `Channel` moves frames;
`Inbox` is the one place where orders are read for what they mean.
"""

from __future__ import annotations

import socket
from collections import deque

from store.records.framing import Decoder, encode
from store.records.messages import ORDER, AnyOrder, AnyReport, Assign, Exit, Stop, Stopped
from trainers.errors import ChannelClosed

_CHUNK = 1 << 16


class Channel:
    """Frames over a stream socket. Sending blocks while the daemon is slow to read: a worker can wait, memory cannot.

    Args:
        connection: one end of a socketpair; it becomes blocking and is closed with the process.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(True)
        connection.set_inheritable(False)
        self._socket = connection
        self._decoder = Decoder(ORDER)
        self._arrived: deque[AnyOrder] = deque()

    def send(self, report: AnyReport) -> None:
        """Sends a report, whole.

        Raises:
            ChannelClosed: if the daemon is gone.
            BadFrame: if the report is too large for a frame; nothing was sent then.
        """
        frame = encode(report)
        try:
            self._socket.sendall(frame)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ChannelClosed from error

    def receive(self) -> AnyOrder:
        """Waits for the next order.

        Raises:
            ChannelClosed: if the daemon is gone.
            BadFrame: if what came is not of the protocol.
        """
        while not self._arrived:
            self._read(0)
        return self._arrived.popleft()

    def poll(self) -> list[AnyOrder]:
        """Returns the orders that have arrived, without waiting; raises as `receive` does."""
        try:
            self._read(socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass
        arrived = list(self._arrived)
        self._arrived.clear()
        return arrived

    def _read(self, flags: int) -> None:
        try:
            data = self._socket.recv(_CHUNK, flags)
        except ConnectionResetError as error:
            raise ChannelClosed from error
        if not data:
            raise ChannelClosed
        self._arrived.extend(self._decoder.feed(data))


class Inbox:
    """Orders that wait, and whether the job under way is to stop.

    The daemon may send assignments ahead; they are done in the order of arrival. `Exit` waits its turn like them. A
    `Stop` reaches past the queue: it marks the job under way, or takes a waiting one out, or, for a job that is neither
    (it ended while the order was on its way), means nothing.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._waiting: deque[Assign | Exit] = deque()
        self._current: Assign | None = None
        self._stop = False

    def next(self) -> Assign | None:
        """Waits for the next job and makes it the current one; `None` means to leave. Raises as `Channel.receive`."""
        self._current, self._stop = None, False
        while not self._waiting:
            self._take(self._channel.receive())
        order = self._waiting.popleft()
        if isinstance(order, Exit):
            return None
        self._current = order
        return order

    def poll(self) -> bool:
        """Takes in what has arrived; returns whether the current job is to stop. Raises as `Channel.poll`."""
        for order in self._channel.poll():
            self._take(order)
        return self._stop

    def _take(self, order: AnyOrder) -> None:
        if isinstance(order, Stop):
            self._take_stop(order)
        else:
            self._waiting.append(order)

    def _take_stop(self, stop: Stop) -> None:
        if self._current is not None and _is_of(stop, self._current):
            self._stop = True
            return
        found = [order for order in self._waiting if isinstance(order, Assign) and _is_of(stop, order)]
        for order in found:
            self._waiting.remove(order)
            self._channel.send(Stopped(job=order.job, attempt=order.attempt))


def _is_of(stop: Stop, assign: Assign) -> bool:
    return stop.job == assign.job and stop.attempt == assign.attempt
