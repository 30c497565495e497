"""Settings that are well-formed and still cannot be carried out: found with the spec, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.errors import Problem
from store.records.candidates import Recipe
from store.records.spec import SearchSpec
from strategies.options import StrategyOptions
from strategies.run import Setting, SettingStrategy, Strategy, Wanted
from trainers import schedule
from trainers.errors import ImpossibleSetting
from trainers.networks.shape import check_proxy

_TRAINS = "cell"
"""The trainer that builds networks and carries out recipes; the others answer without."""


def impossible(spec: SearchSpec, options: StrategyOptions, strategy: Strategy | None) -> Iterator[Problem]:
    """Yields what no network can be, or no training do, as far as it can be known without the data; once for each key.

    Args:
        spec: with the defaults filled in.
        options: of its strategy.
        strategy: made of them; none if that failed, and then only networks are looked at.
    """
    told = set[str]()
    for wanted in strategy.settings() if isinstance(strategy, SettingStrategy) else _of_the_spec(spec, options):
        for error in _errors(wanted.setting, spec.space.name, recipes=strategy is not None):
            if (key := wanted.place(error.key)) not in told:
                told.add(key)
                yield Problem(key, error.value, f"expected {error.expected}")


def _of_the_spec(spec: SearchSpec, options: StrategyOptions) -> Iterator[Wanted]:
    """Yields the settings of `[proxy]` and of `[reference]`, with what the strategy fills in."""
    length = getattr(options, "schedule_epochs", None) or getattr(options, "epochs", None)
    recipe = _filled(spec.recipe, length, options.schedules and getattr(options, "schedule", None))
    yield Wanted(Setting(spec.trainer, spec.proxy, recipe), str)
    if (reference := spec.reference) is not None:
        recipe = _filled(reference.recipe, reference.epochs)
        yield Wanted(Setting(reference.trainer or spec.trainer, reference.proxy, recipe), "reference.{}".format)


def _errors(setting: Setting, space: str, *, recipes: bool) -> Iterator[ImpossibleSetting]:
    if setting.trainer.name != _TRAINS:
        return
    try:
        check_proxy(space, setting.proxy, auxiliary=bool(setting.trainer.options.get("auxiliary")))
    except ImpossibleSetting as error:
        yield error
    try:
        if recipes:
            schedule.check(setting.recipe)
    except ImpossibleSetting as error:
        yield error


def _filled(recipe: Recipe, epochs: int | None, kind: Any = None) -> Recipe:
    """Returns a recipe with the schedule that it leaves to the strategy; one that gives its length says all of it."""
    if recipe.schedule_epochs is not None:
        return recipe
    return recipe.model_copy(update={"schedule_epochs": epochs, "schedule": kind or recipe.schedule})
