"""The specs that we ship: they are valid, and ask for what their comments say."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path

import pytest

from store.records.requests import Train
from store.records.spec import SearchSpec
from strategies import registry
from strategies.simulation import Simulation

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))


def read(path: Path) -> SearchSpec:
    return SearchSpec.model_validate(tomllib.loads(path.read_text()))


def example(name: str) -> SearchSpec:
    return read(next(path for path in EXAMPLES if path.stem == name))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_valid_search_of_its_files_name(path: Path) -> None:
    spec = read(path)
    registry.create(spec)
    assert spec.name == path.stem


def test_the_demo_trains_and_resumes_as_many_as_it_says() -> None:
    spec = example("econas-digits")
    simulation = Simulation(spec)
    result = simulation.search(registry.create(spec))
    requests = simulation.world.requests.values()
    asked = Counter(request.epochs for request in requests if isinstance(request, Train))
    assert asked == {3: 42, 6: 15, 9: 8}
    assert 3 * asked.total() == sum(result.curves["epochs"]) == 195


def test_the_cifar10_example_spells_out_the_defaults_of_the_strategy() -> None:
    spec = example("econas-cifar10")
    assert registry.options(spec.strategy) == registry.find("econas").options()
