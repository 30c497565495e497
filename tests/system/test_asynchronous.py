"""Asynchronous searches on the real daemon: SIGKILL between completions, and what the journal makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from store.records.events import Delivered, JobSucceeded, Requested, SearchExtended, SearchOpened, StateSaved
from store.records.results import Result
from strategies import registry
from strategies.run import Run
from strategies.simulation import Simulation, World
from strategies.spaces import registry as spaces
from tests.system import harness

STRATEGIES = {
    "econas": "barrier = false\nin_flight = 4",
    "regularised-evolution": "population = 8\nsample = 3\nmodels = 24\nin_flight = 4\nhierarchical = true",
    "asha": "candidates = 21\nminimum_epochs = 2\nreduction = 2\nin_flight = 4",
}


def asynchronous(folder: Path, strategy: str) -> Path:
    """Writes a search that asks for more whenever something ends."""
    path = harness.econas(folder, name=strategy, epoch_seconds=0.005)
    before, _, rest = path.read_text().partition('[strategy]\nname = "econas"\n')
    options, space, after = rest.partition("[space]")
    if strategy == "asha":
        options = ""
    elif strategy != "econas":
        options = "\n".join(line for line in options.splitlines() if not line.startswith(("initial", "cycles"))) + "\n"
    path.write_text(f'{before}[strategy]\nname = "{strategy}"\n{options}{STRATEGIES[strategy]}\n\n{space}{after}')
    return path


def replayed(store: Path) -> tuple[Result, World]:
    """The result of the strategy if it is run again from its beginning, told only what the journal holds."""
    seen, world = harness.events(store), World()
    spec = [event.spec for event in seen if isinstance(event, SearchOpened | SearchExtended)][-1]
    for event in seen:
        match event:
            case Requested(index=index, request=request):
                assert world.requests.setdefault(index, request) == request
            case JobSucceeded(job=job, outcome=outcome):
                world.outcomes[job] = outcome
            case Delivered(call=call, index=index, job=job):
                assert (call, index) not in world.delivered, "a completion was recorded twice"
                world.delivered[call, index] = job
    candidate = world.requests[0].candidate
    assert candidate is not None
    simulation = Simulation(spec, world)
    run = Run(simulation, spec, spaces.create(spec.space), candidate.data)
    return simulation.drive(registry.create(spec).search(run)), world


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_after_a_kill_the_search_is_what_its_journal_says_from_the_beginning(tmp_path: Path, strategy: str) -> None:
    """It goes on from a state that was saved with trainings under way, and contradicts nothing that came before."""
    spec, store = asynchronous(tmp_path, strategy), tmp_path / "store"
    process = harness.start(spec, store)
    harness.wait_for(process, store, lambda seen: any(isinstance(one, StateSaved) and one.pending for one in seen))
    harness.kill(process)
    harness.assert_none_left(store)
    assert harness.run(spec, store)["status"] == "finished"
    assert_replays(store)


def test_a_raised_total_is_not_bound_by_what_the_smaller_one_ended_with(tmp_path: Path) -> None:
    """ASHA promotes on when its bottom rung is full; with more candidates these come first."""
    spec, store = asynchronous(tmp_path, "asha"), tmp_path / "store"
    first = harness.run(spec, store)
    assert harness.result(store)["curves"]["trained"][0] == 21
    spec.write_text(spec.read_text().replace("candidates = 21", "candidates = 30"))
    assert harness.run(spec, store)["search"] == first["search"]
    trained = harness.result(store)["curves"]["trained"]
    assert trained[0] == 30
    assert trained[1] >= 15
    assert_replays(store)


def assert_replays(store: Path) -> None:
    result, world = replayed(store)
    assert result.model_dump(mode="json") == Result.model_validate(harness.result(store)).model_dump(mode="json")
    assert world.trained == 0
    assert max(harness.epochs_committed(store).values()) == 1
