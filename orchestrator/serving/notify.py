"""What systemd is told: that the daemon is ready, what it does, that it is alive, that it leaves (sd_notify(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress

import anyio

EXTEND_SECONDS = 10.0
RECHECK_SECONDS = 1.0
LONGEST_STATUS = 500


class Notifier:
    """Speaks sd_notify's protocol to the socket that `NOTIFY_SOCKET` names; without one, every call does nothing.

    Args:
        environment: where `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` stand.

    Attributes:
        watchdog_seconds: systemd ends and restarts a service from which it hears nothing for so long; None: never.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self.watchdog_seconds = _watchdog_seconds(environment) if self._address else None

    def ready(self, status: str) -> None:
        """Says that the daemon serves; `status` is what `systemctl status` shows."""
        self._send("READY=1", _status(status))

    def status(self, status: str) -> None:
        """Says what the daemon does."""
        self._send(_status(status))

    def stopping(self, status: str) -> None:
        """Says that the daemon leaves."""
        self._send("STOPPING=1", _status(status))

    async def watch(self, stalled: Callable[[], Mapping[str, float]]) -> None:
        """Tells the watchdog, at half of its time, that the daemon is alive, for as long as it makes progress.

        This runs on the event loop: if that is blocked, nothing is sent either. It runs until it is cancelled, and
        returns at once where there is no watchdog.

        Args:
            stalled: for each part that must make progress, the seconds since it last did while it had work (0: idle).
        """
        if self.watchdog_seconds is None:
            return
        half = self.watchdog_seconds / 2
        silent = False
        while True:
            late = {part: seconds for part, seconds in stalled().items() if seconds > half}
            if late:
                words = ", ".join(f"{part} for {seconds:.0f} s" for part, seconds in late.items())
                self._send(_status(f"no progress: {words}"))
            else:
                self._send("WATCHDOG=1", *([_status("makes progress again")] if silent else []))
            silent = bool(late)
            await anyio.sleep(min(RECHECK_SECONDS, half) if silent else half)

    async def draining(self, seconds: float) -> None:
        """Asks systemd again and again for more time to stop, for at most so many seconds; to be cancelled at the end.

        Whatever `TimeoutStopSec` says, a drain that was configured to take longer is not cut short.
        """
        with anyio.move_on_after(seconds):
            while True:
                self._send(f"EXTEND_TIMEOUT_USEC={EXTEND_SECONDS * 1e6:.0f}")
                await anyio.sleep(EXTEND_SECONDS / 2)

    def _send(self, *lines: str) -> None:
        if self._address is None:
            return
        # A service manager that does not listen is no reason to stop serving: its time-outs are there for that.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            sender.sendto("\n".join(lines).encode(), self._address)


def _status(text: str) -> str:
    return f"STATUS={' '.join(text.split())[:LONGEST_STATUS]}"


def _address(name: str) -> str | None:
    return ("\0" + name[1:] if name.startswith("@") else name) or None


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    pid, microseconds = environment.get("WATCHDOG_PID"), environment.get("WATCHDOG_USEC", "")
    if not microseconds.isdecimal() or int(microseconds) == 0 or (pid is not None and pid != str(os.getpid())):
        return None
    return int(microseconds) / 1e6
