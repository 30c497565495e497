"""Random searches that fill the knowledge pool and start from it: real daemon, real workers, real damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import SpecError
from store.opening import Store
from store.packs import CHUNK, pack_folder
from store.records.events import AnyEvent, JobFailed, Requested, SearchFinished, WeightsMatched, WeightsPooled
from store.records.requests import Train
from tests.orchestrator import growing
from tests.store.builders import flip

SPEC = """
name = "{name}"
seed = {seed}
[strategy]
name = "random"
candidates = 3
epochs = 2
{more}
[space]
name = "nasbench201"
[trainer]
name = "scripted"
blocks = 0
[data]
name = "digits"
[resources]
workers = 1
"""
BLOCKS = ["stem", "cell00", "cell01", "cell02", "cell03", "cell04", "norm"]


def write(folder: Path, name: str, *, seed: int = 1, more: str = "") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(SPEC.format(name=name, seed=seed, more=more) + "[proxy]\ncells = 5\n")
    return path


def asked(events: list[AnyEvent]) -> list[Requested]:
    return [one for one in events if isinstance(one, Requested) and isinstance(one.request, Train)]


def test_a_search_gives_its_networks_afterwards_and_another_starts_from_them_though_one_is_damaged(
    tmp_path: Path,
) -> None:
    store = tmp_path / "store"
    growing.run(write(tmp_path, "plain"), store)
    growing.run(write(tmp_path, "giving", more="contribute = true"), store)
    events = growing.events(store)
    plain, giving = asked(events)[:3], asked(events)[3:]
    assert [one.job for one in giving] == [one.job for one in plain]
    assert {one.answer for one in giving} == {"memo"}
    pooled = [one.contribution for one in events if isinstance(one, WeightsPooled)]
    assert [[block.name for block in one.blocks] for one in pooled] == [BLOCKS] * 3
    assert [one.candidate for one in pooled] == [one.request.candidate.id for one in giving if one.request.candidate]

    taking = write(tmp_path, "taking", seed=2, more='inherit_from = "giving"')
    with Store.open(store, write=False) as opened:
        (stem,) = [
            one.blob
            for one in opened.checkpoints.manifest(pooled[0].checkpoint).blocks
            if (one.role, one.block) == ("model", "stem")
        ]
        chunks = [
            (pack_folder(opened.blobs.packs, place.pack) / CHUNK, place.entry.offset)
            for place in opened.blobs.index.find([stem])[stem]
        ]
    for chunk, offset in chunks:
        flip(chunk, offset)
    result = growing.run(taking, store)
    events = growing.events(store)
    search = [one.search for one in events if isinstance(one, SearchFinished)][-1]
    initials = [one.inheritance.initial for one in events if isinstance(one, WeightsMatched)]
    failed = [one for one in events if isinstance(one, JobFailed)]
    lost = [initial for initial in initials if f"stem={pooled[0].checkpoint}/stem" in initial]
    assert len(failed) == len(lost) > 0
    assert {one.outcome.reason for one in failed} == {"corrupt_block"}
    assert [one.failure for one in result.history] == [None] * 3
    trained = [one.request.candidate.initial for one in asked(events) if one.search == search and one.request.candidate]
    assert trained == initials + [()] * len(lost)
    assert result.notes[-1].endswith(f"which began at random: {len(lost)}")
    assert growing.run(taking, store) == result


def test_a_search_to_inherit_from_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"strategy\.inherit_from\.0 is 'nobody'"):
        growing.run(write(tmp_path, "taking", more='inherit_from = "nobody"'), tmp_path / "store")
