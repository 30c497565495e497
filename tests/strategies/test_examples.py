"""The specs that we ship: they are valid, and ask for what their comments say."""

from __future__ import annotations

import runpy
import tomllib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from orchestrator.tables import with_data
from store.records.candidates import Named, Recipe
from store.records.requests import Train
from store.records.results import Result
from store.records.spec import SearchSpec
from strategies import registry
from strategies.fnas.networks import WARM_UP
from strategies.fnas.options import FNASOptions
from strategies.simulation import Simulation
from tests.strategies.fnas_world import NETWORKS, Watched

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))


def read(path: Path) -> SearchSpec:
    return SearchSpec.model_validate(with_data(tomllib.loads(path.read_text())))


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


def test_the_demo_without_a_barrier_trains_as_many() -> None:
    _, asked = trained("econas-async-digits")
    assert asked == Counter({3: 42, 6: 15, 9: 8})
    with_barrier, without = (example(name).strategy.options for name in ("econas-digits", "econas-async-digits"))
    assert dict(without) == dict(with_barrier) | {"barrier": False, "in_flight": 4}


def test_the_evolution_example_spends_as_many_epochs_as_it_says() -> None:
    result, asked = trained("evolution-digits")
    assert (asked[3], sum(result.curves["epochs"])) == (26, 111)  # three of them for a copy, which is not trained


def test_the_halving_example_has_the_rungs_that_it_says() -> None:
    result, asked = trained("asha-digits")
    assert result.curves["rung_epochs"] == [1, 3, 9]
    assert asked[1] == 27
    assert asked[3] >= 9
    assert asked[9] >= 3


def trained(name: str) -> tuple[Result, Counter[int]]:
    """The result of an example on a simulated daemon, and how many trainings to how many epochs it asked for."""
    simulation = Simulation(spec := example(name))
    result = simulation.search(registry.create(spec))
    requests = simulation.world.requests.values()
    return result, Counter(request.epochs for request in requests if isinstance(request, Train))


def test_the_cifar10_example_spells_out_the_defaults_of_the_strategy() -> None:
    spec = example("econas-cifar10")
    assert registry.options(spec.strategy) == registry.find("econas").options()


def test_the_cifar10_example_trains_as_the_paper_does_and_the_recipes_defaults_differ_only_in_cutout() -> None:
    recipe = example("econas-cifar10").recipe
    assert (recipe.learning_rate, recipe.minimum_learning_rate, recipe.cutout) == (0.025, 0.001, 16)
    assert Recipe() == recipe.model_copy(update={"cutout": 0})


def test_the_fnas_example_has_samples_of_every_source_and_trains_about_a_third() -> None:
    spec = example("fnas-digits")
    smaller = Named(name="fnas", options={**spec.strategy.options, **NETWORKS})
    result = Watched(spec.model_copy(update={"strategy": smaller})).run()
    sources = Counter(result.curves["sample_source"])
    assert sources.total() == 96
    assert sources["exploited"] == 11 * 4, "half of each batch but the first"
    assert 8 + 11 * 2 <= sources["trained"] <= 8 + 11 * 4, "half of the new ones, or more where few can be trusted"
    assert sum(one.origin == WARM_UP for one in result.history) <= 8


def test_the_ppo_example_is_the_fnas_example_without_its_modules() -> None:
    fnas, ppo = (example(f"{name}-digits") for name in ("fnas", "ppo"))
    parts = {"space", "trainer", "data", "proxy", "recipe", "seed"}
    assert fnas.model_dump(include=parts) == ppo.model_dump(include=parts)
    switches = ("uncertainty_critic", "knowledge_pool", "experience_buffer")
    assert [getattr(fnas_options(fnas), name) for name in switches] == [True] * 3
    assert [getattr(fnas_options(ppo), name) for name in switches] == [False] * 3
    assert fnas_options(fnas).reward == fnas_options(ppo).reward
    assert fnas_options(fnas).learning_rate == fnas_options(ppo).learning_rate


def test_the_transfer_example_starts_from_the_fnas_example_on_another_task_of_the_same_shape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fnas, second = (example(f"{name}-digits") for name in ("fnas", "fnas-transfer"))
    assert fnas_options(second).transfer.critic == fnas.name
    assert fnas_options(second).transfer.pool == (fnas.name,)
    assert second.model_dump(include={"space", "proxy", "recipe"}) == fnas.model_dump(
        include={"space", "proxy", "recipe"}
    ), "or no block would be compared"
    assert fnas_options(second).epochs == fnas_options(fnas).epochs
    file = tmp_path / "new" / "second-task.npz"
    monkeypatch.setattr("sys.argv", ["second_task.py", str(file)])
    runpy.run_path(str(EXAMPLES[0].parent / "second_task.py"))
    with np.load(file) as task:
        assert task["x_train"].shape == (1500, 8, 8)
        assert task["x_train"].dtype == np.uint8
        assert set(task["y_train"].tolist()) == {0, 1}
        images = np.concatenate([task["x_train"], task["x_test"]]) // 15
    turned_back = {np.rot90(image, -1).astype(int).tobytes() for image in images}
    assert turned_back == {image.astype(int).tobytes() for image in load_digits().images}


def test_the_fnas_example_for_cifar10_has_the_papers_numbers() -> None:
    options = fnas_options(example("fnas-cifar10"))
    assert options == FNASOptions(target=7e7)
    assert (options.samples, options.batch, options.epochs) == (8000, 20, 5)


def fnas_options(spec: SearchSpec) -> FNASOptions:
    options = registry.options(spec.strategy)
    assert isinstance(options, FNASOptions)
    return options


@pytest.mark.parametrize(
    "name",
    [
        "asha-digits",
        "econas-async-digits",
        "econas-digits",
        "evolution-digits",
        "random-digits",
        "fnas-digits",
        "fnas-transfer-digits",
        "ppo-digits",
    ],
)
def test_the_digits_examples_say_where_their_learning_rate_begins_and_ends(name: str) -> None:
    recipe = example(name).recipe
    assert recipe.model_fields_set >= {"learning_rate", "minimum_learning_rate"}
    assert (recipe.learning_rate, recipe.minimum_learning_rate) == (0.1, 0.0)
