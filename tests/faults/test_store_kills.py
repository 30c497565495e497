"""SIGKILL at every write, sync, rename, unlink and truncation of a search: of the daemon's core, and of a worker.

The reference search is traced; each of its system calls is a point, and at each point a search of its own is killed
inside that call. Then the search is taken up again and has to end as the reference did. strace counts the calls of each
thread, and the first thread that comes to the number dies: so the opening thread is killed while it makes a new store,
and the journal's thread in a store that is there already, where opening takes few calls.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from store.check import check
from store.journal import Journal
from store.journal_head import read_head
from store.opening import Store
from tests.faults import store_zygote
from tests.system import harness

ROOT = Path(__file__).resolve().parents[2]
GROUPS = {
    "write": "write",
    "pwrite64": "pwrite64",
    "fsync": "fsync",
    "fdatasync": "fdatasync",
    "rename": "rename,renameat,renameat2",
    "unlink": "unlink,unlinkat,rmdir",
    "ftruncate": "ftruncate",
}
SHARES = 24
"""The long series is so many tests, which processes share; each takes every twenty-fourth of its points."""
STEP = 1 if os.environ.get("COLDFRAME_EVERY_POINT") == "1" else 3
"""The long series takes every third point, unless all of them are asked for."""
SPEC = """
name = "killed"
seed = 5

[strategy]
name = "econas"
initial = 4
cycles = 1
children = 2
promoted_to_2e = 1
promoted_to_3e = 1
epochs = 2
top = 1

[space]
name = "cell"

[trainer]
name = "scripted"
steps = 1
floats = 16

[data]
name = "digits"

[resources]
workers = 1
checkpoint_seconds = 0.001
retries = 50
"""

pytestmark = [pytest.mark.system, pytest.mark.timeout(1800)]


class Point(NamedTuple):
    """The so-many-th system call of a group, in the first thread of a victim that comes to it."""

    victim: str
    group: str
    occasion: int


class Zygote:
    """A process that forks searches."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.faults.store_zygote"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def run(self, folder: Path, **order: Any) -> dict[str, Any]:
        """Runs the search of a folder; returns how its process ended, and what had been acknowledged."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        usual = {"spec": f"{folder}/spec.toml", "store": f"{folder}/store", "said": f"{folder}/said"}
        self._process.stdin.write(json.dumps(usual | {"trace": f"{folder}/trace"} | order) + "\n")
        ended: dict[str, Any] = json.loads(self._process.stdout.readline())
        return ended

    def close(self) -> None:
        """Ends it."""
        self._process.communicate(timeout=30)


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    if subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace may not trace here")
    made = Zygote()
    yield made
    made.close()


class Reference(NamedTuple):
    """The search without a kill: its result, its checkpoints, and every point at which it can be killed."""

    result: bytes
    checkpoints: dict[str, str]
    points: list[Point]


@pytest.fixture(scope="module")
def reference(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    points: list[Point] = []
    for victim in ("new store", "known store", "worker"):
        folder = new_folder(tmp_path_factory.mktemp(victim.replace(" ", "-")), victim)
        ended = zygote.run(folder, **orders(folder, victim, ["-e", f"trace={','.join(GROUPS.values())}"]))
        assert ended["exit"] == 0, (folder / "said").read_text()
        points += points_of(victim, (folder / "trace").read_text())
    return Reference(history(folder / "store"), harness.checkpoints(folder / "store"), points)


def new_folder(folder: Path, victim: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "spec.toml").write_text(SPEC)
    if victim != "new store":
        Store.open(folder / "store", write=True, create=True).close()
    return folder


def orders(folder: Path, victim: str, options: list[str]) -> dict[str, Any]:
    if victim == "worker":
        return {"python": str(store_zygote.wrapper(folder, options))}
    return {"strace": options}


def points_of(victim: str, trace: str) -> list[Point]:
    """Every system call of the victim's thread: the one that opens the store, or the one that makes most calls."""
    calls: dict[str, Counter[str]] = {}
    for line in trace.splitlines():
        thread, _, rest = line.partition(" ")
        name = rest.strip().partition("(")[0]
        group = next((group for group, names in GROUPS.items() if name in names.split(",")), None)
        if group is not None and "resumed>" not in rest:
            calls.setdefault(thread, Counter())[group] += 1
    threads = sorted(calls, key=lambda thread: calls[thread].total())
    chosen = calls[min(threads, key=int) if victim == "new store" else threads[-1]]
    return [Point(victim, group, occasion + 1) for group in GROUPS for occasion in range(chosen[group])]


