"""Worker processes: how one is started, spoken to, and made to end.

A worker never outlives the daemon: its socket ends with the daemon, and the kernel kills it when its parent dies
(`PR_SET_PDEATHSIG`, set by the worker itself). That signal fires when the spawning *thread* ends, so workers are
started from the main thread only, which is where the event loop runs.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from io import BufferedWriter
from pathlib import Path

import anyio
from anyio.abc import Process, SocketStream, UNIXSocketStream

from orchestrator.devices import Device
from orchestrator.errors import OrchestratorError, WorkerHandshakeFailed
from store.errors import BadFrame
from store.records import framing
from store.records.messages import PROTOCOL, REPORT, AnyOrder, AnyReport, Exit, Hello

HANDSHAKE_SECONDS = 60.0
LARGEST_LOG = 4 << 20


class WorkerProcess:
    """One running worker."""

    def __init__(self, name: str, process: Process, stream: SocketStream, log: Path) -> None:
        self.name = name
        self.pid = process.pid
        self.log = log
        self._process = process
        self._stream = stream
        self._decoder = framing.Decoder(REPORT)
        self._early: list[AnyReport] = []

    @classmethod
    async def start(
        cls, name: str, device: Device, store: Path, *, threads: int, preload: str | None, log: Path
    ) -> WorkerProcess:
        """Starts a worker on a device and waits for its greeting.

        Raises:
            WorkerHandshakeFailed: if it does not greet in time, or in another version of the protocol.
        """
        if threading.current_thread() is not threading.main_thread():
            raise OrchestratorError("workers must be started from the main thread: they die with the thread")
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "trainers.worker", "--store", str(store), "--fd", str(theirs.fileno())]
        command += ["--worker", name, "--threads", str(threads), "--device", device.kind, "--parent", str(os.getpid())]
        command += ["--preload", preload] if preload else []
        with theirs, _open_log(log) as out:
            process = await anyio.open_process(
                command,
                stdin=None,
                stdout=out,
                stderr=out,
                env=os.environ | device.environment() | {"OMP_NUM_THREADS": str(threads)},
                pass_fds=(theirs.fileno(),),
            )
        worker = cls(name, process, await UNIXSocketStream.from_socket(ours), log)
        await worker._greet()
        return worker

    async def send(self, order: AnyOrder) -> None:
        """Sends an order; one to a worker that has just ended is lost, and its end is reported by `reports`."""
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._stream.send(framing.encode(order))

    async def reports(self) -> AsyncIterator[AnyReport]:
        """Yields what the worker says, until its end of the socket closes.

        Raises:
            BadFrame: if it says something that is not of the protocol.
        """
        for report in self._early:
            yield report
        while data := await self._receive():
            for report in self._decoder.feed(data):
                yield report

    def kill(self) -> None:
        """Ends the process at once. What it was writing is either complete or not there."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)

    async def end(self, seconds: float) -> str:
        """Sees the process out: asks, waits, kills. Returns how it ended, in words."""
        with anyio.CancelScope(shield=True):
            await self.send(Exit())
            await self._stream.aclose()
            with anyio.move_on_after(seconds):
                await self._process.wait()
            self.kill()
            status = await self._process.wait()
            await self._process.aclose()
        return _in_words(status)

    async def _greet(self) -> None:
        try:
            with anyio.fail_after(HANDSHAKE_SECONDS):
                hello, *self._early = await self._first()
        except (TimeoutError, BadFrame) as error:
            why = str(error) or f"it said nothing for {HANDSHAKE_SECONDS:.0f} s"
            raise WorkerHandshakeFailed(self.name, f"{why}; it {await self._abandon()}", str(self.log)) from error
        if not isinstance(hello, Hello) or hello.protocol != PROTOCOL:
            why = f"it spoke protocol {getattr(hello, 'protocol', 'unknown')}, not {PROTOCOL}"
            raise WorkerHandshakeFailed(self.name, f"{why}; it {await self._abandon()}", str(self.log))

    async def _first(self) -> list[AnyReport]:
        while data := await self._receive():
            if reports := list(self._decoder.feed(data)):
                return reports
        raise BadFrame("the worker closed its socket before saying hello")

    async def _receive(self) -> bytes:
        try:
            return await self._stream.receive(1 << 18)
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return b""

    async def _abandon(self) -> str:
        self.kill()
        return await self.end(0)


def _open_log(path: Path) -> BufferedWriter:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LARGEST_LOG:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


def _in_words(status: int) -> str:
    if status >= 0:
        return f"exited with status {status}"
    return f"was ended by {signal.Signals(-status).name}"
