"""Makes the search that retrains another one's winners: its spec out of that search's, a named recipe, and settings."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator import spec as specs
from orchestrator.errors import NoNetwork, Problem, RetrainRefused, SpecError
from orchestrator.lineage import RETRAIN
from orchestrator.spec import Plan
from orchestrator.views import CandidateView, History, SearchView, find, search_view
from store.records.candidates import DataSpec
from trainers import fitting
from trainers.errors import DataChanged, ImpossibleSetting
from trainers.fingerprint import Told
from trainers.fitting import Pictures
from trainers.recipe import RECIPES, NamedRecipe, named

TABLES = ("recipe", "proxy", "trainer", "resources")
"""The tables of which `--set` may set a key; and `seed`."""
LONGEST_NAME = 100
_TRAINS = "cell"
"""The trainer that trains networks; of the others' candidates there are no weights."""


class Wish(NamedTuple):
    """What `coldframe retrain` was asked for.

    Attributes:
        search: name of a search, or the beginning of its id.
        recipe: name of a recipe.
        top: how many of its best networks.
        epochs: instead of the recipe's.
        seeds: trainings of each network.
        name: of the new search.
        data_name: another data set than the search's.
        data_path: where the data set lies.
        settings: `KEY=VALUE` each, e.g. `recipe.batch_size=64`.
    """

    search: str
    recipe: str
    top: int = 5
    epochs: int | None = None
    seeds: int = 1
    name: str | None = None
    data_name: str | None = None
    data_path: str | None = None
    settings: tuple[str, ...] = ()


class Retraining(NamedTuple):
    """A search that is planned, and what a person should know of it before it runs."""

    plan: Plan
    remarks: tuple[str, ...]


def plan(history: History, wish: Wish, *, alive: bool = False, told: Told | None = None) -> Retraining:
    """Plans the retraining of a search's best networks.

    Args:
        history: the store's folded journal.
        wish: what was asked for.
        alive: whether a process holds the store.
        told: hears how many of the data set's files are read, to know it by its content.

    Raises:
        UnknownSearch: if there is no such search, or more than one.
        UnknownRecipe: if there is no such recipe.
        NoNetwork: if the search has not trained any.
        RetrainRefused: if they cannot be trained so.
        SpecError: naming every setting that is wrong.
        DataError: if the data are not there, have no test split, or are not those of the search.
    """
    recipe = named(wish.recipe)
    view = search_view(history, find.search(history, wish.search), alive=alive)
    _check_source(view, wish)
    winners = view.best[: wish.top]
    if not winners:
        raise NoNetwork(f"search {view.name!r}", "has no trained network yet")
    raw = _spec(view, winners, recipe, wish)
    made = specs.plan(raw, f"retraining {view.name}", told)
    if wish.data_name is None:
        _check_data(history, view, made)
    _check_fit(made, view, recipe)
    return Retraining(made, tuple(_remarks(view, winners, wish)))


def _check_source(view: SearchView, wish: Wish) -> None:
    if view.spec["strategy"]["name"] == RETRAIN:
        source = view.spec["strategy"]["options"].get("search")
        where = f": name the search that found them, {source[:12]}" if source else ""
        raise RetrainRefused(view.name, f"it is a retraining itself, and its order is that of test accuracies{where}")
    trainer = view.spec["trainer"]["name"]
    if trainer != _TRAINS and wish.data_name is None:
        why = f"its trainer was {trainer!r}, which trains on no images. Name the data to train on, e.g. "
        raise RetrainRefused(view.name, why + "--data-name cifar10 --data FOLDER, or --data-name npz --data FILE.npz")


def _spec(view: SearchView, winners: Sequence[CandidateView], recipe: NamedRecipe, wish: Wish) -> dict[str, Any]:
    """Returns the retraining's spec as if it had been written by hand."""
    epochs = wish.epochs or recipe.epochs
    raw: dict[str, Any] = {
        "name": wish.name or f"{view.name} retrained ({recipe.name})"[:LONGEST_NAME],
        "seed": view.spec["seed"],
        "strategy": _strategy(view, winners, wish, epochs),
        "space": dict(view.spec["space"]),
        "trainer": recipe.trainer.model_dump(mode="json"),
        "data": _data(view.spec["data"], wish),
        "proxy": recipe.proxy.model_dump(mode="json", exclude_none=True),
        "recipe": recipe.recipe.model_dump(mode="json", exclude_none=True) | {"schedule_epochs": epochs},
        "resources": dict(view.spec["resources"]),
    }
    _apply(raw, wish.settings)
    return raw


