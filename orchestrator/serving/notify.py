"""What systemd is told: that the daemon is ready, what it does, that it is alive, that it leaves (sd_notify(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping

EXTEND_SECONDS = 10.0


class Notifier:
    """Speaks sd_notify's protocol to the socket that `NOTIFY_SOCKET` names; without one, every call does nothing.

    Args:
        environment: where `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` stand.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self.watchdog_seconds = _watchdog_seconds(environment) if self._address else None

    def ready(self, status: str) -> None:
        """Says that the daemon serves; `status` is what `systemctl status` shows."""
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, status: str) -> None:
        """Says what the daemon does, on one line."""
        self._send(f"STATUS={status}")

    def stopping(self, status: str) -> None:
        """Says that the daemon leaves."""
        self._send(f"STOPPING=1\nSTATUS={status}")

    async def watch(self, stalled: Callable[[], Mapping[str, float]]) -> None:
        """Tells the watchdog, at half of its time, that the daemon is alive, for as long as it makes progress.

        This runs on the event loop: if that is blocked, nothing is sent either. It runs until it is cancelled.

        Args:
            stalled: for each part that must make progress, the seconds since it last did while it had work (0: idle).
        """

    async def draining(self, seconds: float) -> None:
        """Asks systemd again and again for more time to stop, for at most so many seconds; cancelled at the end."""

    def _send(self, message: str) -> None:
        if self._address is None:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.setblocking(False)
            sock.sendto(message.encode(), self._address)


def _address(name: str) -> str | None:
    return ("\0" + name[1:] if name.startswith("@") else name) or None


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    pid, microseconds = environment.get("WATCHDOG_PID"), environment.get("WATCHDOG_USEC", "")
    if not microseconds.isdecimal() or (pid is not None and pid != str(os.getpid())):
        return None
    return int(microseconds) / 1e6
