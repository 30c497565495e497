"""When asynchronous strategies save."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from store.records.candidates import Candidate
from store.records.spec import SearchSpec
from strategies import registry
from strategies.halving import search as halving
from strategies.life import Killed, Moment
from strategies.simulation import Simulation, World
from strategies.under_way import due
from tests.strategies.builders import spec

TINY: dict[str, Any] = {"name": "cell", "nodes": 1, "operations": ["none", "sep_conv_3x3"]}
EVOLUTION: dict[str, Any] = {"population": 2, "sample": 1, "children": 1, "epochs": 1, "in_flight": 2, "space": TINY}
LONG = {
    "regularised-evolution": spec("regularised-evolution", models=120, **EVOLUTION),
    "asha": spec("asha", candidates=100, minimum_epochs=1, rungs=2, space=TINY),
    "econas": spec(initial=2, children=1, promoted_to_2e=0, promoted_to_3e=0, cycles=120, epochs=1, barrier=False,
                   dead="fifo", space=TINY),
}  # fmt: skip


def score(candidate: Candidate, epochs: int) -> float:
    return candidate.architecture.genes.count(1) / 8


def test_all_states_of_a_search_together_grow_in_proportion_to_its_length() -> None:
    """Guards journals of gigabytes: 20,000 models in cycles of 16 saved 1,250 states of up to 5 MB."""
    for length in (64, 1_000, 10_000, 100_000):
        taken = [occasion for occasion in range(1, length + 1) if due(occasion)]
        assert sum(taken) <= 50 * length
        assert taken[:64] == list(range(1, 65))
        assert all(later - earlier <= max(1, earlier / 32) for earlier, later in pairwise(taken))


@pytest.mark.parametrize("long", LONG.values(), ids=LONG)
def test_a_kill_between_two_states_of_a_long_search_changes_nothing(
    long: SearchSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(halving, "SAVE_EVERY", 1)
    whole = Simulation(long, score=score)
    expected = whole.search(registry.create(long))
    saves, requests = whole.moments["saved"], whole.moments["requested"]
    assert 64 < saves < 100
    world = World()
    with pytest.raises(Killed):
        Simulation(long, world, until=Moment("requested", requests - 3), score=score).search(registry.create(long))
    again = Simulation(long, world, score=score)
    assert again.search(registry.create(long)) == expected
    assert 3 < again.moments["requested"] < requests // 4
    assert world.requests == whole.world.requests
