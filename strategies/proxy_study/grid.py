"""Lays a proxy study out: its settings, what is wrong with them, and which training serves several. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from pydantic import ValidationError

from store.records import reduction
from store.records.candidates import Named, Proxy, Recipe
from store.records.spec import Reference, SearchSpec
from strategies.errors import InvalidOptions, OptionProblem
from strategies.proxy_study.options import COMPARISON, ExtraSetting, ProxyStudyOptions
from strategies.proxy_study.settings import SHARED, Grid, Planned, Training, named
from strategies.run import Setting


def grid(options: ProxyStudyOptions, spec: SearchSpec) -> Grid:
    """Lays out the study that a spec asks for.

    Raises:
        InvalidOptions: naming everything that is missing, impossible, or there twice.
    """
    if spec.reference is None:
        raise InvalidOptions([OptionProblem("reference", None, "is required: the original setting of the study")])
    problems = [*_missing(options)]
    reference = _reference(spec.reference)
    settings = _without_overlap([*_product(options, spec), *_extras(options, spec, problems)], problems)
    for planned in (reference, *settings):
        reads_table = planned is reference and spec.reference.trainer is not None
        problems += _impossible(planned, reads_table=reads_table)
    if problems:
        raise InvalidOptions(list(dict.fromkeys(problems)))
    return _served(reference, settings, spec)


def _missing(options: ProxyStudyOptions) -> Iterator[OptionProblem]:
    gridded = options.channels or options.resolutions or options.sample_ratios or options.cells
    if not options.epochs and (gridded or not (options.extra or options.comparison)):
        yield OptionProblem("strategy.epochs", None, "is required: a list of numbers of epochs, e.g. [30, 60]")


def _reference(reference: Reference) -> Planned:
    name = named(reference.proxy, reference.epochs)
    recipe = _scheduled(reference.recipe, reference.epochs)
    keys = {"trainer.auxiliary": "reference.trainer.auxiliary"} if reference.trainer is not None else {}
    return Planned(name, reference.proxy, recipe, reference.epochs, key="reference", keys=keys)


def _product(options: ProxyStudyOptions, spec: SearchSpec) -> Iterator[Planned]:
    """Yields the grid, epochs the fastest to change; with both schedules each shared one after its own."""
    proxy, both = spec.proxy, len(options.schedule) > 1
    factors = (
        options.channels or (proxy.channels,),
        options.resolutions or (proxy.resolution,),
        options.sample_ratios or (proxy.sample_ratio,),
        options.cells or (proxy.cells,),
    )
    given = {"channels": "channels", "resolution": "resolutions", "sample_ratio": "sample_ratios", "cells": "cells"}
    keys = {f"proxy.{one}": f"strategy.{many}" for one, many in given.items() if getattr(options, many)}
    for (c, r, s, cells), epochs, schedule in product(product(*factors), options.epochs, options.schedule):
        changed: dict[str, Any] = {"channels": c, "resolution": r, "sample_ratio": s, "cells": cells}
        recipe = _scheduled(spec.recipe, max(options.epochs) if schedule == "shared" else epochs)
        planned = _planned(proxy.model_copy(update=changed), recipe, epochs, several_cells=len(options.cells) > 1)
        families = {"own"} if planned.schedule_epochs <= epochs else set[str]()
        if schedule == "shared" or spec.recipe.schedule_epochs is not None:
            families.add("shared")
        label = SHARED if both and schedule == "shared" else None
        yield replace(planned, label=label, families=frozenset(families), keys=keys)


def _planned(proxy: Proxy, recipe: Recipe, epochs: int, *, several_cells: bool) -> Planned:
    name = named(proxy, epochs)
    if (recipe.schedule_epochs or epochs) != epochs:
        name += f"of{recipe.schedule_epochs}"
    return Planned(f"{name}cells{proxy.cells}" if several_cells else name, proxy, recipe, epochs)


def _extras(options: ProxyStudyOptions, spec: SearchSpec, problems: list[OptionProblem]) -> Iterator[Planned]:
    extras = [(extra, f"strategy.extra.{index}") for index, extra in enumerate(options.extra)]
    extras += [(extra, "strategy.comparison") for extra in (COMPARISON if options.comparison else ())]
    labels = [extra.label for extra, _ in extras]
    for extra, key in extras:
        if labels.count(extra.label) > 1:
            problems.append(OptionProblem(f"{key}.label", extra.label, "expected another label for each"))
        recipe = _changed(spec.recipe, extra, f"{key}.recipe", problems)
        proxy = spec.proxy.model_copy(update=extra.proxy.model_dump(exclude_none=True))
        name = f"{named(proxy, extra.epochs)}-{extra.label}"
        alike = recipe == spec.recipe and recipe.schedule_epochs is None and proxy.stem == spec.proxy.stem
        families = frozenset({"own"} if alike else ())
        yield Planned(name, proxy, _scheduled(recipe, extra.epochs), extra.epochs, extra.label, families, key)


def _changed(recipe: Recipe, extra: ExtraSetting, key: str, problems: list[OptionProblem]) -> Recipe:
    """Returns the spec's recipe with an extra setting's changes, or as it was after noting what is wrong with them."""
    try:
        return Recipe.model_validate(recipe.model_dump() | extra.recipe)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            where = ".".join([key, *map(str, item["loc"])])
            unknown = item["type"] == "extra_forbidden"
            problems.append(OptionProblem(where, item["input"], "is no key of a recipe" if unknown else item["msg"]))
        return recipe


def _scheduled(recipe: Recipe, epochs: int) -> Recipe:
    """Gives a recipe the length of its schedule, unless it has one or needs none.

    An exponential rate falls by the epoch, however many there are; only the growth of path dropout has a length then.
    """
    if recipe.schedule_epochs is not None or (recipe.schedule == "exponential" and recipe.path_dropout is None):
        return recipe
    return recipe.model_copy(update={"schedule_epochs": epochs})


def _without_overlap(settings: Sequence[Planned], problems: list[OptionProblem]) -> tuple[Planned, ...]:
    """Returns every setting once; the longest of a shared cosine is also one with a cosine of its own.

    Anything else that is there twice is a problem.
    """
    kept: dict[str, Planned] = {}
    for planned in settings:
        earlier = kept.setdefault(_identity(planned), planned)
        if earlier is planned:
            continue
        if not earlier.key and not planned.key:
            kept[_identity(planned)] = replace(earlier, families=earlier.families | planned.families)
        else:
            problems.append(OptionProblem(planned.key, planned.name, f"is the same setting as {earlier.name}"))
    return tuple(kept.values())


def _identity(planned: Planned) -> str:
    proxy, recipe, epochs = planned.what
    return f"{proxy.model_dump_json()} {recipe.model_dump_json()} {epochs}"


def _impossible(planned: Planned, *, reads_table: bool) -> Iterator[OptionProblem]:
    """Yields why no study can have a setting; what its networks cannot be is checked by whoever knows the trainer."""
    pixels = planned.proxy.resolution
    if pixels is not None and pixels % 4 and not reads_table:
        expected = "expected a multiple of 4: two reductions halve the image"
        yield OptionProblem(planned.place("proxy.resolution"), pixels, expected)


def _served(reference: Planned, settings: tuple[Planned, ...], spec: SearchSpec) -> Grid:
    """Finds what must be trained, once each, and for how long."""
    assert spec.reference is not None
    told = [_setting(reference, spec.reference.trainer or spec.trainer)]
    told += [_setting(planned, spec.trainer) for planned in settings]
    longest: dict[str, Training] = {}
    for setting, planned in zip(told, (reference, *settings), strict=True):
        before = longest.get(setting.digest, Training(setting, 0))
        longest[setting.digest] = Training(setting, max(before.epochs, planned.epochs))
    first = told[0].digest
    order = sorted(longest, key=lambda one: (one != first, _cost(longest[one])))
    served = tuple(order.index(setting.digest) for setting in told)
    return Grid(reference, settings, tuple(longest[one] for one in order), served)


def _setting(planned: Planned, trainer: Named) -> Setting:
    return Setting(trainer, planned.proxy, planned.recipe)


def _cost(training: Training) -> float:
    """A guess of what a training costs, to put them in order; the acceleration that is told is measured."""
    proxy = training.setting.proxy
    pixels = proxy.resolution or reduction.RESOLUTIONS[0]
    return float(proxy.channels * pixels) ** 2 * proxy.sample_ratio * proxy.cells * training.epochs
