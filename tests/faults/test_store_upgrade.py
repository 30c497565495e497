"""A store that an earlier release wrote opens here, and what was interrupted there ends here as it would have there."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from store.check import check
from store.opening import Store
from store.records.events import CheckpointSaved, JobStarted
from tests.system import harness

SAMPLES = Path(__file__).resolve().parents[1] / "store" / "samples"
RELEASES = sorted(path.stem for path in SAMPLES.glob("*.json"))

pytestmark = pytest.mark.parametrize("release", RELEASES)


@pytest.fixture
def store(tmp_path: Path, release: str) -> Path:
    with tarfile.open(SAMPLES / f"{release}.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "store"


def recorded(release: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SAMPLES / f"{release}.json").read_text())
    return found


def bits_depend_on() -> dict[str, str]:
    """What has to be the same for a training to give the same bits."""
    import numpy
    import torch  # takes seconds, and one test needs it

    cpu = torch.backends.cpu.get_cpu_capability()
    return {"torch": torch.__version__, "numpy": numpy.__version__, "cpu": cpu}


def go_on(store: Path, search: str) -> None:
    """Takes a search up again, to its end; something of it must go on from a checkpoint of the earlier release."""
    before = len(harness.events(store))
    assert harness.run(SAMPLES / "specs" / f"{search}.toml", store)["status"] == "finished"
    seen = harness.events(store)
    theirs = {event.checkpoint for event in seen[:before] if isinstance(event, CheckpointSaved)}
    assert theirs & {event.checkpoint for event in seen[before:] if isinstance(event, JobStarted)}


def test_a_store_of_an_earlier_release_opens_and_is_sound(store: Path) -> None:
    with Store.open(store, write=False) as opened:
        rows = sum(1 for _ in opened.journal.rows())
    report = check(store)
    assert report.problems == ()
    assert report.rows == rows > 200
    assert report.pool_entries > 0
    with Store.open(store, write=True):
        pass


def test_its_searches_are_shown_and_a_finished_one_is_not_done_again(store: Path, release: str) -> None:
    listed = {one["name"]: one for one in json.loads(harness.coldframe("list", "--store", str(store), "--json"))}
    assert {name: one["status"] for name, one in listed.items()} == {
        "finished": "finished",
        "giving": "finished",
        "half": "interrupted",
        "taking": "interrupted",
        "trained": "interrupted",
    }
    rows = len(harness.events(store))
    shown = harness.run(SAMPLES / "specs" / "finished.toml", store)
    assert len(harness.events(store)) == rows
    best = recorded(release)["results"]["finished"]["best"]
    assert shown["best"]["accuracy"] == best[0]["accuracy"]


@pytest.mark.parametrize("search", ["half", "taking"])
def test_a_search_that_was_killed_there_ends_here_with_the_result_that_it_had_there(
    store: Path, release: str, search: str
) -> None:
    expected = recorded(release)
    go_on(store, search)
    assert harness.result(store) == expected["results"][search]
    assert harness.checkpoints(store).items() <= expected["checkpoints"].items()
    assert check(store).clean


@pytest.mark.faults
@pytest.mark.slow
def test_a_training_that_was_killed_there_ends_here_with_the_same_bits_on_an_equal_machine(
    store: Path, release: str
) -> None:
    expected = recorded(release)
    go_on(store, "trained")
    result, before = harness.result(store), expected["results"]["trained"]
    assert [one["architecture"] for one in result["history"]] == [one["architecture"] for one in before["history"]]
    assert check(store).clean
    here = bits_depend_on()
    if {name: expected[name] for name in here} == here:
        assert result == before
        assert harness.checkpoints(store).items() <= expected["checkpoints"].items()
