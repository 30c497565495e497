"""NVIDIA's Multi-Process Service: lets the kernels of several processes run on a GPU at once.

Its control daemon is started and ended here, in folders of its own, so that nobody else's is touched. A worker finds it
by two variables of its environment.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio

from orchestrator.devices.found import Device
from orchestrator.errors import MpsFailed
from orchestrator.serving.endpoint import own_folder
from orchestrator.supervision import Surroundings

CONTROL = "nvidia-cuda-mps-control"
PIPES, LOGS = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"
LONGEST_FOLDER = 80
"""MPS makes Unix sockets in its folder of pipes, and the kernel allows 107 bytes for the path of one."""
CONTROL_SECONDS = 10.0
LOOK_SECONDS = 5.0


class Mps(Surroundings):
    """The service of one daemon.

    Args:
        run: a folder of this daemon's, for pipes; where its path is too long, one in the user's runtime folder.
        logs: where MPS writes its logs.
        failed: called when the service is dead, with why and whether there is another one now. Without one, workers
            are started without it, and should have their GPU for themselves.

    Raises:
        EndpointUnusable: if the folder for short names is not this user's own.
    """

    def __init__(self, run: Path, logs: Path, failed: Callable[[str, bool], Awaitable[None]]) -> None:
        self._pipes = _short(run / "mps")
        self._logs = logs / "mps"
        self._failed = failed
        self._up = anyio.Event()
        self._refused = anyio.Event()
        self._why = ""
        self.on = False

    async def environment(self, device: Device) -> dict[str, str]:
        """Returns where a worker on a GPU finds the service; waits while it is being started."""
        if device.kind == "cpu":
            return {}
        await self._up.wait()
        return self._variables() if self.on else {}

    def refuses(self) -> None:
        """A worker could not use the service, though it may answer: it counts as dead."""
        self._refused.set()

    async def run(self) -> None:
        """Starts the service, looks after it until cancelled, and ends it.

        When it dies it is started once more; if that one dies too, workers do without.
        """
        try:
            if await self._start_or_tell():
                await self._look()
                self._up = anyio.Event()
                again = await self._begin()
                await self._failed("MPS had died and was started again" if again else f"MPS died ({self._why})", again)
                if again:
                    await self._look()
                    self._be(False)
                    await self._failed("MPS died again", False)
        finally:
            with anyio.CancelScope(shield=True):
                await self.stop()

    async def start(self) -> None:
        """Starts the control daemon; ends one first that an earlier daemon of ours has left behind.

        Raises:
            MpsFailed: if it does not start.
        """
        self._pipes.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        await self._told("quit")
        status, said = await self._call(["-d"], None)
        if status != 0 or not await self.alive():
            raise MpsFailed(CONTROL, said.strip() or f"exit status {status}")

    async def alive(self) -> bool:
        """Whether the control daemon answers."""
        return await self._told("get_server_list")

    async def stop(self) -> None:
        """Ends the service, if it is there."""
        self.on = False
        if self._pipes.exists():
            await self._told("quit")
            shutil.rmtree(self._pipes, ignore_errors=True)

    async def _start_or_tell(self) -> bool:
        if not await self._begin():
            await self._failed(self._why, False)
        return self.on

    async def _begin(self) -> bool:
        try:
            await self.start()
        except MpsFailed as error:
            self._why = str(error)
            self._be(False)
        else:
            self._be(True)
        return self.on

    def _be(self, on: bool) -> None:
        self.on = on
        self._up.set()

    async def _look(self) -> None:
        """Returns when the service does not answer, or a worker could not use it."""
        self._refused = anyio.Event()
        while not self._refused.is_set() and await self.alive():
            with anyio.move_on_after(LOOK_SECONDS):
                await self._refused.wait()

    async def _told(self, order: str) -> bool:
        status, _ = await self._call([], order)
        return status == 0

    async def _call(self, arguments: list[str], order: str | None) -> tuple[int | None, str]:
        """Runs the control program; its status is None if it could not be run or did not end in time."""
        said = ""
        with anyio.move_on_after(CONTROL_SECONDS):
            try:
                done = await anyio.run_process(
                    [CONTROL, *arguments],
                    input=(order or "").encode() + b"\n",
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    check=False,
                    env=os.environ | self._variables(),
                )
            except OSError as error:
                return None, f"{error.strerror}: {CONTROL}"
            said = done.stdout.decode(errors="replace")
            return done.returncode, said
        return None, f"no answer within {CONTROL_SECONDS:g} s"

    def _variables(self) -> dict[str, str]:
        return {PIPES: str(self._pipes), LOGS: str(self._logs)}


def _short(folder: Path) -> Path:
    if len(os.fsencode(folder)) <= LONGEST_FOLDER:
        return folder
    name = hashlib.blake2b(os.fsencode(folder), digest_size=8).hexdigest()
    return own_folder() / f"mps-{name}"
