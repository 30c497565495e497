"""Worker processes: how one is started, spoken to, and made to end.

A worker never outlives the daemon: its socket ends with the daemon, and the kernel kills it when its parent dies
(`PR_SET_PDEATHSIG`, set by the worker itself). That signal fires when the spawning *thread* ends, so workers are
started from the main thread only, which is where the event loop runs.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedWriter
from pathlib import Path

import anyio
from anyio.abc import Process

from orchestrator.devices import Device
from orchestrator.errors import WorkerHandshakeFailed, WrongThread
from store.errors import BadFrame
from store.records import framing
from store.records.messages import PROTOCOL, REPORT, AnyOrder, AnyReport, Exit, Hello

HANDSHAKE_SECONDS = 60.0
STUCK_SECONDS = 10.0
"""A process that is still there so long after SIGKILL waits for a driver or a disk, and may do so for ever."""
LARGEST_LOG = 4 << 20
NO_ENVIRONMENT: Mapping[str, str] = {}


class _Wire(asyncio.Protocol):
    """The daemon's end of a worker's socket. Reports go to a callback as they come: no task, no queue between."""

    def __init__(self) -> None:
        self._decoder = framing.Decoder(REPORT)
        self._receive: Callable[[AnyReport], None] = self._first
        self.hello: AnyReport | None = None
        self.greeted = anyio.Event()
        self.closed = anyio.Event()
        self.fault = ""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Passes on what is complete; a worker that speaks nonsense is cut off."""
        try:
            for report in self._decoder.feed(data):
                self._receive(report)
        except BadFrame as error:
            self.fault = str(error)
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The worker's end is closed, or ours."""
        self.greeted.set()
        self.closed.set()

    def listen(self, receive: Callable[[AnyReport], None]) -> None:
        """Names who hears every report after the greeting."""
        self._receive = receive

    def close(self) -> None:
        """Closes our end."""
        if self.transport is not None:
            self.transport.close()

    def _first(self, report: AnyReport) -> None:
        if self.hello is None:
            self.hello = report
            self.greeted.set()


class WorkerProcess:
    """One running worker."""

    def __init__(self, name: str, process: Process, wire: _Wire, log: Path) -> None:
        self.name = name
        self.pid = process.pid
        self.log = log
        self._process = process
        self._wire = wire

    @classmethod
    async def start(
        cls,
        name: str,
        device: Device,
        store: Path,
        *,
        threads: int,
        preload: str | None,
        log: Path,
        environment: Mapping[str, str] = NO_ENVIRONMENT,
    ) -> WorkerProcess:
        """Starts a worker on a device and waits for its greeting.

        Args:
            name: of the slot.
            device: that it is pinned to.
            store: its folder.
            threads: CPU threads.
            preload: trainer to import before the first job.
            log: file that its output is added to.
            environment: variables beside ours, the device's and the threads'.

        Raises:
            WorkerHandshakeFailed: if it does not greet in time, or in another version of the protocol.
            OSError: if the machine has no room for another process, or no more open files.
        """
        if threading.current_thread() is not threading.main_thread():
            raise WrongThread(threading.current_thread().name)
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "trainers.worker", "--store", str(store), "--fd", str(theirs.fileno())]
        command += ["--worker", name, "--threads", str(threads), "--device", device.kind, "--parent", str(os.getpid())]
        command += ["--preload", preload] if preload else []
        variables = os.environ | device.environment() | {"OMP_NUM_THREADS": str(threads)} | dict(environment)
        try:
            with theirs, _open_log(log) as out, _signals_held():
                process = await anyio.open_process(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    env=variables,
                    pass_fds=(theirs.fileno(),),
                )
        except BaseException:
            ours.close()
            raise
        _, wire = await asyncio.get_running_loop().connect_accepted_socket(_Wire, ours)
        worker = cls(name, process, wire, log)
        try:
            await worker._greet()
        except BaseException:
            worker.kill()
            await worker.end(0)
            raise
        return worker

    def send(self, order: AnyOrder) -> None:
        """Sends an order; one to a worker that has just ended is lost, and `listen` returns soon."""
        if self._wire.transport is not None and not self._wire.transport.is_closing():
            self._wire.transport.write(framing.encode(order))

    async def listen(self, receive: Callable[[AnyReport], None]) -> str:
        """Passes every report to a function, until the worker's end of the socket closes.

        Returns:
            What the worker said that is not of the protocol, or an empty text.
        """
        self._wire.listen(receive)
        await self._wire.closed.wait()
        return self._wire.fault

    def dump(self) -> None:
        """Has the worker write where each of its threads stands into its log."""
        self._signal(signal.SIGUSR1)

    def kill(self) -> None:
        """Ends the process at once. What it was writing is either complete or not there."""
        self._signal(signal.SIGKILL)

    def hang_up(self) -> None:
        """Closes our end of its socket: `listen` returns, whatever the process does."""
        self._wire.close()

    async def closed(self) -> None:
        """Returns when its socket is closed, which it is when the process ends."""
        await self._wire.closed.wait()

    async def end(self, seconds: float, stuck_seconds: float = STUCK_SECONDS) -> int | None:
        """Sees the process out: asks, waits so long, kills, waits so long again.

        Returns:
            Its status as `subprocess` has it, or None if it is still there; then `gone` waits for it.
        """
        with anyio.CancelScope(shield=True):
            self.send(Exit())
            self._wire.close()
            with anyio.move_on_after(seconds):
                await self._process.wait()
            self.kill()
            with anyio.move_on_after(stuck_seconds):
                await self._process.wait()
                await self._process.aclose()
        return self._process.returncode

    async def gone(self) -> None:
        """Returns when the process is no more, which may be never."""
        await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            # Not `Process.send_signal`: it reaps a process that has just ended, and then its status is lost.
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def _greet(self) -> None:
        with anyio.move_on_after(HANDSHAKE_SECONDS):
            await self._wire.greeted.wait()
        hello = self._wire.hello
        if isinstance(hello, Hello) and hello.protocol == PROTOCOL:
            return
        if hello is not None:
            why = f"it spoke protocol {getattr(hello, 'protocol', 'unknown')}, not {PROTOCOL}"
        elif self._wire.closed.is_set():
            why = self._wire.fault or "it closed its socket before saying hello"
        else:
            why = f"it said nothing for {HANDSHAKE_SECONDS:.0f} s"
        raise WorkerHandshakeFailed(self.name, why, str(self.log))


@contextmanager
def _signals_held() -> Iterator[None]:
    """Holds SIGINT and SIGTERM back, in what is started meanwhile too: a worker lets go of them when it ignores them.

    A signal to the whole process group would else end a worker that is still importing.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _open_log(path: Path) -> BufferedWriter:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LARGEST_LOG:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


def in_words(status: int | None) -> str:
    """Says how a process ended, after `the worker`."""
    if status is None:
        return f"is still there {STUCK_SECONDS:g} s after SIGKILL: it waits for a driver or a disk"
    if status >= 0:
        return f"exited with status {status}"
    return f"was ended by {signal.Signals(-status).name}"
