"""Rates, path dropout and the batches of a step, as the papers and torch have them."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from store.records.candidates import Recipe
from trainers.errors import ImpossibleSetting
from trainers.recipe import RECIPES, named
from trainers.schedule import batches_of, check, learning_rate, path_dropout, steps_of


def test_one_cosine_goes_from_the_highest_rate_in_epoch_1_and_is_continued_at_e_and_2e() -> None:
    recipe = Recipe(learning_rate=0.1, minimum_learning_rate=0.0, schedule_epochs=60)
    assert learning_rate(recipe, 1) == 0.1
    assert learning_rate(recipe, 21) == pytest.approx(0.1 * (1 + math.cos(math.pi / 3)) / 2)
    assert learning_rate(recipe, 31) == pytest.approx(0.05)
    assert learning_rate(recipe, 41) == pytest.approx(0.1 * (1 + math.cos(2 * math.pi / 3)) / 2)
    assert learning_rate(recipe, 60) == pytest.approx(0.1 * (1 + math.cos(math.pi * 59 / 60)) / 2)
    assert learning_rate(recipe, 61) == learning_rate(recipe, 90) == 0.0


def test_the_rates_are_those_of_torchs_scheduler() -> None:
    recipe = Recipe(learning_rate=0.1, minimum_learning_rate=0.001, schedule_epochs=12)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 12, eta_min=0.001)
    for epoch in range(1, 13):
        assert learning_rate(recipe, epoch) == pytest.approx(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()


def test_restarts_begin_a_new_cosine_each_period() -> None:
    recipe = Recipe(learning_rate=0.1, minimum_learning_rate=0.0, schedule="cosine_restarts", schedule_epochs=20)
    for epoch in (1, 21, 41):
        assert learning_rate(recipe, epoch) == 0.1
    assert learning_rate(recipe, 5) == learning_rate(recipe, 25) == learning_rate(recipe, 45)


def test_without_a_length_the_rate_is_constant() -> None:
    assert {learning_rate(Recipe(learning_rate=0.025), epoch) for epoch in range(1, 100)} == {0.025}


def test_with_a_rate_per_step_a_cosine_moves_within_epochs_and_agrees_at_their_beginnings() -> None:
    per_epoch = Recipe(learning_rate=0.1, minimum_learning_rate=0.0, schedule_epochs=10)
    per_step = per_epoch.model_copy(update={"rate_per_step": True})
    for epoch in range(1, 11):
        assert learning_rate(per_step, epoch, 0, 4) == pytest.approx(learning_rate(per_epoch, epoch, 3, 4))
    rates = [learning_rate(per_step, epoch, step, 4) for epoch in range(1, 11) for step in range(4)]
    assert all(first > second for first, second in pairwise(rates))
    assert rates[2] == pytest.approx(0.1 * (1 + math.cos(math.pi * 0.05)) / 2)


def test_the_warm_up_of_econas_on_imagenet_goes_from_0_2_to_0_8_in_two_epochs_and_the_cosine_ends_at_150() -> None:
    """EcoNAS E.3 (A5.3)."""
    recipe = named("econas-imagenet").recipe
    assert learning_rate(recipe, 1, 0, 100) == 0.2
    assert learning_rate(recipe, 1, 50, 100) == pytest.approx(0.35)
    assert learning_rate(recipe, 2, 0, 100) == pytest.approx(0.5)
    assert learning_rate(recipe, 2, 99, 100) == pytest.approx(0.8, abs=0.004)
    assert learning_rate(recipe, 3, 0, 100) == learning_rate(recipe, 3, 99, 100) == 0.8
    assert learning_rate(recipe, 77) == pytest.approx(0.4)
    assert learning_rate(recipe, 151) == 0.0


def test_the_rate_of_darts_on_imagenet_falls_by_three_percent_an_epoch_as_torchs_does() -> None:
    recipe = named("darts-imagenet").recipe
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.97)
    for epoch in range(1, 251):
        assert learning_rate(recipe, epoch, 7, 9) == pytest.approx(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()


def test_path_dropout_grows_linearly_from_nothing_as_in_darts() -> None:
    recipe = named("econas-cifar10").recipe
    assert [path_dropout(recipe, epoch) for epoch in (1, 301, 601, 700)] == [0.0, pytest.approx(0.1), 0.2, 0.2]
    assert path_dropout(recipe, 600) == pytest.approx(0.2 * 599 / 600)
    assert path_dropout(Recipe(schedule_epochs=10), 10) == 0.0


@given(batches=st.integers(1, 500), accumulate=st.integers(1, 40))
def test_every_batch_is_in_one_step_and_only_the_last_step_is_smaller(batches: int, accumulate: int) -> None:
    recipe = Recipe(accumulate=accumulate)
    groups = [batches_of(step, batches, recipe) for step in range(steps_of(batches, recipe))]
    assert [batch for group in groups for batch in group] == list(range(batches))
    assert all(len(group) == accumulate for group in groups[:-1])
    assert 1 <= len(groups[-1]) <= accumulate


@pytest.mark.parametrize("recipe", [each.recipe for each in RECIPES.values()], ids=list(RECIPES))
def test_the_parts_of_every_named_recipe_fit_each_other(recipe: Recipe) -> None:
    check(recipe)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"schedule": "exponential"}, "recipe.rate_decay"),
        ({"rate_decay": 0.97}, "recipe.rate_decay"),
        ({"nesterov": True, "momentum": 0.0}, "recipe.nesterov"),
        ({"path_dropout": 0.2}, "recipe.path_dropout"),
        ({"warmup_epochs": 5, "schedule_epochs": 5}, "recipe.warmup_epochs"),
        ({"warmup_epochs": 1, "schedule_epochs": 5, "schedule": "cosine_restarts"}, "recipe.warmup_epochs"),
        ({"warmup_learning_rate": 0.1}, "recipe.warmup_learning_rate"),
        ({"learning_rate": 5e-4, "schedule_epochs": 5}, "recipe.minimum_learning_rate"),
    ],
)
def test_parts_that_do_not_fit_are_refused_by_key(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ImpossibleSetting) as raised:
        check(Recipe(**changes))
    assert raised.value.key == key
