"""A user's own strategy, space, trainer and data set, in a distribution of their own, through entry points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from store.records.events import JobSucceeded
from store.records.outcomes import Trained
from tests.system import harness

pytestmark = pytest.mark.timeout(120)

MODULES = {
    "strategy": """
from typing import ClassVar
from pydantic import Field
from store.records.results import Individual, Result
from strategies.options import StrategyOptions
from strategies.registry import Registered

class Options(StrategyOptions):
    totals: ClassVar[frozenset[str]] = frozenset({"beds"})
    beds: int = Field(default=2, ge=1)

class Gardener:
    def __init__(self, options):
        self.options = options

    async def search(self, run):
        history = []
        for index in range(self.options.beds):
            candidate = run.candidate(run.space.random(run.rng), schedule_epochs=2)
            outcome = await run.train(candidate, epochs=2)
            history.append(Individual(index=index, architecture=candidate.architecture, candidate=candidate.id,
                                      epochs=2, accuracy=outcome.accuracy, checkpoint=outcome.checkpoint))
        return Result(best=tuple(sorted(history, key=lambda one: -one.accuracy)[:1]), history=tuple(history))

GARDENER = Registered(Options, lambda options, spec: Gardener(options))
""",
    "space": """
from pydantic import Field
from store.records.base import Config
from store.records.candidates import Architecture, Named
from strategies.spaces.registry import Registered

class Options(Config):
    width: int = Field(default=4, ge=1)

class Rows:
    def __init__(self, options):
        self.spec = Named(name="rows", options=options.model_dump())
        self.choices = (2,) * options.width

    def random(self, rng):
        return Architecture(space="rows", genes=tuple(int(gene) for gene in rng.integers(0, 2, len(self.choices))))

    def canonical(self, architecture):
        return architecture

    def decode(self, architecture):
        return architecture.genes

    def describe(self, architecture):
        return {"rows": list(architecture.genes)}

ROWS = Registered(Options, Rows)
""",
    "trainer": """
from trainers.options import ScriptedOptions
from trainers.registry import Entry

SPADE = Entry(ScriptedOptions, "coldframe_garden.work:Spade")
""",
    "work": """
from trainers import datasets
from trainers.scripted import ScriptedTrainer

class Spade(ScriptedTrainer):
    def train(self, job):
        images = datasets.load(job.request.candidate.data, job.settings.data_path)
        return super().train(job).model_copy(update={"images": len(images.labels)})
""",
    "data": """
from pathlib import Path
import numpy as np
from blake3 import blake3
from trainers.fingerprint import OwnSet
from trainers.sources import Arrays

def fingerprint(path, told):
    return blake3(Path(path).read_bytes()).hexdigest()

def read(place):
    labels = np.array([int(line) for line in Path(place.path).read_text().split()], dtype=np.int64)
    return Arrays(np.zeros((len(labels), 1, 4, 4), np.uint8), labels)

BEDS = OwnSet(fingerprint, "coldframe_garden.data:read")
""",
}
POINTS = """
[coldframe.strategies]
gardener = coldframe_garden.strategy:GARDENER
broken = coldframe_garden.strategy:NOT_THERE
[coldframe.spaces]
rows = coldframe_garden.space:ROWS
[coldframe.trainers]
spade = coldframe_garden.trainer:SPADE
[coldframe.datasets]
beds = coldframe_garden.data:BEDS
"""
SPEC = """
name = "garden"
[strategy]
name = "{strategy}"
[space]
name = "rows"
width = 6
[trainer]
name = "spade"
[data]
name = "beds"
path = "{data}"
"""


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """A distribution on the path, as pip leaves it; returns the environment that has it."""
    site = tmp_path / "site"
    package, info = site / "coldframe_garden", site / "coldframe_garden-1.2.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (package / "__init__.py").write_text("")
    for name, text in MODULES.items():
        (package / f"{name}.py").write_text(text)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: coldframe-garden\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(POINTS)
    return {"PYTHONPATH": str(site)}


def spec(folder: Path, strategy: str = "gardener") -> Path:
    (folder / "beds.txt").write_text("0 1 1 0 2 2 1")
    path = folder / "garden.toml"
    path.write_text(SPEC.format(strategy=strategy, data=folder / "beds.txt"))
    return path


def test_a_users_own_strategy_space_trainer_and_data_set_run_a_search(
    tmp_path: Path, installed: dict[str, Any]
) -> None:
    ended = harness.run(spec(tmp_path), tmp_path / "store", env=installed)
    assert ended["status"] == "finished"
    outcomes = [event.outcome for event in harness.events(tmp_path / "store") if isinstance(event, JobSucceeded)]
    trained = [outcome for outcome in outcomes if isinstance(outcome, Trained)]
    assert trained
    assert {outcome.images for outcome in trained} == {7}, "the worker read the data set with the user's code"
    assert len(harness.result(tmp_path / "store")["history"]) == 2


def test_a_broken_plug_in_is_told_with_its_distribution_when_it_is_named(
    tmp_path: Path, installed: dict[str, Any]
) -> None:
    said = harness.coldframe(
        "run", str(spec(tmp_path, "broken")), "--store", str(tmp_path / "store"), env=installed, expected=2
    )
    assert "entry point 'broken' of coldframe.strategies, from coldframe-garden 1.2, cannot be used" in said
    assert "NOT_THERE" in said


def test_an_unknown_name_lists_what_is_installed(tmp_path: Path, installed: dict[str, Any]) -> None:
    said = harness.coldframe(
        "run", str(spec(tmp_path, "florist")), "--store", str(tmp_path / "store"), env=installed, expected=2
    )
    assert "gardener" in said
    assert "econas" in said