def history(store: Path) -> bytes:
    """The result in the journal: best networks, every network in its order, curves."""
    return json.dumps(harness.result(store), sort_keys=True).encode()


def kill_at(zygote: Zygote, reference: Reference, point: Point, folder: Path) -> bool:
    """Kills a search at a point and sees it to its end; returns whether it came to the point."""
    store = new_folder(folder, point.victim) / "store"
    inject = ["-e", f"trace={GROUPS[point.group]}"]
    inject += ["-e", f"inject={GROUPS[point.group]}:signal=SIGKILL:when={point.occasion}"]
    ended = zygote.run(folder, **orders(folder, point.victim, inject))
    said = (folder / "said").read_text()
    if point.victim == "worker":
        killed = "killed by SIGKILL" in (folder / "trace").read_text()
    else:
        killed = ended["exit"] == -signal.SIGKILL
    if ended["exit"]:
        assert killed, f"{point}: {said}"
        assert_nothing_lost(store, ended)
        make_strays_old(store)
        again = zygote.run(folder)
        assert again["exit"] == 0, f"{point}: {(folder / 'said').read_text()}"
    else:
        make_strays_old(store)
        assert zygote.run(folder)["exit"] == 0  # opens the store, finds the search finished
    assert history(store) == reference.result, point
    assert harness.checkpoints(store) == reference.checkpoints, point
    assert strays(store) == [], point
    return killed


def assert_nothing_lost(store: Path, ended: dict[str, Any]) -> None:
    """What was acknowledged is there, and of what was not at most the one transaction that was under way."""
    if not (store / "journal.head").exists():
        assert ended["acknowledged"] == 0
        return
    head = read_head(store)
    assert head is not None
    count = Journal(store, read_only=True).count
    assert ended["acknowledged"] <= head.rows <= count <= max(ended["submitted"], ended["acknowledged"])


def make_strays_old(store: Path) -> None:
    then = time.time() - 7200
    for folder in (store / "tmp", store / "blobs" / "tmp"):
        for stray in folder.iterdir() if folder.is_dir() else ():
            os.utime(stray, (then, then))


def strays(store: Path) -> list[Path]:
    return [*(store / "tmp").iterdir(), *(store / "blobs" / "tmp").iterdir()]


def kill_at_all(zygote: Zygote, reference: Reference, points: list[Point], folder: Path) -> int:
    """Kills at each of the points; returns how many were come to."""
    came = 0
    for number, point in enumerate(points):
        came += kill_at(zygote, reference, point, folder / str(number))
        if number % 20 == 0:
            assert check(folder / str(number) / "store").clean, point
        shutil.rmtree(folder / str(number))
    return came


def test_a_search_killed_at_a_few_of_its_system_calls_loses_nothing(
    zygote: Zygote, reference: Reference, tmp_path: Path
) -> None:
    assert len(reference.points) > 600
    few = reference.points[7 :: len(reference.points) // 9]
    assert kill_at_all(zygote, reference, few, tmp_path) >= len(few) - 1


@pytest.mark.faults
@pytest.mark.parametrize("share", range(SHARES))
def test_a_search_killed_at_any_of_its_system_calls_loses_nothing(
    zygote: Zygote, reference: Reference, tmp_path: Path, share: int
) -> None:
    points = reference.points[::STEP][share::SHARES]
    came = kill_at_all(zygote, reference, points, tmp_path)
    sys.stdout.write(f"killed at {came} of {len(points)} points\n")
    assert came >= 0.75 * len(points), "the search is the same each time, but for how its events are grouped"
