"""The knowledge pool with a million entries of 64 dimensions, against faiss's flat index of the same embeddings.

    python benchmarks/pool.py [--entries 1000000] [--quick] [--faiss PYTHON] [--processor]

Keys are drawn uniformly. A question is a network of 20 blocks: *exact* keys that the pool has, *near* ones with two
tokens changed, *far* ones drawn anew. Each kind is asked 25 times, with other keys, and the median is given. `--faiss`
names a Python that has faiss-cpu (`make bench` installs one); its answers have to be as near. Without it that column is
left out, and the script says so. Both use one thread. `--processor` gives processor time instead of wall-clock time,
for a machine that is busy with other work; it leaves out the waits for the disk.

An insertion is durable when its row of the journal is. So its time is given alone, and with that row's commit.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from store.blocks import KnowledgePool
from store.format import ensure
from store.journal import Journal
from store.records.events import WeightsPooled
from store.records.knowledge import BlockKey, Contribution, PoolQuery

PEER = Path(__file__).with_name("faiss_peer.py")
FEW, MANY = (6,) * 6 + (7,) * 4, (4,) * 16
POOLS = {
    "one search, 10 tokens of 6 or 7 choices": (FEW, 1),
    "one search, 16 tokens of 4 choices": (MANY, 1),
    "20 searches with the same keys, 16 tokens of 4 choices": (MANY, 20),
}
SPACE, SHAPE, STEPS = "5" * 64, (3, 32, 32), 400
BLOCKS = 20
ROUNDS = 25
DURABLE = 250
KINDS = ("exact", "near", "far")
LIMITS = {"exact": 10.0, "near": 10.0, "far": 10.0, "insert": 1.0, "durable": 1.0, "open": 2000.0, "memory": 400.0}
WORDS = {
    "exact": "lookup of 20 exact keys, ms",
    "near": "lookup of 20 near keys, ms",
    "far": "lookup of 20 far keys, ms",
    "first": "first lookup after opening, ms",
    "insert": "insertion of one entry, ms",
    "durable": "the same with its row of the journal, ms",
    "open": "opening, ms",
    "memory": "memory of the process, MB",
    "file": "file, MB",
}
Tokens = npt.NDArray[np.int64]
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


def draw(rng: np.random.Generator, choices: tuple[int, ...], count: int) -> Tokens:
    """Returns keys (count, tokens)."""
    return np.stack([rng.integers(0, each, count) for each in choices], axis=1)


def different(rng: np.random.Generator, choices: tuple[int, ...], count: int) -> Tokens:
    """Returns keys (count, tokens) that are all different, in random order."""
    drawn = draw(rng, choices, count + count // 8)
    _, first = np.unique(drawn @ np.cumprod([1, *choices[:-1]]), return_index=True)
    return drawn[rng.permutation(first)[:count]]


def questions(rng: np.random.Generator, choices: tuple[int, ...], keys: Tokens) -> dict[str, Tokens]:
    """Returns for each kind of question the keys of its networks, (rounds * blocks, tokens)."""
    exact = keys[rng.integers(0, len(keys), ROUNDS * BLOCKS)]
    near = exact.copy()
    rows = np.arange(len(near))
    for place in rng.permuted(np.tile(np.arange(len(choices)), (len(near), 1)), axis=1)[:, :2].T:
        near[rows, place] = (near[rows, place] + 1) % np.asarray(choices)[place]
    return {"exact": exact, "near": near, "far": draw(rng, choices, ROUNDS * BLOCKS)}


def expanded(keys: Tokens, choices: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Returns the one-hot embeddings of keys, (n, 64)."""
    embeddings = np.zeros((len(keys), sum(choices)), dtype=np.float32)
    np.put_along_axis(embeddings, keys + np.cumsum([0, *choices[:-1]]), 1.0, axis=1)
    return embeddings


def blocks_of(keys: Tokens) -> tuple[BlockKey, ...]:
    """Returns the blocks of a network."""
    return tuple(
        BlockKey(name=f"cell{number:02d}", tokens=tuple(tokens)) for number, tokens in enumerate(keys.tolist())
    )


def contribution(number: int, keys: Tokens, choices: tuple[int, ...]) -> Contribution:
    """Returns a trained network."""
    digest = f"{number:064x}"
    blocks = blocks_of(keys)
    return Contribution(
        candidate=digest, checkpoint=digest, space=SPACE, choices=choices, shape=SHAPE, blocks=blocks, iterations=STEPS
    )


def searches(count: int) -> list[str]:
    """Returns the ids of so many searches."""
    return [f"{number:064x}" for number in range(count)]


