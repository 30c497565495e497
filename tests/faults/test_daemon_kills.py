"""Random schedules of SIGKILL, of the daemon and of its workers, over several searches at once."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import serving
from tests.faults.serving import Daemon
from tests.system import harness

LONG_SECONDS = 240.0


def specs(folder: Path, size: int) -> list[Path]:
    """An EcoNAS search, and two random ones of which one shares all candidates with the other."""
    small = serving.spec(folder, "small", candidates=4 * size, epoch_seconds=0.3, retries=50)
    large = serving.spec(folder, "large", candidates=6 * size, epochs=3, epoch_seconds=0.3, retries=50)
    grown = harness.econas(folder, name="grown", cycles=size, epoch_seconds=0.3, checkpoint_seconds=0.2)
    grown.write_text(grown.read_text() + "retries = 50\n")
    return [small, large, grown]


def undisturbed(folder: Path, paths: list[Path]) -> tuple[dict[str, object], dict[str, str]]:
    """The results of the same searches in a store of their own, and every final checkpoint."""
    for path in paths:
        harness.run(path, folder / "store", "--workers", "4")
    return dict(serving.results(folder / "store")), harness.checkpoints(folder / "store")


@pytest.mark.parametrize(
    ("size", "kills", "seconds"),
    [
        pytest.param(1, 4, 30.0, marks=[pytest.mark.faults, pytest.mark.timeout(300)]),
        pytest.param(12, 1000, LONG_SECONDS, marks=[pytest.mark.faults, pytest.mark.timeout(900)]),
    ],
)
@pytest.mark.parametrize("seed", [1])
def test_searches_killed_at_random_end_as_if_they_had_not_been(
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    size: int,
    kills: int,
    seconds: float,
    seed: int,
) -> None:
    rng = random.Random(seed)
    paths = specs(tmp_path, size)
    (tmp_path / "undisturbed").mkdir()
    results, checkpoints = undisturbed(tmp_path / "undisturbed", paths)
    daemon = Daemon(tmp_path, workers=3, limits={"starts_per_minute": 1000, "search_failures": 10000}).start()
    searches = [daemon.submit(path) for path in paths]
    done, until = 0, time.monotonic() + seconds
    while done < kills and time.monotonic() < until and not serving.results(daemon.store).keys() >= set(searches):
        time.sleep(rng.uniform(0.0, 0.8))  # the schedule: kills come at any moment, also while it starts
        workers = daemon.workers()
        if workers and rng.random() < 0.6:
            rng.choice(workers).kill()
        else:
            daemon.kill()
            daemon.start(120.0) if rng.random() < 0.7 else daemon.spawn()
        done += 1
    assert done >= min(kills, 3), "the searches ended before they were disturbed"
    daemon.until(daemon.answers, 120.0)
    daemon.until_ended(*searches, seconds=300.0)
    assert daemon.stop() == 0
    assert serving.results(daemon.store) == results
    assert harness.checkpoints(daemon.store) == checkpoints
    assert max(harness.epochs_committed(daemon.store).values()) == 1, "no epoch was trained again after its commit"
    serving.assert_clean(daemon.store)
    record_property("kills", done)
    record_property("events", len(harness.events(daemon.store)))
