"""FNAS with real training: killed and taken up again, on from another search, with a damaged or an unlike pool."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from functools import partial
from pathlib import Path

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
    WeightsMatched,
    WeightsPooled,
)
from store.records.outcomes import Trained
from store.records.requests import Compute, Train
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


@pytest.fixture(scope="module")
def second(first: Path, turned: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the first store, with a search on the other task that went on from the first one's critic and pool."""
    folder = tmp_path_factory.mktemp("second")
    shutil.copytree(first, folder / "store")
    harness.run(spec(folder, "second", strategy=TRANSFER, data=turned), folder / "store")
    return folder / "store"


def matched(seen: list[AnyEvent], search: str) -> list[WeightsMatched]:
    return [event for event in seen if isinstance(event, WeightsMatched) and event.search == search]


def search_of(store: Path, name: str) -> str:
    listed = json.loads(harness.coldframe("list", "--store", str(store), "--json"))
    (found,) = [str(one["search"]) for one in listed if one["name"] == name]
    return found


def requests_of(seen: list[AnyEvent], search: str) -> list[Requested]:
    return [event for event in seen if isinstance(event, Requested) and event.search == search]


@pytest.mark.slow
def test_a_search_that_is_killed_again_and_again_learns_and_finds_the_same(tmp_path: Path, first: Path) -> None:
    store, path = tmp_path / "store", spec(tmp_path, "first")
    rng = random.Random(5)
    for workers in ("2", "1", "1"):
        upto = (len(harness.events(store)) if store.exists() else 0) + rng.randint(8, 24)
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


def test_a_second_search_goes_on_from_the_critic_and_the_pool_of_the_first(first: Path, second: Path) -> None:
    before, seen = harness.result(first), harness.events(second)
    search = search_of(second, "second")
    asked = [event.request for event in requests_of(seen, search)]
    steps = [request for request in asked if isinstance(request, Compute)]
    assert steps[0].state == before["state"], "the agent begins with what the first search's critic has learnt"
    assert unpack(steps[0].arguments)[0]["carry"] is True
    pooled = {event.contribution.checkpoint for event in seen if isinstance(event, WeightsPooled)}
    sources = {block.source for event in matched(seen, search) for block in event.inheritance.blocks}
    assert {source.split("/")[0] for source in sources} <= pooled
    trained = [request.candidate for request in asked if isinstance(request, Train)]
    assert trained
    assert all(candidate.initial for candidate in trained), "nothing was warmed up: all of them inherit"
    assert not any("head" in block for candidate in trained for block in candidate.initial), "but no classifier"
    result = harness.result(second)
    assert result["curves"]["iteration_match_ratio"][0] == 1.0
    assert {one["accuracy"] is not None for one in result["history"]} == {True}


def test_a_corrupt_block_of_the_pool_is_set_aside_and_told_and_another_one_is_taken(
    first: Path, second: Path, turned: str, tmp_path: Path
) -> None:
    search = search_of(second, "second")
    source = matched(harness.events(second), search)[0].inheritance.blocks[-1].source
    checkpoint, block = source.split("/")
    store = tmp_path / "store"
    shutil.copytree(first, store)
    damage(store, checkpoint, block)
    assert json.loads(harness.coldframe("check", "--store", str(store), "--json", expected=1))["problems"]
    said = harness.coldframe(
        "run", str(spec(tmp_path, "second", strategy=TRANSFER, data=turned)), "--store", str(store)
    )
    assert "of which an inherited block could not be read" in said
    seen = harness.events(store)
    refused = [event.outcome for event in seen if isinstance(event, JobFailed)]
    assert {outcome.reason for outcome in refused} == {"corrupt_block"}
    set_aside = next(place for place, event in enumerate(seen) if isinstance(event, CheckpointQuarantined))
    assert seen[set_aside].checkpoint == checkpoint  # type: ignore[union-attr]
    later = [block.source for event in matched(seen[set_aside:], search) for block in event.inheritance.blocks]
    assert later
    assert not any(one.startswith(checkpoint) for one in later), "the entry is in the pool no more"
    history = harness.result(store)["history"]
    assert all(one["failure"] is None for one in history)
    ended = [event.outcome for event in seen if isinstance(event, JobSucceeded)]
    done = {outcome.candidate for outcome in ended if isinstance(outcome, Trained)}
    assert {one["candidate"] for one in history} <= done
    harness.assert_none_left(store)


def damage(store: Path, checkpoint: str, block: str) -> None:
    """Flips a bit of one of a block's blobs, in the pack that holds it."""
    checkpoints = CheckpointStore(store)
    blob = next(part.blob for part in checkpoints.manifest(checkpoint).blocks if part.block == block)
    place = checkpoints.blobs.locate([blob])[blob]
    (pack,) = [path for path in checkpoints.blobs.packs.rglob("zarr.json") if blob in path.read_text()]
    flip(pack.with_name("c.0"), place.offset)
    checkpoints.close()


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
    search = search_of(store, "other")
    asked = [event.request for event in requests_of(harness.events(store), search)]
    assert all(not request.candidate.initial for request in asked if isinstance(request, Train))
