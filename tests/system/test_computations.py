"""Computations with state in real processes: killed, removed and damaged, the states are those of a quiet run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from store.check import check
from store.checkpoints import CheckpointStore
from store.records.events import AnyEvent, JobStarted, JobSucceeded
from tests.store.builders import flip
from tests.system import drifting, harness

ROUNDS, MORE = 8, 10
MODULE = "tests.system.drifting"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return drifting.environment(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> dict[str, Any]:
    """The result of a search that nobody disturbed."""
    folder = tmp_path_factory.mktemp("quiet")
    harness.run(drifting.write(folder, MORE), folder / "store", module=MODULE, env=environment)
    return harness.result(folder / "store")


def computed(events: list[AnyEvent]) -> list[str]:
    """The states in the order in which they were made."""
    done = [event for event in events if isinstance(event, JobSucceeded)]
    return [str(event.outcome.state) for event in done if event.outcome.kind == "computed"]


def test_a_killed_chain_goes_on_old_states_go_and_a_damaged_one_is_made_again(
    tmp_path: Path, environment: dict[str, str], expected: dict[str, Any]
) -> None:
    store = tmp_path / "store"
    short = drifting.write(tmp_path, ROUNDS)
    process = harness.start(short, store, module=MODULE, env=environment)
    harness.wait_for(process, store, lambda events: len(computed(events)) >= 4)
    harness.kill(process)
    harness.run(short, store, module=MODULE, env=environment)
    told = harness.result(store)["curves"]["told"]
    assert told == expected["curves"]["told"][:ROUNDS]
    states = computed(harness.events(store))
    assert len(set(states)) == ROUNDS

    checkpoints = CheckpointStore(store)
    assert sorted(checkpoints.digests()) == sorted({states[5], states[7]}), "the last saved state's and the result's"
    assert check(store).clean
    _damage(checkpoints, states[7])
    before = len(harness.events(store))
    harness.run(drifting.write(tmp_path, MORE), store, module=MODULE, env=environment)
    assert harness.result(store) == expected
    after = harness.events(store)[before:]
    remade = [event.job for event in after if isinstance(event, JobStarted)]
    assert len(remade) == 1 + 2 + 2, "the attempt that found the damage, rounds 7 and 8 again, and the two new ones"
    assert computed(after)[:2] == states[6:8]
    harness.assert_none_left(store)


def _damage(checkpoints: CheckpointStore, state: str) -> None:
    """Flips a bit in a block that only this state has."""
    (step,) = (block.blob for block in checkpoints.manifest(state).blocks if block.block == "head")
    packs = checkpoints.blobs.packs.rglob("zarr.json")
    chunk = next(path.with_name("c.0") for path in packs if step in path.read_text())
    flip(chunk, checkpoints.blobs.locate([step])[step].offset)
    checkpoints.close()
