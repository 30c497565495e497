"""A daemon that is mistreated at random for half an hour: every search must end as if nobody had touched it.

    python benchmarks/soak.py [--minutes 30] [--seed 1] [--folder FOLDER]

Rounds of searches (two random ones, two EcoNAS) are run undisturbed first, by `coldframe run`;
then the same specs are handed to `coldframe serve`, on a tmpfs of 1 GB where one may be mounted, and faults come
(`soak_faults.py`) until the time is over. Ends with 1 if a result or a checkpoint differs, `check` finds a problem, a
process is left, an epoch was trained twice, or the daemon's memory grows.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import soak_faults

from store.journal import Journal
from store.records.events import AnyEvent, CheckpointSaved, JobSucceeded, SearchFinished, StaleReport
from store.records.outcomes import Trained

HEAD = """
name = "{name}"
seed = {seed}
[space]
name = "cell"
[trainer]
name = "scripted"
epoch_seconds = 0.2
steps = 4
[data]
name = "digits"
[resources]
retries = 10000
checkpoint_seconds = 0.1
[strategy]
"""
ECONAS = (
    'name = "econas"\ninitial = {initial}\ncycles = {cycles}\nchildren = {children}\n'
    "promoted_to_2e = {twice}\npromoted_to_3e = 1\nepochs = {epochs}\ntop = 2"
)
STRATEGIES = {
    "random": 'name = "random"\ncandidates = 30\nepochs = 2',
    "wide": ECONAS.format(initial=8, cycles=4, children=4, twice=2, epochs=2),
    "deep": ECONAS.format(initial=4, cycles=8, children=2, twice=1, epochs=3),
    "plain": 'name = "random"\ncandidates = 10\nepochs = 5',
}
"""None that depends on which job ends first: such a search is another one after every kill, by design."""
CONFIG = """
store = "{store}"
[devices]
use = "cpu"
cpu_workers = 3
[limits]
hang_seconds = 5.0
starts_per_minute = 10000
search_failures = 1000000
"""
END_SECONDS = 900.0
MEGABYTES = 1000


class Patient:
    """The daemon under test."""

    def __init__(self, folder: Path, *, small_disk: bool) -> None:
        self.store, self.small_disk = folder / "store", small_disk
        self.searches: list[str] = []
        self.starts, self.memory = 0, list[tuple[int, int]]()
        self._config, self._out = folder.parent / "daemon.toml", folder.parent / "daemon.out"
        self._config.write_text(CONFIG.format(store=self.store))
        self._process: psutil.Popen | None = None

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self._process is not None
        return int(self._process.pid)

    def restart(self, *, wait: bool) -> None:
        """Kills it, if it runs, and starts another; without `wait` it is not known whether that serves already."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        command = [sys.executable, "-m", "orchestrator.cli", "serve", "--config", str(self._config)]
        with self._out.open("ab") as out:
            self._process = psutil.Popen(command, stdout=out, stderr=out)
        self.starts += 1
        if wait:
            self.until_serving()

    def until_serving(self) -> None:
        """Waits until it answers; one that ended by itself is a failure, unless the disk was full when it began."""
        limit = time.monotonic() + 120.0
        while (answer := self.ask("GET", "/v1/health")) is None or answer.status_code != 200:
            assert self._process is not None
            if self._process.poll() is not None:
                raise AssertionError(f"the daemon ended by itself\n{self._out.read_text()[-3000:]}")
            assert time.monotonic() < limit, "the daemon does not answer"
            time.sleep(0.1)

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response | None:
        """Asks it something; None if it cannot be reached."""
        try:
            told = json.loads((self.store / "run" / "daemon.json").read_text())
            with httpx.Client(
                transport=httpx.HTTPTransport(uds=told["socket"], verify=False), base_url="http://localhost"
            ) as http:
                return http.request(method, path, timeout=20.0, **more)
        except (httpx.HTTPError, OSError, ValueError, KeyError):
            return None

    def workers(self) -> list[psutil.Process]:
        """Its workers."""
        with suppress(psutil.Error):
            return [child for child in psutil.Process(self.pid).children() if "trainers.worker" in child.cmdline()]
        return []

    def look(self) -> None:
        """Notes how much memory it takes, by how long its journal is."""
        answer = self.ask("GET", "/v1/health")
        if answer is not None and answer.status_code == 200 and self._process is not None:
            with suppress(psutil.Error):
                self.memory.append((answer.json()["sequence"], self._process.memory_info().rss))

    def submit(self, spec: str, name: str) -> None:
        """Hands a search in, until it is taken."""
        limit = time.monotonic() + 120.0
        while True:
            answer = self.ask("POST", "/v1/searches", json={"spec": tomllib.loads(spec), "file": name})
            if answer is not None and answer.status_code in {200, 201}:
                self.searches.append(answer.json()["search"])
                return
            assert time.monotonic() < limit, f"not taken: {answer and answer.text}"
            time.sleep(0.2)

    def unfinished(self) -> list[str]:
        """Searches that have not finished; what somebody paused or stopped is resumed."""
        answer = self.ask("GET", "/v1/searches")
        listed = answer.json() if answer is not None and answer.status_code == 200 else None
        if listed is None:
            return ["unknown"]
        left = [one for one in listed if one["status"] != "finished"]
        for one in left:
            if one["status"] in {"paused", "stopped", "failed", "pausing"}:
                self.ask("POST", f"/v1/searches/{one['search']}/resume", json={})
        return [one["search"] for one in left]

    def end(self) -> int:
        """SIGTERM; returns its exit status."""
        assert self._process is not None
        self._process.terminate()
        return int(self._process.wait(90))


