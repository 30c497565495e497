"""Equation 2 of FNAS on values computed by hand, and what has no reward."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.fnas.options import FNASOptions
from strategies.fnas.reward import Reward


def reward(**options: object) -> Reward:
    return FNASOptions.model_validate(options).reward


@pytest.mark.parametrize(
    ("options", "cost", "expected"),
    [
        ({}, 1e9, 0.75),  # no target: the accuracy alone
        ({"target": 100}, 100, 0.75),
        ({"target": 100}, 200, 0.75 * 0.952638),  # 2 ** -0.07
        ({"target": 100}, 50, 0.75 * 1.049717),  # 2 ** 0.07: the soft form rewards what is below the target too
        ({"target": 100, "form": "hard"}, 50, 0.75),
        ({"target": 100, "form": "hard"}, 100, 0.75),
        ({"target": 100, "form": "hard"}, 200, 0.375),
        ({"target": 100, "alpha": -0.5, "beta": -2.0}, 25, 1.5),
        ({"target": 100, "alpha": -0.5, "beta": -2.0}, 200, 0.1875),
        ({"target": 100, "form": "hard", "beta": -0.5}, 400, 0.375),
    ],
)
def test_the_reward_is_accuracy_times_a_power_of_the_cost_over_the_target(
    options: dict[str, object], cost: float, expected: float
) -> None:
    assert reward(**options)(0.75, cost) == pytest.approx(expected, abs=1e-6)


def test_twice_the_cost_is_worth_five_percent_of_accuracy() -> None:
    """MnasNet's reason for -0.07: the same reward for twice the latency at 1.05 times the accuracy."""
    soft = reward(target=80.0)
    assert soft(0.5 * 1.05, 160) == pytest.approx(soft(0.5, 80), rel=1e-3)


@pytest.mark.parametrize("cost", [None, 0.0, -1.0, math.inf, math.nan])
def test_what_has_no_cost_has_no_reward_where_there_is_a_target(cost: float | None) -> None:
    assert reward(target=100)(0.75, cost) is None
    assert reward()(0.75, cost) == 0.75


@pytest.mark.parametrize("accuracy", [math.nan, math.inf])
def test_an_accuracy_that_is_not_finite_is_no_reward(accuracy: float) -> None:
    assert reward()(accuracy, 1.0) is None
    assert reward(target=100)(accuracy, 1.0) is None


def test_a_power_that_no_number_can_hold_is_no_reward() -> None:
    assert reward(target=1.0, alpha=-1000.0)(0.5, 1e-10) is None


@given(st.floats(0, 1), st.floats(1e-3, 1e12), st.floats(1e-3, 1e12), st.sampled_from(["soft", "hard"]))
def test_the_cheaper_network_of_two_as_accurate_is_never_worth_less(
    a: float, one: float, two: float, form: str
) -> None:
    found = reward(target=1e6, form=form)
    cheap, dear = found(a, min(one, two)), found(a, max(one, two))
    assert cheap is not None
    assert dear is not None
    assert cheap >= dear
