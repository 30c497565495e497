"""The strategies by name. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pydantic import ValidationError

from store.records.candidates import Architecture, Named
from store.records.spec import SearchSpec
from strategies.econas.options import EcoNASOptions
from strategies.econas.search import EcoNAS
from strategies.errors import InvalidArchitecture, InvalidOptions, OptionProblem
from strategies.evolution.options import RegularisedEvolutionOptions
from strategies.evolution.search import RegularisedEvolution
from strategies.fnas.options import FNASOptions
from strategies.fnas.search import FNAS
from strategies.halving.options import HalvingOptions
from strategies.halving.search import SuccessiveHalving
from strategies.options import StrategyOptions, read, unknown_name
from strategies.proxy_study.options import ProxyStudyOptions
from strategies.proxy_study.search import ProxyStudy
from strategies.random_search import RandomSearch, RandomSearchOptions
from strategies.retrain import Retrain, RetrainOptions
from strategies.run import Strategy
from strategies.spaces import plugins
from strategies.spaces import registry as spaces
from strategies.spaces.base import BlockSpace, MutableSpace, WeighedSpace


class Registered(NamedTuple):
    """What a name stands for: the options it takes, and what makes a strategy of them for a spec."""

    options: type[StrategyOptions]
    factory: Callable[[Any, SearchSpec], Strategy]


def _retrain(options: RetrainOptions, spec: SearchSpec) -> Strategy:
    space, problems = spaces.create(spec.space), []
    for place, genes in enumerate(options.architectures):
        try:
            space.canonical(Architecture(space=space.spec.name, genes=genes))
        except InvalidArchitecture as error:
            problems.append(OptionProblem(f"strategy.architectures.{place}", None, f"expected {error.expected}"))
    if problems:
        raise InvalidOptions(problems)
    return Retrain(options)


_STRATEGIES: dict[str, Registered] = {
    "asha": Registered(HalvingOptions, lambda options, spec: SuccessiveHalving(options)),
    "econas": Registered(EcoNASOptions, lambda options, spec: EcoNAS(options)),
    "fnas": Registered(FNASOptions, lambda options, spec: FNAS(options)),
    "proxy-study": Registered(ProxyStudyOptions, ProxyStudy.of),
    "regularised-evolution": Registered(
        RegularisedEvolutionOptions, lambda options, spec: RegularisedEvolution(options)
    ),
    "random": Registered(RandomSearchOptions, lambda options, spec: RandomSearch(options)),
    "retrain": Registered(RetrainOptions, _retrain),
}


def register(name: str, options: type[StrategyOptions], factory: Callable[[Any, SearchSpec], Strategy]) -> None:
    """Adds a strategy under a name that is free.

    Raises:
        ValueError: if the name is taken.
    """
    if name in _STRATEGIES:
        raise ValueError(f"a strategy named {name!r} is registered already")
    _STRATEGIES[name] = Registered(options, factory)


def find(name: str) -> Registered:
    """Returns what a name stands for.

    Raises:
        InvalidOptions: if there is no such strategy.
        PluginBroken: if it is a distribution's, and cannot be used.
    """
    if name in _STRATEGIES:
        return _STRATEGIES[name]
    if (own := plugins.load(plugins.STRATEGIES, name, Registered)) is not None:
        return own
    raise unknown_name("strategy", name, [*_STRATEGIES, *plugins.names(plugins.STRATEGIES)])


def options(named: Named) -> StrategyOptions:
    """Returns a strategy's options, defaults filled in.

    Raises:
        InvalidOptions: if there is no such strategy, or naming all of its options that are unknown or wrong.
    """
    return read(find(named.name).options, named.options, "strategy")


def create(spec: SearchSpec) -> Strategy:
    """Returns the strategy that a spec names.

    Raises:
        InvalidOptions: naming everything that is wrong with the spec's strategy, and with its space for the strategy.
    """
    problems: list[OptionProblem] = []
    for check in (lambda: _check_split(spec), lambda: spaces.create(spec.space)):
        try:
            check()
        except InvalidOptions as error:
            problems += error.problems
    if problems:
        raise InvalidOptions(problems)
    if unmet := list(_unmet(chosen := options(spec.strategy), spec)):
        raise InvalidOptions(unmet)
    return find(spec.strategy.name).factory(chosen, spec)


def _check_split(spec: SearchSpec) -> None:
    """Checks a strategy's options, and that images are held out if, and only if, it chooses by them."""
    known, held_out = options(spec.strategy), spec.data.validation_fraction
    if known.holds_out == (held_out > 0):
        return
    why = "expected more than 0: only `retrain` trains on all images" if known.holds_out else _ALL_IMAGES
    raise InvalidOptions([OptionProblem("data.validation_fraction", held_out, why)])


def _unmet(chosen: StrategyOptions, spec: SearchSpec) -> Iterator[OptionProblem]:
    """Yields what a spec's space and recipe lack for its strategy."""
    name, recipe = spec.strategy.name, spec.recipe
    if chosen.mutates and not isinstance(spaces.create(spec.space), MutableSpace):
        yield OptionProblem("space.name", spec.space.name, f"expected a space that can be mutated for {name}")
    if getattr(chosen, "longest_first", None) and not isinstance(spaces.create(spec.space), WeighedSpace):
        why = "expected false: the space does not say how much work its networks are"
        yield OptionProblem("strategy.longest_first", True, why)
    for option in chosen.pools:
        if value := getattr(chosen, option):
            yield from _unpooled(f"strategy.{option}", value, spec)
    written = "schedule" in recipe.model_fields_set and recipe.schedule_epochs is None
    if chosen.schedules and written and recipe.schedule != getattr(chosen, "schedule", None):
        why = f"{name} sets the schedule: set strategy.schedule instead, or recipe.schedule_epochs too"
        yield OptionProblem("recipe.schedule", recipe.schedule, why)


def misfit(ours: Named, theirs: Named) -> str | None:
    """Says in which way a search would have to be another one, so that this one could go on from what it has learnt.

    Args:
        ours: a checked strategy that refers to the other's state.
        theirs: the strategy of the other, as its search was opened.
    """
    if ours.name != theirs.name:
        return f"strategy.name {ours.name!r}, not {theirs.name!r}"
    model = find(ours.name).options
    wanted = model.model_validate(ours.options)
    try:
        found = model.model_validate(theirs.options)
    except ValidationError:
        return None  # another version wrote it: the state itself is checked where it is read
    for option in model.of_state:
        if getattr(wanted, option) != (value := getattr(found, option)):
            return f"strategy.{option} = {json.dumps(getattr(wanted, option))}, not {json.dumps(value)}"
    return None


def _unpooled(key: str, value: object, spec: SearchSpec) -> Iterator[OptionProblem]:
    """Yields why a search cannot use the knowledge pool."""
    expected = "expected false" if value is True else "expected nothing"
    if not isinstance(spaces.create(spec.space), BlockSpace):
        why = "the networks of the space are not made of blocks that could be inherited"
        yield OptionProblem(key, value, f"{expected}: {why}")
    if spec.trainer.name in _WEIGHTLESS:
        yield OptionProblem(key, value, f"{expected}: the trainer {spec.trainer.name} has no weights to inherit")


_WEIGHTLESS = frozenset({"tabular"})
"""Trainers that answer without a network."""
_ALL_IMAGES = "expected 0: what is retrained is chosen already, and learns from all training images"
