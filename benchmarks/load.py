"""A daemon under load: 50 searches, 200,000 journal events, 20 watchers, 1,000 requests a second, two workers training.

    python benchmarks/load.py [--seconds 60] [--rate 1000] [--watchers 20] [--events 200000] [--quick]

The store is written through the journal (`load_store.py`), the daemon is `coldframe serve`, the clients are a process
of their own (`load_client.py`): where there are two cores, clients, daemon and workers share them, and the part of each
is printed. One search is scripted, the other trains small cells. The lag of the event loop is the daemon's own measure
(`coldframe_event_loop_lag_seconds`), over the minute of the load.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import load_store
import psutil

LAG = "coldframe_event_loop_lag_seconds"
SEARCHES = 48
SPEC = """
name = "{name}"
[strategy]
name = "random"
candidates = 1000
epochs = 2
[space]
name = "cell"
nodes = 1
[trainer]
{trainer}
[data]
name = "digits"
[proxy]
channels = 4
cells = 3
[recipe]
batch_size = 64
"""
TRAINERS = {"scripted": 'name = "scripted"\nepoch_seconds = 0.5', "cells": 'name = "cell"'}


class Limit(NamedTuple):
    """One line of the table: `value` must be less than `most`, in `unit`; without a limit it is only shown."""

    what: str
    value: float
    unit: str
    most: float | None = None

    @property
    def kept(self) -> bool:
        """Whether it is."""
        return self.most is None or self.value < self.most


class Served:
    """A daemon on a store, from its start to its end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._config = folder / "daemon.toml"
        self._config.write_text(f'store = "{folder / "store"}"\n[devices]\nuse = "cpu"\ncpu_workers = 2\n')

    def start(self) -> float:
        """Starts it; returns the seconds until it answers."""
        command = [sys.executable, "-m", "orchestrator.cli", "serve", "--config", str(self._config)]
        began = time.monotonic()
        with (self._folder / "daemon.out").open("ab") as out:
            self.process = psutil.Popen(command, stdout=out, stderr=out)
        while True:
            try:
                self.socket = json.loads((self._folder / "store" / "run" / "daemon.json").read_text())["socket"]
                self.http = httpx.Client(
                    transport=httpx.HTTPTransport(uds=self.socket, verify=False),
                    base_url="http://localhost",
                    timeout=120.0,
                )
                self.http.get("/v1/health").raise_for_status()
            except (OSError, httpx.HTTPError):
                if self.process.poll() is not None:
                    raise SystemExit((self._folder / "daemon.out").read_text()) from None
                time.sleep(0.01)
            else:
                return time.monotonic() - began

    def submit(self, name: str) -> str:
        """Hands one of the two searches in."""
        spec = tomllib.loads(SPEC.format(name=name, trainer=TRAINERS[name]))
        answer = self.http.post("/v1/searches", json={"spec": spec, "file": name})
        answer.raise_for_status()
        return str(answer.json()["search"])

    def memory(self) -> int:
        """Bytes of its own process that are in memory."""
        return int(self.process.memory_info().rss)

    def processor(self) -> dict[str, float]:
        """Processor seconds so far, of itself and of its workers."""
        own = self.process.cpu_times()
        workers = [child.cpu_times() for child in self.process.children()]
        return {"daemon": own.user + own.system, "workers": sum(one.user + one.system for one in workers)}

    def buckets(self) -> dict[float, float]:
        """The histogram of the loop's lag so far: how often it was at most so many seconds."""
        lines = self.http.get("/metrics").text.splitlines()
        found = [line.split('le="')[1].split('"} ') for line in lines if line.startswith(f"{LAG}_bucket")]
        return {float(bound): float(count) for bound, count in found}

    def stop(self) -> None:
        """Ends it in good order."""
        self.http.close()
        self.process.terminate()
        self.process.wait(90)


def quantile(before: dict[float, float], after: dict[float, float], share: float) -> float:
    """The bound that this share of the observations between two looks at a histogram kept."""
    counts = {bound: after[bound] - before[bound] for bound in sorted(after)}
    wanted = share * counts[max(counts)]
    return next(bound for bound, count in counts.items() if count >= wanted)


