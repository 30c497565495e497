"""FNAS with real training: killed and taken up again, on from another search, with a damaged or an unlike pool."""

from __future__ import annotations

import random
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from sklearn.datasets import load_digits

from store.checkpoints import CheckpointStore
from store.records.arrays import unpack
from store.records.events import (
    AnyEvent,
    CheckpointQuarantined,
    JobFailed,
    JobSucceeded,
    Requested,
    SearchOpened,
    WeightsMatched,
    WeightsPooled,
)
from store.records.outcomes import Trained
from store.records.requests import AnyRequest, Compute, Train
from tests.store.builders import flip
from tests.system import harness
from tests.system.test_kill import assert_same_search, assert_sound

FNAS = """
name = "{name}"
seed = 3

[strategy]
name = "fnas"
samples = {samples}
batch = {batch}
epochs = 1
top = 3
target = 4e4
learning_rate = 0.01
trust_window = 12
pool_warmup = 3
{strategy}

[space]
{space}

[data]
{data}

[proxy]
channels = 4
resolution = 8
cells = 5

[recipe]
batch_size = 128
padding = 1
flip = false

[resources]
workers = 1
checkpoint_seconds = 0.2
"""
pytestmark = pytest.mark.timeout(300)  # for a machine that is busy with other things
TRANSFER = '[strategy.transfer]\ncritic = "first"\npool = ["first"]'


def spec(folder: Path, name: str, **changes: object) -> Path:
    path = folder / f"{name}.toml"
    usual = {"samples": 18, "batch": 6, "strategy": "", "space": 'name = "nasbench201"', "data": 'name = "digits"'}
    path.write_text(FNAS.format(**usual | {"name": name} | changes))
    return path


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a finished search on the digits; tests that go on in it take a copy."""
    folder = tmp_path_factory.mktemp("first")
    harness.run(spec(folder, "first"), folder / "store")
    return folder / "store"


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Another task with images of the same shape: the digits turned by a quarter, odd or even."""
    digits = load_digits()
    images = np.rot90((15 * digits.images).astype(np.uint8), axes=(1, 2))[:600]
    path = tmp_path_factory.mktemp("turned") / "turned.npz"
    labels = digits.target[:600] % 2
    np.savez(path, x_train=images[100:], y_train=labels[100:], x_test=images[:100], y_test=labels[:100])
    return f'name = "npz"\npath = "{path}"'


class Second(NamedTuple):
    """A search on the other task, in a copy of the first one's store: on from its critic and its damaged pool.

    Attributes:
        store: the copy.
        said: what the run printed.
        source: the checkpoint with the damaged block, of which the first search's networks had started.
        seen: the journal.
        id: the search's.
    """

    store: Path
    said: str
    source: str
    seen: list[AnyEvent]
    id: str

    @property
    def matched(self) -> list[WeightsMatched]:
        return [event for event in self.seen if isinstance(event, WeightsMatched) and event.search == self.id]

    @property
    def asked(self) -> list[AnyRequest]:
        return [event.request for event in self.seen if isinstance(event, Requested) and event.search == self.id]


@pytest.fixture(scope="module")
def second(first: Path, turned: str, tmp_path_factory: pytest.TempPathFactory) -> Second:
    folder = tmp_path_factory.mktemp("second")
    store = folder / "store"
    shutil.copytree(first, store)
    (answer, *_) = [event for event in harness.events(first) if isinstance(event, WeightsMatched)]
    checkpoint, _, block = answer.inheritance.blocks[0].source.partition("/")
    damage(store, checkpoint, block)
    path = spec(folder, "second", strategy=TRANSFER, data=turned)
    said = harness.coldframe("run", str(path), "--store", str(store))
    seen = harness.events(store)
    return Second(store, said, checkpoint, seen, search_of(seen, "second"))


def damage(store: Path, checkpoint: str, block: str) -> None:
    """Flips a bit of one of a block's blobs, in the pack that holds it."""
    checkpoints = CheckpointStore(store)
    blob = next(part.blob for part in checkpoints.manifest(checkpoint).blocks if part.block == block)
    place = checkpoints.blobs.locate([blob])[blob]
    (pack,) = [path for path in checkpoints.blobs.packs.rglob("zarr.json") if blob in path.read_text()]
    flip(pack.with_name("c.0"), place.offset)
    checkpoints.close()


def search_of(seen: list[AnyEvent], name: str) -> str:
    (found,) = [event.search for event in seen if isinstance(event, SearchOpened) and event.spec.name == name]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("lives", [("2",), pytest.param(("2", "1", "2"), marks=pytest.mark.faults)])