def _strategy(view: SearchView, winners: Sequence[CandidateView], wish: Wish, epochs: int) -> dict[str, Any]:
    options: dict[str, Any] = {
        "name": RETRAIN,
        "architectures": [list(found.architecture["genes"]) for found in winners],
        "epochs": epochs,
        "search": view.id,
        "search_name": view.name,
        "candidates": [found.candidate for found in winners],
        "accuracies": [found.accuracy for found in winners],
    }
    if wish.seeds != 1:
        options["seeds"] = wish.seeds
    return options if view.finished else options | {"unfinished": True}


def _data(searched: Mapping[str, Any], wish: Wish) -> dict[str, Any]:
    kept = ("image_size", "skip_broken") if wish.data_name is None else ()
    data = {key: searched[key] for key in kept if searched.get(key) is not None}
    path = wish.data_path or (searched.get("path") if wish.data_name is None else None)
    if path is not None:
        data["path"] = path
    name = wish.data_name or searched["name"]
    return data | {"name": name, "validation_fraction": 0.0, "split_seed": searched.get("split_seed", 0)}


def _apply(raw: dict[str, Any], settings: Sequence[str]) -> None:
    """Sets what `--set` names.

    Raises:
        SpecError: naming every one that has no value or no key that may be set.
    """
    problems = []
    for setting in settings:
        key, equals, text = setting.partition("=")
        table, _, name = key.strip().partition(".")
        known = key.strip() == "seed" or (table in TABLES and name and key.strip() != "trainer.name")
        if not equals or not known:
            expected = "expected seed=N, or TABLE.KEY=VALUE with one of " + ", ".join(TABLES)
            problems.append(Problem("--set", setting, expected))
        elif table == "seed":
            raw["seed"] = _value(text)
        elif table == "trainer":
            raw["trainer"]["options"][name] = _value(text)
        else:
            raw[table][name] = _value(text)
    if problems:
        raise SpecError("--set", problems)


def _value(text: str) -> Any:
    """Reads a value as TOML does; what is no TOML value is text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _check_data(history: History, view: SearchView, made: Plan) -> None:
    """Checks that the data are those of the search; raises `DataChanged` if not."""
    for asked in history.searches[view.id].requests:
        candidate = history.jobs[asked.job].request.get("candidate")
        if candidate is None:
            continue
        expected = candidate["data"]["fingerprint"]
        if made.data.fingerprint != expected:
            raise DataChanged(made.data.name, made.data_path, expected, made.data.fingerprint)
        return


def _check_fit(made: Plan, view: SearchView, recipe: NamedRecipe) -> None:
    """Checks that the networks can be trained on these images so; raises `RetrainRefused` with what can be done."""
    spec = made.spec
    pictures = fitting.look(spec.data)
    try:
        auxiliary = bool(spec.trainer.options.get("auxiliary"))
        fitting.check(pictures, spec.space, spec.proxy, spec.recipe, auxiliary=auxiliary)
    except ImpossibleSetting as error:
        known = ", ".join(_fitting(pictures, spec.data, made)) or "none"
        why = (
            f"{error}. Recipe {recipe.name} is meant for {recipe.data}; these images have {pictures.size} pixels a "
            f"side. Recipes that fit them: {known}. Or change this one, e.g. --set proxy.resolution={pictures.size} "
            "--set trainer.auxiliary=false"
        )
        raise RetrainRefused(view.name, why) from error


def _fitting(pictures: Pictures, data: DataSpec, made: Plan) -> Iterator[str]:
    """Yields the names of the recipes that could be used instead, those that are meant for the data first."""
    for recipe in sorted(RECIPES.values(), key=lambda each: data.name not in each.data):
        try:
            fitting.check(pictures, made.spec.space, recipe.proxy, recipe.recipe, auxiliary=recipe.auxiliary)
        except ImpossibleSetting:
            continue
        yield recipe.name


def _remarks(view: SearchView, winners: Sequence[CandidateView], wish: Wish) -> Iterator[str]:
    if not view.finished:
        yield f"search {view.name} is not finished ({view.status}): these are its best networks so far"
    if len(winners) < wish.top:
        yield f"search {view.name} names {len(winners)} networks as its best, not {wish.top}"
    if wish.data_name is not None:
        yield f"trained on {wish.data_name}; the search was on {view.spec['data']['name']}"
