"""The knowledge pool in the daemon: real workers, a real store, and a strategy that inherits and contributes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TypeVar, cast

import anyio
import pytest

from orchestrator.knowledge import Knowledge
from orchestrator.memory import Memory
from orchestrator.pooling import StorePool
from orchestrator.searches import Daemon, SearchPort
from store.blocks import KnowledgePool
from store.check import check
from store.errors import StoreFailed
from store.opening import Store
from store.packs import CHUNK, pack_folder
from store.records.events import (
    AnyEvent,
    CheckpointQuarantined,
    JobFailed,
    Requested,
    SearchFinished,
    SearchOpened,
    WeightsMatched,
    WeightsPooled,
)
from store.records.knowledge import BlockKey, Contribution, Inheritance, InheritedBlock, PoolQuery
from store.records.requests import Train
from store.records.results import Result
from strategies import registry
from strategies.errors import ReplayDiverged
from tests.orchestrator import growing
from tests.orchestrator.builders import spec
from tests.orchestrator.command import REPOSITORY, coldframe
from tests.store.builders import flip

Event = TypeVar("Event", bound=AnyEvent)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._STRATEGIES, growing.NAME, growing.REGISTERED)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A store with the finished search `first`, and its result."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry._STRATEGIES, growing.NAME, growing.REGISTERED)
        result = growing.run(growing.write(folder, "first"), folder / "store")
    return folder / "store", result


@pytest.fixture
def store(whole: tuple[Path, Result], tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole[0], tmp_path / "store"))


def of_type(store: Path, kind: type[Event]) -> list[Event]:
    return [event for event in growing.events(store) if isinstance(event, kind)]


def test_networks_start_from_the_blocks_of_those_before_them(whole: tuple[Path, Result]) -> None:
    store, result = whole
    matched, pooled = of_type(store, WeightsMatched), of_type(store, WeightsPooled)
    assert [event.call for event in matched] == [0, 2, 4]
    assert [event.call for event in pooled] == [1, 3, 5]
    initials = [event.inheritance.initial for event in matched]
    asked = [event.request for event in of_type(store, Requested)]
    assert [request.candidate.initial for request in asked if isinstance(request, Train)] == initials
    assert initials[0] == ()
    assert {one.partition("=")[2].partition("/")[0] for one in initials[1]} == {pooled[0].contribution.checkpoint}
    assert [event.contribution.generation for event in pooled][:2] == [0, 1]
    assert {one.candidate for one in result.history} == {event.contribution.candidate for event in pooled}
    assert check(store).clean


def test_a_search_that_was_killed_between_the_row_and_the_pool_has_the_same_result(
    whole: tuple[Path, Result], tmp_path: Path
) -> None:
    path, store = growing.write(tmp_path, "first"), tmp_path / "store"
    command = [sys.executable, "-m", "tests.orchestrator.growing", str(path), str(store), "2"]
    assert subprocess.run(command, cwd=REPOSITORY, check=False).returncode == -9
    assert len(of_type(store, WeightsPooled)) == 2
    with Store.open(store, write=False) as opened:
        assert KnowledgePool.open(opened.folder, read_only=True).statistics().checkpoints == 1
    assert growing.run(path, store) == whole[1]
    assert of_type(store, WeightsMatched) == of_type(whole[0], WeightsMatched)
    assert of_type(store, WeightsPooled) == of_type(whole[0], WeightsPooled)


def _damage(store: Path, checkpoint: str, block: str) -> None:
    """Flips a bit of a block's weights."""
    with Store.open(store, write=True) as opened:
        manifest = opened.checkpoints.manifest(checkpoint)
        blob = next(one.blob for one in manifest.blocks if (one.role, one.block) == ("model", block))
        places = opened.blobs.index.find([blob])[blob]
        chunks = [(pack_folder(opened.blobs.packs, place.pack) / CHUNK, place.entry.offset) for place in places]
    for chunk, offset in chunks:
        flip(chunk, offset)


