"""SIGKILL in the middle of real training: the networks that come out are the same, bit for bit."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from store.records.events import CheckpointSaved, JobStarted
from tests.system import harness
from tests.system.test_kill import assert_same_search, assert_sound

SPEC = """
name = "real"

[strategy]
name = "econas"
initial = 4
cycles = 1
children = 3
promoted_to_2e = 2
promoted_to_3e = 1
epochs = 1
side_by_side = false

[space]
name = "cell"

[data]
name = "digits"

[proxy]
channels = 4
cells = 5
resolution = 8
sample_ratio = 0.5

[recipe]
batch_size = 64
padding = 1
flip = false

[resources]
workers = 2
checkpoint_seconds = 0.05
"""


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("lives", "workers"), [(1, "1"), pytest.param(4, "2", marks=pytest.mark.faults)])
def test_real_training_killed_again_and_again_gives_the_same_weights(tmp_path: Path, lives: int, workers: str) -> None:
    spec = tmp_path / "real.toml"
    spec.write_text(SPEC)
    reference, store = tmp_path / "reference", tmp_path / "store"
    harness.run(spec, reference, "--workers", workers)
    rng = random.Random(2)
    for life in range(lives):
        process = harness.start(spec, store, "--workers", workers)
        # From the moment that something new is committed, in the middle of an epoch; before, there is only importing.
        before = len(saved(store)) if life else 0
        harness.wait_for(
            process, store, lambda seen, before=before: any(one.step for one in saved_in(seen)[before:][-1:])
        )
        try:
            process.wait(rng.uniform(0.0, 0.1 if lives == 1 else 0.5))
        except subprocess.TimeoutExpired:
            harness.kill(process)
        harness.assert_none_left(store)
    assert harness.run(spec, store, "--workers", workers)["status"] == "finished"
    assert_same_search(store, reference)
    assert_sound(store)
    resumed = [e for e in harness.events(store) if isinstance(e, JobStarted) and e.step > 0]
    assert resumed, "no training was taken up in the middle of an epoch"


def saved(store: Path) -> list[CheckpointSaved]:
    return saved_in(harness.events(store))


def saved_in(seen: object) -> list[CheckpointSaved]:
    assert isinstance(seen, list)
    return [event for event in seen if isinstance(event, CheckpointSaved)]