def fill(
    folder: Path, keys: Tokens, choices: tuple[int, ...], count: int, clock: Callable[[], float]
) -> dict[str, float]:
    """Makes a pool of these keys for each of so many searches.

    Returns:
        Seconds of the insertion of an entry, alone and (for the last ones) with the journal.
    """
    ensure(folder)
    pool, journal = KnowledgePool.open(folder), Journal(folder)
    sizes = {f"cell{number:02d}": 100_000 for number in range(BLOCKS)}
    networks = [
        (search, keys[start : start + BLOCKS]) for search in searches(count) for start in range(0, len(keys), BLOCKS)
    ]
    alone = together = 0.0
    for number, (search, network) in enumerate(networks, start=1):
        made = contribution(number, network, choices)
        started = clock()
        if number > len(networks) - DURABLE:
            journal.append([WeightsPooled(search=search, call=number, contribution=made)])
        committed = clock()
        pool.add(number, search, made, sizes)
        ended = clock()
        alone += ended - committed
        together += ended - started if number > len(networks) - DURABLE else 0.0
    started = clock()
    pool.close()
    alone += clock() - started
    journal.close()
    return {"insert": alone / (len(keys) * count), "durable": together / (DURABLE * BLOCKS)}


def ask(folder: Path, choices: tuple[int, ...], count: int, clock: Callable[[], float]) -> dict[str, float]:
    """Opens a pool and asks it; the equal tokens go into `NAME-pool.npy`."""
    started = clock()
    pool = KnowledgePool.open(folder / "store", read_only=True)
    found = {"open": clock() - started, "entries": float(len(pool))}
    for name in KINDS:
        seconds, similarities = [], []
        for keys in np.load(folder / f"{name}-tokens.npy"):
            query = PoolQuery(space=SPACE, choices=choices, shape=SHAPE, blocks=blocks_of(keys), bar=1.0)
            started = clock()
            answer = pool.match(query, searches=searches(count))
            seconds.append(clock() - started)
            similarities.append([block.similarity for block in answer.blocks])
        found.setdefault("first", seconds[0])
        found[name] = statistics.median(seconds[1:])
        np.save(folder / f"{name}-pool.npy", np.array(similarities) * len(choices))
    status = Path("/proc/self/status").read_text().splitlines()
    found["memory"] = next(int(line.split()[1]) / 1e3 for line in status if line.startswith("VmHWM"))
    found["file"] = (folder / "store" / "pool" / "entries").stat().st_size / 1e6
    return found


def spoken(command: list[str]) -> dict[str, Any]:
    """Returns the JSON object that a program writes."""
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(out)
    return found


def measure(choices: tuple[int, ...], count: int, entries: int, faiss: str | None, clock: str) -> list[dict[str, Any]]:
    """Returns what the pool and, if it is there, faiss took; each is asked in a process of its own."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keys = different(rng, choices, entries // count)
        for kind, asked in questions(rng, choices, keys).items():
            np.save(folder / f"{kind}-tokens.npy", asked.reshape(ROUNDS, BLOCKS, -1))
            np.save(folder / f"{kind}.npy", expanded(asked, choices).reshape(ROUNDS, BLOCKS, -1))
        filled = fill(folder / "store", keys, choices, count, CLOCKS[clock])
        taken = [filled | spoken([sys.executable, __file__, "--ask", name, json.dumps([choices, count, clock])])]
        if faiss is not None:
            np.save(folder / "vectors.npy", np.tile(expanded(keys, choices), (count, 1)))
            taken.append(spoken([faiss, str(PEER), name, clock, *KINDS]))
            for kind in KINDS:
                ours, theirs = (np.load(folder / f"{kind}-{side}.npy").round() for side in ("pool", "faiss"))
                np.testing.assert_array_equal(ours, theirs, f"the nearest of the {kind} keys")
    return taken


def show(taken: list[dict[str, Any]]) -> None:
    """Prints a table."""
    print(f"{'':<40}{'coldframe':>11}{'faiss':>11}{'ratio':>9}   limit")
    for what, words in WORDS.items():
        scale = 1.0 if what in ("memory", "file") else 1000.0
        ours, *theirs = (side[what] * scale for side in taken if what in side)
        line = f"{words:<40}{ours:>11.3f}"
        line += f"{theirs[0]:>11.3f}{theirs[0] / ours:>8.1f}x" if theirs else " " * 20
        print(
            line + (f"   {LIMITS[what]:g}: {'kept' if ours < LIMITS[what] else 'NOT KEPT'}" if what in LIMITS else "")
        )


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true", help="a tenth of the entries")
    parser.add_argument("--faiss", help="a Python with faiss-cpu")
    parser.add_argument("--processor", action="store_true", help="processor time, for a busy machine")
    parser.add_argument("--ask", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.ask is not None:
        choices, count, clock = json.loads(args.ask[1])
        print(json.dumps(ask(Path(args.ask[0]), tuple(choices), count, CLOCKS[clock])))
        return
    clock = "processor" if args.processor else "wall"
    entries = args.entries // 10 if args.quick else args.entries
    if args.faiss is None:
        print("faiss: left out, no --faiss PYTHON was given")
    for words, (choices, count) in POOLS.items():
        taken = measure(choices, count, entries, args.faiss, clock)
        versions = f"; faiss {taken[1]['version']}, IndexFlatIP" if len(taken) > 1 else ""
        print(f"\n{taken[0]['entries']:.0f} entries, {words}; {clock} time{versions}")
        show(taken)


if __name__ == "__main__":
    main()
