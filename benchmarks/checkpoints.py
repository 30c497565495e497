"""Saving and loading a real checkpoint, every byte durable, against plain files, torch, safetensors and zarr itself.

    python benchmarks/checkpoints.py [--quick] [--rounds N] [--folder DIR]

The state is DARTS_V2 at C = 36 with 20 cells and its momentum: 3.35 M parameters, 27 MB. All contenders save and load
it in turns, round after round, with every tensor changed before each round, so that nothing is stored already. A save
ends when the bytes and the names are durable: the peers' files are fsynced, and so is their folder. A load gives
tensors in memory of their own, from a warm page cache. coldframe hashes what it writes and checks what it reads; of the
peers, torch computes a CRC-32 of what it writes, and none checks what it reads.

Then a hundred checkpoints of which each shares 70 % of its blocks with the one before: bytes on disk.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors
import safetensors.torch
import torch
import zarr

from store.checkpoints import CheckpointStore
from store.records.candidates import Recipe
from store.records.outcomes import EpochMetrics
from strategies.spaces.published import PUBLISHED
from trainers.networks.network import build
from trainers.networks.shape import Shape
from trainers.sgd import SGD
from trainers.state import tensors_of

State = dict[str, dict[str, dict[str, np.ndarray[Any, np.dtype[Any]]]]]
Flat = dict[str, torch.Tensor]
MEGABYTE = 1e6


class Contender(NamedTuple):
    """One way to keep a state: `save` returns what `load` needs."""

    name: str
    save: Callable[[int], Any]
    load: Callable[[Any], Any]


def make_state() -> State:
    """Returns the state of DARTS_V2 after some training, as far as its sizes go: by role, block and name."""
    network = build(PUBLISHED["DARTS_V2"], Shape(36, 20, 10, 32), seed=0)
    optimizer = SGD(network, Recipe())
    return {
        role: {block: {name: array.copy() for name, array in named.items()} for block, named in blocks.items()}
        for role, blocks in tensors_of(network, optimizer).items()
    }


def arrays_of(state: State) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    """Returns the state's arrays under one name each."""
    return {
        f"{role}/{block}/{name}": array
        for role, blocks in state.items()
        for block, named in blocks.items()
        for name, array in named.items()
    }


def change(arrays: Mapping[str, np.ndarray[Any, np.dtype[Any]]], rng: np.random.Generator) -> None:
    """Gives arrays new values, as a step of training does."""
    for array in arrays.values():
        if array.dtype.kind == "f":
            array[...] = rng.standard_normal(array.shape, dtype=np.float32)
        else:
            array += 1


def sync(path: Path) -> None:
    """Makes a file's bytes, or a folder's names, durable."""
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def save_with(checkpoints: CheckpointStore, state: State, epoch: int) -> str:
    """Saves a state as a trainer does at the end of an epoch."""
    metrics = EpochMetrics(epoch=1, train_loss=1, train_accuracy=0.5, validation_loss=1, validation_accuracy=0.5)
    return checkpoints.save(
        candidate="0" * 64, epoch=epoch, step=0, history=[metrics] * epoch, sums={}, position="{}", tensors=state
    )


def contenders(folder: Path, state: State) -> list[Contender]:
    """Returns ourselves first, then the peers."""
    arrays = arrays_of(state)
    flat: Flat = {name: torch.from_numpy(array) for name, array in arrays.items()}
    checkpoints = CheckpointStore(folder / "store")

    def file(save: Callable[[Path], None], ending: str) -> Callable[[int], Path]:
        def run(number: int) -> Path:
            path = folder / f"{number}.{ending}"
            save(path)
            if path.is_file():
                sync(path)
            else:
                for each in (*path.rglob("*"), path):
                    sync(each)
            sync(folder)
            return path

        return run

    def plain(path: Path) -> None:
        with path.open("wb", buffering=0) as out:
            for array in arrays.values():
                out.write(array.data)

    def one_write(path: Path) -> None:
        with path.open("wb", buffering=0) as out:
            out.write(joined.data)

    def zarr_array(path: Path) -> None:
        whole = np.concatenate([array.reshape(-1).view(np.uint8) for array in arrays.values()])
        array = zarr.create_array(path, shape=whole.shape, chunks=whole.shape, dtype="uint8", compressors=None)
        array[:] = whole

    joined = np.zeros(sum(array.nbytes for array in arrays.values()), dtype=np.uint8)
    return [
        Contender("coldframe", lambda n: save_with(checkpoints, state, n % 50 + 1), checkpoints.load),
        Contender("plain write of one buffer", file(one_write, "bytes"), Path.read_bytes),
        Contender("plain write of each tensor", file(plain, "parts"), Path.read_bytes),
        Contender("torch.save", file(lambda path: torch.save(flat, path), "pt"), torch.load),
        Contender(
            "safetensors",
            file(lambda path: safetensors.torch.save_file(flat, path), "safetensors"),
            safetensors.torch.load_file,
        ),
        Contender(
            "zarr, one flat array",
            file(zarr_array, "zarr"),
            lambda path: zarr.open_array(path, mode="r")[:],
        ),
    ]