def put_under_load(served: Served, args: argparse.Namespace) -> tuple[dict[str, Any], list[int]]:
    """Runs the clients; returns what they say, and the daemon's memory over the time, in bytes."""
    known = served.http.get("/v1/searches").json()[0]["search"]
    job = next(
        row["job"] for row in served.http.get("/v1/events?after=100&limit=50").json()["events"] if row.get("job")
    )
    after = served.http.get("/v1/health").json()["sequence"]
    here = Path(__file__).parent
    command = [sys.executable, str(here / "load_client.py"), served.socket, known, job, "--after", str(after)]
    command += ["--rate", str(args.rate), "--seconds", str(args.seconds), "--watchers", str(args.watchers)]
    clients = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert clients.stdin is not None
    assert clients.stdout is not None
    memory, lag, used = [], served.buckets(), served.processor()
    until = time.monotonic() + args.seconds
    while time.monotonic() < until and clients.poll() is None:
        memory.append(served.memory())
        time.sleep(1.0)
    clients.stdout.readline()
    after_lag, after_used = served.buckets(), served.processor()
    reached = served.http.get("/v1/health").json()["sequence"]
    clients.stdin.write(f"{reached}\n")
    clients.stdin.flush()
    told = json.loads(clients.communicate(timeout=120)[0])
    told["lag"] = {share: quantile(lag, after_lag, share) for share in (0.5, 0.99)}
    told["used"] = {name: after_used[name] - used[name] for name in used}
    told["after"], told["reached"] = after, reached
    return told, memory


def missed(told: dict[str, Any]) -> tuple[int, int]:
    """How many events all watchers together did not see, or not in their order and once; and how many there were.

    The journal's sequence has no gaps, so what each must have seen is all from where it began to where the load ended.
    """
    due = list(range(told["after"] + 1, told["reached"] + 1))
    wrong = 0
    for seen in told["watchers"]:
        wrong += len(set(due) - set(seen)) + (seen != list(range(told["after"] + 1, told["after"] + 1 + len(seen))))
    return wrong, len(due)


def table(told: dict[str, Any], memory: list[int], starts: tuple[float, float], lost: tuple[int, int]) -> list[Limit]:
    """What was measured, with the limits of issue 5."""
    asked = sum(told["codes"].values())
    third = max(1, len(memory) // 3)
    drift = sum(memory[-third:]) / third - sum(memory[third : 2 * third]) / third
    return [
        Limit("requests a second, answered", asked / told["seconds"], ""),
        Limit("answers that were not 200", asked - told["codes"].get("200", 0), "", 1),
        Limit("time of an answer, median", told["p50"] * 1e3, "ms"),
        Limit("time of an answer, p99", told["p99"] * 1e3, "ms"),
        Limit("lag of the event loop, median at most", told["lag"][0.5] * 1e3, "ms"),
        Limit("lag of the event loop, p99 at most", told["lag"][0.99] * 1e3, "ms", 50.001),
        Limit("events in that time", lost[1], ""),
        Limit("events missed, by all watchers together", lost[0], "", 1),
        Limit("memory of the daemon, most", max(memory) / 1e6, "MB", 400),
        Limit("memory, last third less the middle one", drift / 1e6, "MB", 10),
        Limit("start to serving, first", starts[0], "s", 5),
        Limit("start to serving, again after the load", starts[1], "s", 5),
        Limit("processor: daemon", told["used"]["daemon"] / told["seconds"], "cores"),
        Limit("processor: workers", told["used"]["workers"] / told["seconds"], "cores"),
        Limit("processor: clients", told["processor"] / told["seconds"], "cores"),
    ]


def run(folder: Path, args: argparse.Namespace) -> list[Limit]:
    """Runs the benchmark in a folder."""
    if not (folder / "store").exists():
        rows = load_store.write(folder / "store", SEARCHES, args.events)
        print(f"{rows} rows of {SEARCHES} searches; two more run", flush=True)
    served = Served(folder)
    first = served.start()
    for name in TRAINERS:
        served.submit(name)
    while not all(device["busy"] == 2 for device in served.http.get("/v1/devices").json()):
        time.sleep(0.1)
    told, memory = put_under_load(served, args)
    served.stop()
    again = served.start()
    served.stop()
    return table(told, memory, (first, again), missed(told))


def main() -> None:
    """Runs the benchmark; ends with 1 if a limit was not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--watchers", type=int, default=20)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--quick", action="store_true", help="a tenth of the events, ten seconds")
    parser.add_argument("--folder", type=Path, help="where the store is, or is made, and stays")
    args = parser.parse_args()
    if args.quick:
        args.events, args.seconds = args.events // 10, min(args.seconds, 10.0)
    with tempfile.TemporaryDirectory() as name:
        limits = run(args.folder or Path(name), args)
    for limit in limits:
        most = "" if limit.most is None else f"   (limit {limit.most:g}{'' if limit.kept else ': NOT KEPT'})"
        print(f"{limit.what:<42}{limit.value:>10.2f} {limit.unit:<6}{most}")
    sys.exit(not all(limit.kept for limit in limits))


if __name__ == "__main__":
    main()