@contextmanager
def small_disk(folder: Path) -> Iterator[tuple[Path, bool]]:
    """A small file system of its own where one may be mounted, else the folder."""
    disk = folder / "disk"
    disk.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(disk)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield disk, mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(disk)], check=True)


def specs(seed: int) -> dict[str, str]:
    """The searches of a round, by name."""
    return {
        f"{name}-{seed}": HEAD.format(name=f"{name}-{seed}", seed=seed) + text + "\n"
        for name, text in STRATEGIES.items()
    }


def undisturbed(folder: Path, texts: dict[str, str]) -> None:
    """Runs searches by `coldframe run` in a store of their own, with many workers, for they only sleep."""
    for name, text in texts.items():
        path = folder / f"{name}.toml"
        path.write_text(text)
        command = [sys.executable, "-m", "orchestrator.cli", "run", str(path), "--store", str(folder / "reference")]
        subprocess.run([*command, "--workers", "8", "--json"], check=True, capture_output=True)


def mistreat(patient: Patient, rng: random.Random, minutes: float, folder: Path) -> Counter[str]:
    """Faults, one after another, until the time is over; whenever all searches have ended, another round begins."""
    done, names, rounds = Counter[str](), list(soak_faults.FAULTS), 0
    weights = [weight for _, weight in soak_faults.FAULTS.values()]
    left = 60.0 * minutes
    while left > 0:
        if sum(done.values()) >= 10 * rounds and not patient.unfinished():
            rounds += 1
            texts = specs(1000 * rounds + rng.randrange(1000))
            undisturbed(folder, texts)
            for name, text in texts.items():
                patient.submit(text, name)
        began = time.monotonic()
        (name,) = rng.choices(names, weights)
        soak_faults.FAULTS[name][0](patient, rng)
        done[name] += 1
        patient.look()
        time.sleep(rng.uniform(0.0, 1.0))
        left -= time.monotonic() - began  # what runs undisturbed does not count
    done["(rounds of searches)"] = rounds
    return done


def see_out(patient: Patient) -> None:
    """Lets all searches finish, and the daemon leave."""
    patient.restart(wait=True)
    limit = time.monotonic() + END_SECONDS
    while left := patient.unfinished():
        assert time.monotonic() < limit, f"did not end: {left}"
        time.sleep(0.5)
    patient.look()
    assert patient.end() == 0


def events(store: Path) -> list[AnyEvent]:
    """A store's journal."""
    journal = Journal(store, read_only=True)
    found = [row.event for row in journal.rows()]
    journal.close()
    return found


def results(seen: list[AnyEvent]) -> tuple[dict[str, Any], dict[str, str]]:
    """The searches' last results, and the final checkpoints of all trainings."""
    ended = {event.search: event.result for event in seen if isinstance(event, SearchFinished)}
    trained = [event for event in seen if isinstance(event, JobSucceeded) and isinstance(event.outcome, Trained)]
    return ended, {event.job: event.outcome.checkpoint for event in trained if isinstance(event.outcome, Trained)}


def verdicts(patient: Patient, folder: Path) -> dict[str, tuple[Any, bool]]:
    """What must hold at the end, each with what was found and whether it holds."""
    seen = events(patient.store)
    mine, expected = results(seen), results(events(folder / "reference"))
    saved = Counter((e.candidate, e.epoch) for e in seen if isinstance(e, CheckpointSaved) and e.step == 0)
    check = [sys.executable, "-m", "orchestrator.cli", "check", "--store", str(patient.store), "--json"]
    problems = json.loads(subprocess.run(check, capture_output=True, text=True, check=False).stdout)["problems"]
    left = [p.pid for p in psutil.process_iter(["cmdline"]) if str(patient.store) in (p.info["cmdline"] or [])]
    most = max(rss for _, rss in patient.memory) / 1e6
    return {
        "journal events": (len(seen), True),
        "store, MB": (round(sum(p.stat().st_size for p in patient.store.rglob("*") if p.is_file()) / 1e6), True),
        "daemons started": (patient.starts, True),
        "fenced results": (sum(isinstance(event, StaleReport) for event in seen), True),
        "searches as if undisturbed": (
            f"{sum(mine[0].get(k) == v for k, v in expected[0].items())} of {len(expected[0])}",
            mine[0] == expected[0],
        ),
        "final checkpoints the same": (len(mine[1]), mine[1] == expected[1]),
        "epochs committed more than once": (sum(count > 1 for count in saved.values()), max(saved.values()) == 1),
        "problems that `check` finds": (len(problems), not problems),
        "processes left": (len(left), not left),
        "most memory of the daemon, MB": (round(most), most < 400),
    }


def main() -> None:
    """Runs the soak."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the stores are made, and stay")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as name, small_disk(args.folder or Path(name)) as (disk, small):
        folder = disk.parent
        patient = Patient(disk, small_disk=small)
        patient.restart(wait=True)
        done = mistreat(patient, rng, args.minutes, folder)
        see_out(patient)
        found = verdicts(patient, folder)
    print(f"seed {args.seed}, {args.minutes:g} minutes, disk of its own: {'yes' if small else 'no'}")
    for fault, count in done.most_common():
        print(f"{fault:<42}{count:>8}")
    for what, (value, holds) in found.items():
        print(f"{what:<42}{value:>8}{'' if holds else '   WRONG'}")
    sys.exit(not all(holds for _, holds in found.values()))


if __name__ == "__main__":
    main()
