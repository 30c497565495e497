"""Clients of a daemon, in a process of their own: so many requests a second, and watchers of its events.

    python benchmarks/load_client.py SOCKET SEARCH JOB --rate 1000 --seconds 60 --watchers 20 --after SEQUENCE

Prints one JSON object: answers by status, quantiles of their times, the processor time that this process took, and for
each watcher the sequence numbers that it saw. Plain asyncio and HTTP by hand: a client library would take more of the
machine than the daemon that it asks.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import time
from collections import Counter
from contextlib import suppress
from itertools import cycle

CONNECTIONS = 32
HOST = "Host: localhost\r\n"


def paths(search: str, job: str) -> list[str]:
    """What people and their pages ask for, over and over; twenty requests make one round."""
    often = ["/v1/health", f"/v1/searches/{search}", f"/v1/jobs/{job}", "/v1/devices", f"/v1/searches/{search}/why"]
    return [
        *often,
        "/v1/version",
        *often,
        "/v1/searches",
        *often,
        "/v1/events?after=100000&limit=20",
        "/v1/health",
        "/v1/version",
    ]


class Asker:
    """Keeps a rate of requests over kept-alive connections; one that is late is sent late, never left out."""

    def __init__(self, socket: str, asked: list[str], rate: float, seconds: float) -> None:
        self._socket = socket
        self._interval = 1.0 / rate
        self._count = int(rate * seconds)
        self._next = 0
        self._paths = cycle(asked)
        self.codes: Counter[int] = Counter()
        self.times: list[float] = []
        self.late = 0.0

    async def run(self) -> float:
        """Sends all; returns how long that took, in seconds."""
        started = time.monotonic()
        await asyncio.gather(*(self._connection(started) for _ in range(CONNECTIONS)))
        return time.monotonic() - started

    async def _connection(self, started: float) -> None:
        reader, writer = await asyncio.open_unix_connection(self._socket)
        while self._next < self._count:
            due = started + self._next * self._interval
            self._next += 1
            if (ahead := due - time.monotonic()) > 0:
                await asyncio.sleep(ahead)
            sent = time.monotonic()
            self.late = max(self.late, sent - due)
            writer.write(f"GET {next(self._paths)} HTTP/1.1\r\n{HOST}\r\n".encode())
            self.codes[await _answer(reader)] += 1
            self.times.append(time.monotonic() - sent)
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").lower().split("\r\n")
    lengths = [line.partition(":")[2] for line in lines if line.startswith("content-length:")]
    if lengths:
        await reader.readexactly(int(lengths[0]))
    else:
        while size := int((await reader.readline()).strip(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    return int(lines[0].split()[1])


class Watcher:
    """Follows the events; keeps the sequence numbers in the order in which they came."""

    def __init__(self, socket: str, after: int) -> None:
        self._socket, self._after = socket, after
        self.seen: list[int] = []
        self._last: int | None = None
        self._complete = asyncio.Event()

    async def until(self, last: int, seconds: float) -> None:
        """Waits until it has seen a sequence number, or so long."""
        self._last = last
        if not self.seen or self.seen[-1] < last:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._complete.wait(), seconds)

    async def run(self) -> None:
        """Reads until it is cancelled, or the daemon ends the stream."""
        reader, writer = await asyncio.open_unix_connection(self._socket, limit=1 << 24)
        writer.write(f"GET /v1/events?after={self._after} HTTP/1.1\r\n{HOST}Accept: text/event-stream\r\n\r\n".encode())
        while line := await reader.readline():
            if line.startswith(b"id:"):
                self.seen.append(int(line[3:]))
                if self._last is not None and self.seen[-1] >= self._last:
                    self._complete.set()


async def load(args: argparse.Namespace) -> dict[str, object]:
    """Watches and asks at once."""
    watchers = [Watcher(args.socket, args.after) for _ in range(args.watchers)]
    watching = [asyncio.create_task(watcher.run()) for watcher in watchers]
    asker = Asker(args.socket, paths(args.search, args.job), args.rate, args.seconds)
    took = await asker.run()
    sys.stdout.write("asked\n")  # the parent lets the searches end, and says when that is done
    sys.stdout.flush()
    last = int(await asyncio.to_thread(sys.stdin.readline))
    await asyncio.gather(*(watcher.until(last, 30.0) for watcher in watchers))
    for task in watching:
        task.cancel()
    ended = await asyncio.gather(*watching, return_exceptions=True)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    times = sorted(asker.times)
    return {
        "codes": asker.codes,
        "seconds": took,
        "late": asker.late,
        "p50": times[len(times) // 2],
        "p99": times[len(times) * 99 // 100],
        "worst": times[-1],
        "processor": usage.ru_utime + usage.ru_stime,
        "watchers": [watcher.seen for watcher in watchers],
        "errors": [repr(error) for error in ended if isinstance(error, Exception)],
    }


def main() -> None:
    """Runs the clients."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("socket")
    parser.add_argument("search")
    parser.add_argument("job")
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--watchers", type=int, default=20)
    parser.add_argument("--after", type=int, default=0)
    print(json.dumps(asyncio.run(load(parser.parse_args()))))


if __name__ == "__main__":
    main()
