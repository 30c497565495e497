from __future__ import annotations

from typing import Any

import pytest

from store.records.candidates import Named
from strategies import registry
from strategies.econas.options import PRESETS, EcoNASOptions
from strategies.errors import InvalidOptions


def test_the_defaults_are_the_papers_numbers_and_the_released_codes_ways() -> None:
    options = EcoNASOptions()
    assert (options.initial, options.cycles, options.epochs) == (50, 100, 20)
    assert (options.children, options.promoted_to_2e, options.promoted_to_3e) == (16, 8, 4)
    assert (options.parents, options.parent_shares) == ("tournament", (6, 5, 5))
    assert (options.dead, options.dead_after, options.side_by_side) == ("idle", 10, True)
    assert (options.schedule, options.schedule_epochs, options.reset_momentum) == ("cosine", 60, False)
    assert (options.hidden_state_probability, options.limit_half, options.redraw_duplicates) == (0.5, False, False)
    assert options.top == 5


def test_the_released_preset_is_the_released_code() -> None:
    options = EcoNASOptions(preset="released")
    changed = {"preset": "released", "initial": 16, "empty_rung": "drop", "reset_momentum": True}
    assert options.model_dump() == EcoNASOptions().model_dump() | changed


def test_the_algorithm_1_preset_is_the_paper_to_the_letter() -> None:
    options = EcoNASOptions(preset="algorithm-1")
    assert (options.initial, options.side_by_side, options.parents) == (50, False, "rank_two_stage")
    assert (options.dead, options.rung_capacity) == ("fifo", 50)
    assert (options.schedule, options.schedule_epochs, options.reset_momentum) == ("cosine_restarts", 20, False)


@pytest.mark.parametrize("preset", PRESETS)
def test_an_option_that_is_given_overrides_the_preset(preset: Any) -> None:
    given = {"initial": 7, "side_by_side": True, "dead": "union", "schedule": "cosine", "empty_rung": "share"}
    options = EcoNASOptions.model_validate({"preset": preset} | given)
    assert {name: getattr(options, name) for name in given} == given


def test_the_number_of_cycles_is_the_total() -> None:
    assert EcoNASOptions.totals == {"cycles"}


@pytest.mark.parametrize(("children", "expected"), [(16, (6, 5, 5)), (8, (3, 3, 2)), (1, (1, 0, 0)), (9, (3, 3, 3))])
def test_parents_are_spread_evenly_over_the_rungs_if_not_given(children: int, expected: tuple[int, int, int]) -> None:
    assert EcoNASOptions(children=children).parent_shares == expected


@pytest.mark.parametrize(
    ("options", "key", "said"),
    [
        ({"preset": "amoeba"}, "strategy.preset", "'default', 'released' or 'algorithm-1'"),
        ({"preset": 3}, "strategy.preset", "'default', 'released' or 'algorithm-1'"),
        ({"cycle": 3}, "strategy.cycle", "unknown option"),
        ({"cycles": -1}, "strategy.cycles", "greater than or equal to 0"),
        ({"cycles": "many"}, "strategy.cycles", "integer"),
        ({"parents_per_rung": [6, 5, 4]}, "strategy.parents_per_rung", "add up to children (16)"),
        ({"parents_per_rung": [20, -4, 0]}, "strategy.parents_per_rung", "none negative"),
        ({"rung_weights": [1, 0, 3]}, "strategy.rung_weights", "three positive numbers"),
        ({"hidden_state_probability": 1.5}, "strategy.hidden_state_probability", "less than or equal to 1"),
        ({"temperature": 0}, "strategy.temperature", "greater than 0"),
    ],
)
def test_a_wrong_option_is_named_with_what_was_expected(options: dict[str, Any], key: str, said: str) -> None:
    with pytest.raises(InvalidOptions) as caught:
        registry.options(Named(name="econas", options=options))
    (problem,) = caught.value.problems
    assert problem.key == key
    assert problem.value == next(iter(options.values()))
    assert said in problem.expected


def test_all_wrong_options_are_named_at_once() -> None:
    wrong = {"initial": 0, "parents": "best", "parents_per_rung": [1, 1, 1], "speed": 11}
    with pytest.raises(InvalidOptions) as caught:
        registry.options(Named(name="econas", options=wrong))
    assert [problem.key for problem in caught.value.problems] == [f"strategy.{name}" for name in wrong]


def test_every_option_says_what_it_is() -> None:
    assert [name for name, field in EcoNASOptions.model_fields.items() if not field.description] == []
