"""The options of FNAS: presets, what does not go together, and what the rest of a spec must have."""

from __future__ import annotations

from typing import Any

import pytest

from store.records.candidates import Named, Recipe
from strategies import registry
from strategies.errors import InvalidOptions
from strategies.fnas.options import FNASOptions
from strategies.fnas.search import FNAS
from strategies.spaces import registry as spaces
from strategies.spaces.base import BlockSpace
from tests.strategies.builders import spec

MODULES = ("uncertainty_critic", "knowledge_pool", "experience_buffer")


def options(**given: Any) -> FNASOptions:
    found = registry.options(Named(name="fnas", options=given))
    assert isinstance(found, FNASOptions)
    return found


def test_the_defaults_are_the_papers() -> None:
    """Sections 4.2 to 6.1, and NASNet's appendix A.2 for the agent."""
    found = options()
    assert [getattr(found, name) for name in MODULES] == [True] * 3
    assert (found.samples, found.batch, found.epochs, found.iterations) == (8000, 20, 5, 400)
    assert (found.agent, found.hidden, found.learning_rate, found.entropy) == ("ppo", 100, 0.00035, 0.00001)
    assert (found.baseline_decay, found.critic_hidden, found.buffer_size) == (0.95, 200, 10)
    assert (found.trusted_share, found.exploited_share) == (0.5, 0.5)
    assert (found.reward.target, found.reward.alpha, found.reward.beta) == (None, -0.07, -0.07)


def test_mnas_is_plain_ppo_and_a_module_can_be_added_to_it() -> None:
    assert not any(getattr(options(preset="mnas"), name) for name in MODULES)
    added = options(preset="mnas", experience_buffer=True)
    assert [getattr(added, name) for name in MODULES] == [False, False, True]


def test_the_number_of_samples_is_the_budget_and_earlier_searches_are_referred_to() -> None:
    assert FNASOptions.totals == {"samples"}
    assert dict(FNASOptions.refers) == {"transfer.critic": "state", "transfer.pool": "search"}
    found = options(transfer={"critic": "first", "pool": "first"}).transfer
    assert (found.critic, found.pool) == ("first", ("first",))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"uncertainty_critic": False, "transfer": {"critic": "a"}}, "transfer.critic only together with"),
        ({"knowledge_pool": False, "transfer": {"pool": ["a"]}}, "transfer.pool only together with"),
        ({"cost": "latency"}, "device together with cost"),
        ({"device": "cpu"}, "device together with cost"),
        ({"exploited_share": 1.0}, r"strategy\.exploited_share is 1.0: expected less than 1"),
        ({"trusted_share": 1.0}, r"strategy\.trusted_share is 1.0: expected less than 1"),
        ({"target": 0}, r"strategy\.target is 0: expected greater than 0"),
        ({"similarity": 1.5}, r"strategy\.similarity is 1.5: expected less than or equal to 1"),
        ({"agent": "a2c"}, r"strategy\.agent is 'a2c': expected 'ppo' or 'reinforce'"),
        ({"preset": "mnasnet"}, r"strategy\.preset is 'mnasnet': expected 'fnas' or 'mnas'"),
        ({"transfer": {"buffer": "a"}}, r"strategy\.transfer\.buffer is 'a'"),
        ({"cycles": 3}, r"strategy\.cycles is 3: unknown option"),
    ],
)
def test_what_does_not_go_together_is_refused(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(InvalidOptions, match=expected):
        options(**given)


def test_a_strategy_is_made_for_every_space_that_has_blocks() -> None:
    for name in ("cell", "zoo", "nasbench201"):
        assert isinstance(spaces.create(Named(name=name)), BlockSpace)
        assert isinstance(registry.create(spec("fnas", space={"name": name})), FNAS)


def test_the_pool_needs_a_space_whose_networks_are_made_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = type(spaces.create(Named(name="nasbench201")))
    monkeypatch.delattr(bench, "blocks")
    with pytest.raises(InvalidOptions, match=r"strategy\.knowledge_pool is True: .* not made of blocks"):
        registry.create(spec("fnas", space={"name": "nasbench201"}))
    without = spec("fnas", space={"name": "nasbench201"}, knowledge_pool=False)
    assert isinstance(registry.create(without), FNAS)


def test_the_pool_needs_a_trainer_with_weights() -> None:
    table = {"trainer": Named(name="tabular", options={"table": "0" * 64, "column": "accuracy"})}
    with pytest.raises(InvalidOptions, match=r"strategy\.knowledge_pool is True: .* tabular has no weights"):
        registry.create(spec("fnas", space={"name": "nasbench201"}).model_copy(update=table))
    without = spec("fnas", space={"name": "nasbench201"}, knowledge_pool=False)
    assert isinstance(registry.create(without.model_copy(update=table)), FNAS)


def test_a_recipe_may_have_any_schedule() -> None:
    """The strategy sets the schedule's length alone, where the recipe leaves it open."""
    restarts = spec("fnas").model_copy(update={"recipe": Recipe(schedule="cosine_restarts")})
    assert isinstance(registry.create(restarts), FNAS)