def compare(folder: Path, rounds: int) -> None:
    """Prints how long each contender takes to save and to load the state."""
    state = make_state()
    arrays = arrays_of(state)
    size = sum(array.nbytes for array in arrays.values()) / MEGABYTE
    blocks = sum(map(len, state.values()))
    print(f"One checkpoint: {size:.1f} MB in {len(arrays)} tensors, {blocks} blocks; median of {rounds} rounds\n")
    rng = np.random.default_rng(0)
    table = contenders(folder, state)
    saves: dict[str, list[float]] = {each.name: [] for each in table}
    loads: dict[str, list[float]] = {each.name: [] for each in table}
    for number in range(rounds + 1):
        change(arrays, rng)
        for each in table[number % len(table) :] + table[: number % len(table)]:
            started = time.perf_counter()
            saved = each.save(number)
            between = time.perf_counter()
            loaded = each.load(saved)
            ended = time.perf_counter()
            del loaded
            if number:  # the first round warms up
                saves[each.name].append(between - started)
                loads[each.name].append(ended - between)
            if isinstance(saved, Path):
                shutil.rmtree(saved) if saved.is_dir() else saved.unlink()
    own_save, own_load = statistics.median(saves["coldframe"]), statistics.median(loads["coldframe"])
    print(f"{'':28}{'save ms':>9}{'MB/s':>7}{'ratio':>7}{'load ms':>10}{'MB/s':>7}{'ratio':>7}")
    for each in table:
        save, load = statistics.median(saves[each.name]), statistics.median(loads[each.name])
        print(
            f"{each.name:28}{save * 1e3:9.1f}{size / save:7.0f}{save / own_save:7.2f}"
            f"{load * 1e3:10.1f}{size / load:7.0f}{load / own_load:7.2f}"
        )
    aims(saves, loads)


def aims(saves: dict[str, list[float]], loads: dict[str, list[float]]) -> None:
    """Prints whether the aims are met."""
    save = statistics.median(saves["torch.save"]) / statistics.median(saves["coldframe"])
    load = statistics.median(loads["safetensors"]) / statistics.median(loads["coldframe"])
    print("\nratio: time over coldframe's; above 1 is slower than coldframe")
    print(f"aim, save no slower than torch.save: {save:.2f} of at least 1  {'met' if save >= 1 else 'NOT met'}")
    print(f"aim, load in half of safetensors' time: {load:.2f} of at least 2  {'met' if load >= 2 else 'NOT met'}\n")


def on_disk(folder: Path, *, allocated: bool) -> int:
    """Returns the bytes of all files of a folder, or the bytes of the disk's blocks that they take."""
    states = [path.stat() for path in folder.rglob("*")]
    return sum(state.st_blocks * 512 if allocated else state.st_size for state in states)


def share(folder: Path, count: int) -> None:
    """Prints what checkpoints take on disk when each shares 70 % of its blocks with the one before."""
    state = make_state()
    rng = np.random.default_rng(1)
    change(arrays_of(state), rng)
    checkpoints = CheckpointStore(folder / "shared")
    places = [(role, block) for role in state for block in state[role]]
    unique = sum(array.nbytes for array in arrays_of(state).values())
    save_with(checkpoints, state, 1)
    for number in range(1, count):
        for index in rng.choice(len(places), size=round(0.3 * len(places)), replace=False):
            role, block = places[index]
            change(state[role][block], rng)
            unique += sum(array.nbytes for array in state[role][block].values())
        save_with(checkpoints, state, number % 50 + 1)
    checkpoints.close()
    torch.save(arrays_as_torch(state), folder / "one.pt")
    peer = count * (folder / "one.pt").stat().st_size
    print(f"{count} checkpoints, 70 % of the blocks shared with the one before\n")
    print(f"{'':44}{'MB':>9}{'of unique':>11}")
    rows = [
        ("unique bytes of tensors", unique),
        ("coldframe, files", on_disk(folder / "shared", allocated=False)),
        ("coldframe, blocks of the disk", on_disk(folder / "shared", allocated=True)),
        (f"torch.save, {count} times one file's size", peer),
    ]
    for name, size in rows:
        print(f"{name:44}{size / MEGABYTE:9.1f}{size / unique:11.3f}")
    ratio = rows[2][1] / unique
    print(f"\naim, within 5 % of the unique bytes: {ratio:.3f}  {'met' if ratio <= 1.05 else 'NOT met'}")


def arrays_as_torch(state: State) -> Flat:
    """Returns the state as tensors under one name each."""
    return {name: torch.from_numpy(array) for name, array in arrays_of(state).items()}


def main() -> None:
    """Runs both parts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="3 rounds, 10 checkpoints")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--folder", type=Path, default=Path("bench-out/store"), help="on the disk to be measured")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"torch {torch.__version__}, safetensors {safetensors.__version__}, zarr {zarr.__version__}, "
        f"Python {platform.python_version()}, {os.cpu_count()} cores\n"
    )
    shutil.rmtree(arguments.folder, ignore_errors=True)
    arguments.folder.mkdir(parents=True)
    try:
        for part in ("store", "shared"):
            (arguments.folder / part).mkdir()
        compare(arguments.folder, 3 if arguments.quick else arguments.rounds)
        share(arguments.folder, 10 if arguments.quick else 100)
    finally:
        shutil.rmtree(arguments.folder)


if __name__ == "__main__":
    main()
