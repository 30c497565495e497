"""What the tests of the store run in processes of their own, to be killed, crowded or starved of space."""

from __future__ import annotations

import itertools
import resource
import sys
from pathlib import Path

import numpy as np

from store import blocks, format
from store.blobs import BlobStore
from store.blocks import KnowledgePool
from store.checkpoints import CheckpointStore
from store.errors import StoreError, StoreFull
from store.journal import Journal
from store.lock import StoreLock
from store.opening import Store
from store.records.events import WeightsPooled
from tests.store.builders import contribution, delivered, drawn, save


def say(*words: object) -> None:
    """Writes a line that the parent sees at once."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def append(folder: str) -> None:
    """Appends events in groups until it is killed; says the last acknowledged number after each."""
    journal = Journal(Path(folder))
    index = journal.count
    for size in itertools.cycle((1, 3, 20, 2)):
        events = [delivered(index + step) for step in range(size)]
        index += size
        say(journal.append(events))


def append_some(folder: str, rows: str) -> None:
    """Appends so many events one by one; says each number, or the error that ended it."""
    try:
        journal = Journal(Path(folder))
        for _ in range(int(rows)):
            say(journal.append([delivered(journal.count)]))
        journal.close()
    except StoreError as error:
        say(type(error).__name__, error.exit_code)


def save_for_ever(folder: str) -> None:
    """Saves checkpoints until it is killed; says each digest."""
    checkpoints = CheckpointStore(Path(folder))
    for epoch in itertools.count(1):
        say(save(checkpoints, seed=int(epoch % 7), epoch=epoch % 20 + 1, shared=2))


class Paused(CheckpointStore):
    """Waits to be told before it writes a manifest."""

    def _write(self, data: bytes) -> str:
        say("blocks are stored")
        sys.stdin.readline()
        return super()._write(data)


def save_with_a_pause(folder: str, epoch: str) -> None:
    """Saves a checkpoint, with a pause between its blocks and its manifest; says its digest."""
    say(save(Paused(Path(folder)), epoch=int(epoch)))


def put(folder: str, seed: str) -> None:
    """Puts the same forty blocks as every other process, ten at a time, in an order of its own."""
    blobs = BlobStore(Path(folder))
    order = np.random.default_rng(int(seed)).permutation(40)
    blocks = [np.full(1000, number, dtype=np.float32) for number in order]
    say("ready")
    sys.stdin.readline()
    for start in range(0, 40, 10):
        for digest in blobs.put(blocks[start : start + 10]):
            say(digest)


def hold_lock(folder: str) -> None:
    """Holds a store's lock until it is told to end, or killed."""
    with StoreLock(Path(folder)):
        say("held")
        sys.stdin.readline()


def open_for_writing(folder: str) -> None:
    """Opens a store for writing; says what came of it."""
    try:
        with Store.open(Path(folder), write=True, create=True):
            say("opened")
    except StoreError as error:
        say(type(error).__name__, error)


def open_for_reading(folder: str) -> None:
    """Opens a store for reading; says how many rows it has, or the error."""
    try:
        with Store.open(Path(folder), write=False) as store:
            say(store.journal.count, sum(1 for _ in store.journal.rows()), len(store.checkpoints.digests()))
    except StoreError as error:
        say(type(error).__name__, error)


def fill(folder: str, largest: str) -> None:
    """Writes to a journal until files may not grow, then lets them grow; says what was acknowledged."""
    journal = Journal(Path(folder))
    say(journal.append([delivered(0)]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(largest), resource.RLIM_INFINITY))
    refusals = 0
    while refusals < 3:
        try:
            journal.append([delivered(journal.count)])
        except StoreFull:
            refusals += 1
    say(journal.count)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    say(journal.append([delivered(journal.count)]))
    journal.close()


def save_in_little_space(folder: str, largest: str) -> None:
    """Saves a checkpoint where files may not grow large enough, then again where they may."""
    checkpoints = CheckpointStore(Path(folder))
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(largest), resource.RLIM_INFINITY))
    try:
        save(checkpoints)
    except StoreFull as error:
        say("StoreFull", error)
    say(sum(1 for _ in checkpoints.blobs.temporary.iterdir()), sum(1 for _ in checkpoints.blobs.names()))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    say(save(checkpoints))


def pool_for_ever(folder: str) -> None:
    """Takes in what an earlier process did not, then contributes networks until it is killed; says each row."""
    blocks._FEWEST_RECORDS = 16  # so that the file is often written anew
    format.ensure(Path(folder))
    journal = Journal(Path(folder))
    pool = KnowledgePool.open(Path(folder))
    for earlier in journal.rows(pool.sequence):
        assert isinstance(earlier.event, WeightsPooled)
        pool.add(earlier.sequence, "a", earlier.event.contribution)
    for number in itertools.count(journal.count + 1):
        made = contribution(number, drawn(number))
        row = journal.append([WeightsPooled(search="a", call=number, contribution=made)])
        pool.add(row, "a", made, {"cells.0": 1000})
        say(row)


def pool_in_little_space(folder: str, largest: str) -> None:
    """Contributes networks where files may not grow, asks for them, then writes what waits where they may."""
    pool = KnowledgePool.open(Path(folder))
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(largest), resource.RLIM_INFINITY))
    for number in range(1, 41):
        pool.add(number, "a", contribution(number, drawn(number)))
    say(pool.forget([f"{7:064x}"]), len(pool), pool.statistics().waiting)
    try:
        pool.flush()
    except StoreFull as error:
        say("StoreFull", error)
    say(len(KnowledgePool.open(Path(folder), read_only=True)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    pool.flush()
    say(pool.statistics().waiting)
    pool.close()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