def test_a_later_search_starts_from_an_earlier_one_by_name_and_survives_a_damaged_block(
    store: Path, whole: tuple[Path, Result], tmp_path: Path
) -> None:
    first = of_type(store, SearchFinished)[0].search
    path = growing.write(tmp_path, "second", networks=2, sources=["first"], seed=2)
    _damage(store, of_type(store, WeightsPooled)[0].contribution.checkpoint, "stem")
    result = growing.run(path, store)
    matched = [event for event in of_type(store, WeightsMatched) if event.search != first]
    (quarantined,), (failed,) = of_type(store, CheckpointQuarantined), of_type(store, JobFailed)
    assert failed.outcome.reason == "corrupt_block"
    assert not failed.outcome.retryable
    assert quarantined.checkpoint == of_type(store, WeightsPooled)[0].contribution.checkpoint
    assert len(quarantined.blobs) == 1
    sources = [set(one.partition("=")[2][:64] for one in event.inheritance.initial) for event in matched]
    assert quarantined.checkpoint in sources[0]
    assert all(quarantined.checkpoint not in later for later in sources[1:])
    assert sources[1], "the other networks' blocks are still there"
    assert [one.failure for one in result.history] == [None, None]
    assert any(one.origin.endswith("corrupt_block") for one in result.history)
    assert growing.run(path, store) == result
    shown = coldframe("status", "second", "--store", store, "--json").json["pool"]
    assert (shown["networks"], shown["pooled"]) == (3, 2), "it asked once more for the one that failed"


def test_a_quota_keeps_the_pool_small_and_takes_nothing_from_the_disk(tmp_path: Path) -> None:
    """And the search goes on from its saved state when its total is raised."""
    store, quota = tmp_path / "store", "pool_bytes = 640\n"
    growing.run(growing.write(tmp_path, "small", quota, networks=1, save_every=1), store)
    assert len(growing.run(growing.write(tmp_path, "small", quota, networks=3, save_every=1), store).history) == 3
    assert [event.call for event in of_type(store, WeightsPooled)] == [1, 3, 5]
    with Store.open(store, write=False) as opened:
        statistics = StorePool(opened, read_only=True).statistics()
    assert 0 < statistics.bytes <= 640
    assert statistics.entries + statistics.evicted > 640 / 64, "a block has 16 numbers of 4 bytes"
    assert check(store).clean


def test_a_pool_that_nobody_asks_is_not_opened(store: Path) -> None:
    entries = store / "pool" / "entries"
    entries.unlink()
    entries.mkdir()  # nothing can be read there
    with Store.open(store, write=True) as opened:
        knowledge = Knowledge(opened, quota_bytes=1)
        knowledge.close()
        with pytest.raises(StoreFailed):
            anyio.run(knowledge.match, "s", question("stem"))


class Recorded:
    """A daemon that has nothing but its memory: whoever asks it for more than that fails."""

    def __init__(self, *events: AnyEvent) -> None:
        self.memory = Memory()
        for event in (SearchOpened(search="s", spec=spec()), *events):
            self.memory.apply(event.type, event.model_dump())


def block(name: str) -> BlockKey:
    return BlockKey(name=name, tokens=(0,))


def question(*names: str) -> PoolQuery:
    blocks = tuple(block(name) for name in names)
    return PoolQuery(space="s", choices=(2,), shape=growing.SHAPE, blocks=blocks, bar=0.5)


def gift(checkpoint: str) -> Contribution:
    given = {"space": "s", "choices": (2,), "shape": growing.SHAPE, "blocks": (block("stem"),), "iterations": 1}
    return Contribution.model_validate({"candidate": "c", "checkpoint": checkpoint, **given})


async def replayed() -> None:
    answer = Inheritance(blocks=(InheritedBlock(block="stem", source="", similarity=0.3),))
    matched = WeightsMatched(search="s", call=4, inheritance=answer)
    pooled = WeightsPooled(search="s", call=5, contribution=gift("a" * 64))
    port = SearchPort("s", cast(Daemon, Recorded(matched, pooled)))
    assert await port.inherit(4, question("stem")) == answer
    with pytest.raises(ReplayDiverged, match="inheritance of call 4"):
        await port.inherit(4, question("stem", "cell01"))
    await port.contribute(5, gift("a" * 64))
    with pytest.raises(ReplayDiverged, match="contribution of call 5"):
        await port.contribute(5, gift("b" * 64))


def test_a_replay_gets_the_recorded_answer_and_may_not_ask_another_question() -> None:
    anyio.run(replayed)
