"""Settings that are well-formed and still cannot be carried out: found with the spec, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import Problem
from store.records.candidates import Recipe
from store.records.spec import SearchSpec
from strategies.options import StrategyOptions
from trainers import schedule
from trainers.errors import ImpossibleSetting
from trainers.networks.shape import check_proxy

_TRAINS = "cell"
"""The trainer that builds networks and carries out recipes; the others answer without."""


def impossible(spec: SearchSpec, options: StrategyOptions) -> Iterator[Problem]:
    """Yields what no network can be, or no training do, as far as it can be known without the data.

    Args:
        spec: with the defaults filled in.
        options: of its strategy.
    """
    yield from _networks(spec)
    for where, recipe in _recipes(spec, options):
        try:
            schedule.check(recipe)
        except ImpossibleSetting as error:
            yield _problem(where, error)


def _networks(spec: SearchSpec) -> Iterator[Problem]:
    settings = [("", spec.trainer, spec.proxy)]
    if spec.reference is not None:
        settings.append(("reference.", spec.reference.trainer or spec.trainer, spec.reference.proxy))
    for where, trainer, proxy in settings:
        try:
            if trainer.name == _TRAINS:
                check_proxy(spec.space.name, proxy, auxiliary=bool(trainer.options.get("auxiliary")))
        except ImpossibleSetting as error:
            yield _problem(where, error)


def _recipes(spec: SearchSpec, options: StrategyOptions) -> Iterator[tuple[str, Recipe]]:
    """Yields the recipes that are carried out, with what the strategy fills in, and where their keys stand."""
    reference = spec.reference
    if reference is not None and (reference.trainer or spec.trainer).name == _TRAINS:
        yield "reference.", _filled(reference.recipe, reference.epochs)
    if spec.trainer.name != _TRAINS:
        return
    yield "", _filled(spec.recipe, _length(options), options.schedules and getattr(options, "schedule", None))
    for index, extra in enumerate(getattr(options, "extra", ())):
        try:
            changed = Recipe.model_validate(spec.recipe.model_dump() | extra.recipe)
        except ValidationError:
            continue  # the strategy has said so already
        yield f"strategy.extra.{index}.", _filled(changed, extra.epochs)


def _filled(recipe: Recipe, epochs: int | None, kind: Any = None) -> Recipe:
    """Returns a recipe with the schedule that it leaves to the strategy; one that gives its length says all of it."""
    if recipe.schedule_epochs is not None:
        return recipe
    return recipe.model_copy(update={"schedule_epochs": epochs, "schedule": kind or recipe.schedule})


def _length(options: StrategyOptions) -> int | None:
    """The length of the schedule that a strategy sets, the shortest where it sets several."""
    epochs: Any = getattr(options, "schedule_epochs", None) or getattr(options, "epochs", None)
    if isinstance(epochs, tuple):
        shared_only = "own" not in getattr(options, "schedule", ("own",))
        return (max if shared_only else min)(epochs, default=None)
    return epochs if isinstance(epochs, int) else None


def _problem(where: str, error: ImpossibleSetting) -> Problem:
    return Problem(where + error.key, error.value, f"expected {error.expected}")
