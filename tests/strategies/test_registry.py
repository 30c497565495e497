from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from store.records.base import Config
from store.records.candidates import Architecture, DataSpec, Named, Recipe
from store.records.spec import SearchSpec
from strategies import registry
from strategies.econas.search import EcoNAS
from strategies.errors import InvalidOptions
from strategies.evolution.search import RegularisedEvolution
from strategies.halving.search import SuccessiveHalving
from strategies.options import StrategyOptions
from strategies.random_search import RandomSearch
from strategies.spaces import registry as spaces
from tests.strategies.builders import spec


def test_the_strategies_by_name() -> None:
    assert isinstance(registry.create(spec("econas")), EcoNAS)
    assert isinstance(registry.create(spec("random")), RandomSearch)
    assert isinstance(registry.create(spec("regularised-evolution")), RegularisedEvolution)
    assert isinstance(registry.create(spec("asha")), SuccessiveHalving)


@pytest.mark.parametrize("name", ["asha", "econas", "fnas", "random", "regularised-evolution"])
def test_who_ranks_by_validation_accuracy_needs_images_that_are_held_out(name: str) -> None:
    whole = spec(name).model_copy(update={"data": DataSpec(name="digits", validation_fraction=0)})
    with pytest.raises(InvalidOptions, match=r"data\.validation_fraction is 0.0: expected more than 0"):
        registry.create(whole)


def test_totals_are_options_of_their_strategy() -> None:
    for name in ("asha", "econas", "fnas", "random", "regularised-evolution"):
        options = registry.find(name).options
        assert options.totals
        assert options.totals <= set(options.model_fields)


def test_an_unknown_strategy_is_named_with_those_that_there_are() -> None:
    with pytest.raises(InvalidOptions, match=r"strategy\.name is 'ecnas': expected one of .*econas, .*random"):
        registry.options(Named(name="ecnas"))


def test_the_strategys_and_the_spaces_errors_are_given_together() -> None:
    wrong = spec("econas", cycles=-1, space={"name": "cell", "nodes": 0})
    with pytest.raises(InvalidOptions) as caught:
        registry.create(wrong)
    assert [problem.key for problem in caught.value.problems] == ["strategy.cycles", "space.nodes"]


@pytest.mark.parametrize(("written", "strategys"), [("cosine_restarts", "cosine"), ("cosine", "cosine_restarts")])
def test_a_recipes_schedule_that_econas_would_override_is_refused(written: Any, strategys: str) -> None:
    recipe = Recipe(schedule=written)
    wrong = spec("econas", schedule=strategys).model_copy(update={"recipe": recipe})
    with pytest.raises(InvalidOptions, match=rf"recipe\.schedule is '{written}'.*set strategy\.schedule instead"):
        registry.create(wrong)
    agreeing = spec("econas", schedule=written).model_copy(update={"recipe": recipe})
    silent = spec("econas", schedule=strategys)
    complete = wrong.model_copy(update={"recipe": Recipe(schedule=written, schedule_epochs=9)})
    for right in (agreeing, silent, complete):
        assert isinstance(registry.create(right), EcoNAS)


class _Fixed:
    """A space of one architecture, which has no neighbours."""

    spec = Named(name="fixed")
    choices = (1,)

    def random(self, rng: np.random.Generator) -> Architecture:
        return Architecture(space="fixed", genes=(0,))

    def canonical(self, architecture: Architecture) -> Architecture:
        return architecture

    def decode(self, architecture: Architecture) -> Any:
        return architecture

    def describe(self, architecture: Architecture) -> dict[str, Any]:
        return {}


@pytest.fixture
def fixed_space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spaces, "_SPACES", dict(spaces._SPACES))
    spaces.register("fixed", Config, lambda options: _Fixed())


@pytest.mark.usefixtures("fixed_space")
def test_what_mutates_needs_a_space_that_can_be_mutated() -> None:
    for name in ("econas", "regularised-evolution"):
        with pytest.raises(InvalidOptions, match=rf"space\.name is 'fixed': expected a space .* mutated for {name}"):
            registry.create(spec(name, space={"name": "fixed"}))
    assert isinstance(registry.create(spec("asha", space={"name": "fixed"})), SuccessiveHalving)
    assert isinstance(registry.create(spec("random", space={"name": "fixed"})), RandomSearch)


@pytest.mark.usefixtures("fixed_space")
def test_the_longest_cannot_be_first_where_the_space_does_not_say_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Fixed, "mutate", lambda *_: None, raising=False)
    with pytest.raises(InvalidOptions, match=r"strategy\.longest_first is True: .* how much work its networks are"):
        registry.create(spec("econas", space={"name": "fixed"}, longest_first=True))
    assert isinstance(registry.create(spec("econas", longest_first=True)), EcoNAS)


@pytest.mark.usefixtures("fixed_space")
def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="'fixed' is registered already"):
        spaces.register("fixed", Config, lambda options: _Fixed())
    with pytest.raises(ValueError, match="'econas' is registered already"):
        registry.register("econas", StrategyOptions, lambda options, spec: RandomSearch(options))


def test_a_strategy_can_be_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_STRATEGIES", dict(registry._STRATEGIES))
    given: list[SearchSpec] = []

    def factory(options: Any, spec: SearchSpec) -> RandomSearch:
        given.append(spec)
        return RandomSearch(options)

    registry.register("mine", registry.find("random").options, factory)
    wanted = spec("mine", candidates=3)
    assert isinstance(registry.create(wanted), RandomSearch)
    assert given == [wanted]


def test_strategies_load_no_torch_and_no_event_loop() -> None:
    program = (
        "import sys, strategies.registry, strategies.spaces.registry, strategies.simulation\n"
        "print(sorted({'torch', 'anyio', 'asyncio', 'sqlite3', 'zarr'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