def test_a_search_that_is_killed_again_and_again_learns_and_finds_the_same(
    tmp_path: Path, first: Path, lives: tuple[str, ...]
) -> None:
    store, path = tmp_path / "store", spec(tmp_path, "first")
    rng = random.Random(5)
    for workers in lives:
        upto = (len(harness.events(store)) if store.exists() else 0) + rng.randint(12, 30)
        process = harness.start(path, store, "--workers", workers)
        harness.wait_for(process, store, partial(reached, upto))
        kill_after(rng.uniform(0.0, 0.2), process)
        harness.assert_none_left(store)
    assert harness.run(path, store)["status"] == "finished"
    assert_same_search(store, first)
    found, expected = harness.result(store), harness.result(first)
    assert found["state"] == expected["state"] is not None, "the agent has learnt the same, to the bit"
    assert found["curves"]["sample_reward"] == expected["curves"]["sample_reward"]
    assert set(found["curves"]["sample_source"]) == {"trained", "trusted", "exploited"}
    assert answers(store) == answers(first), "the pool gave the same, and what it gave was recorded once"
    assert_sound(store)


def reached(events: int, seen: list[AnyEvent]) -> bool:
    return len(seen) >= events


def kill_after(seconds: float, process: subprocess.Popen[str]) -> None:
    """Kills a run that must not have ended by then."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        harness.kill(process)
    else:
        raise AssertionError("the run ended first: make it longer")


def answers(store: Path) -> list[WeightsMatched | WeightsPooled]:
    """All that was asked of the pool and given to it, in the order of the calls."""
    found = [event for event in harness.events(store) if isinstance(event, WeightsMatched | WeightsPooled)]
    return sorted(found, key=lambda event: event.call)


def test_a_second_search_goes_on_from_the_critic_and_the_pool_of_the_first(first: Path, second: Second) -> None:
    steps = [request for request in second.asked if isinstance(request, Compute)]
    assert steps[0].state == harness.result(first)["state"], "it begins with what the first search's critic has learnt"
    assert unpack(steps[0].arguments)[0]["carry"] is True
    pooled = {event.contribution.checkpoint for event in second.seen if isinstance(event, WeightsPooled)}
    sources = {block.source for event in second.matched for block in event.inheritance.blocks if block.source}
    assert {source.split("/")[0] for source in sources} <= pooled
    trained = [request.candidate for request in second.asked if isinstance(request, Train)]
    assert trained
    assert all(candidate.initial for candidate in trained), "nothing was warmed up: all of them inherit"
    assert not any("head" in block for candidate in trained for block in candidate.initial), "but no classifier"
    assert harness.result(second.store)["curves"]["iteration_hit_ratio"][0] == 1.0


def test_a_corrupt_block_of_the_pool_is_set_aside_and_told_and_another_one_is_taken(second: Second) -> None:
    assert "of which an inherited block could not be read" in second.said
    refused = [event.outcome for event in second.seen if isinstance(event, JobFailed)]
    assert refused
    assert {outcome.reason for outcome in refused} == {"corrupt_block"}
    set_aside = [event.checkpoint for event in second.seen if isinstance(event, CheckpointQuarantined)]
    assert set(set_aside) == {second.source}
    place = next(at for at, event in enumerate(second.seen) if isinstance(event, CheckpointQuarantined))
    later = [event for event in second.matched if second.seen.index(event) > place]
    assert later
    assert not any(block.source.startswith(second.source) for event in later for block in event.inheritance.blocks)
    history = harness.result(second.store)["history"]
    assert [one["failure"] for one in history] == [None] * len(history)
    ended = [event.outcome for event in second.seen if isinstance(event, JobSucceeded)]
    done = {outcome.candidate for outcome in ended if isinstance(outcome, Trained)}
    assert {one["candidate"] for one in history} <= done
    harness.assert_none_left(second.store)


def test_a_pool_of_another_space_is_refused_entry_by_entry_with_the_reason(first: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(first, store)
    changes = {
        "samples": 2,
        "batch": 2,
        "space": 'name = "cell"\nnodes = 1',
        "strategy": 'preset = "mnas"\nknowledge_pool = true\ntransfer = { pool = ["first"] }',
    }
    pooled = [event for event in harness.events(store) if isinstance(event, WeightsPooled)]
    entries = len({block.tokens for event in pooled for block in event.contribution.blocks})  # one for each key
    ended = harness.run(spec(tmp_path, "other", **changes), store)
    assert ended["pool"]["refused"] == {"another space": entries}
    assert ended["pool"]["hits"] == ended["pool"]["matches"] == 0
    assert (
        f"entries of the pool that could not be compared: {entries} (another space)" in harness.result(store)["notes"]
    )
    trained = [one for one in harness.result(store)["history"] if one["accuracy"] is not None]
    assert trained, "from random weights"
    seen = harness.events(store)
    search = search_of(seen, "other")
    asked = [event.request for event in seen if isinstance(event, Requested) and event.search == search]
    assert all(not request.candidate.initial for request in asked if isinstance(request, Train))
