"""Named recipes: what the papers and their code print, and that each can be carried out."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from store.records.candidates import Proxy, Recipe
from trainers.errors import TrainerError, UnknownRecipe
from trainers.networks.shape import Shape
from trainers.proxy import named as setting
from trainers.recipe import RECIPES, UNCLIPPED, NamedRecipe, named
from trainers.registry import options

PRINTED: dict[str, tuple[int, Proxy, bool, dict[str, Any]]] = {
    "econas-reduced": (
        60,
        setting("c4r4s0"),
        False,
        {"batch_size": 384, "learning_rate": 0.025, "minimum_learning_rate": 0.001, "weight_decay": 3e-4, "cutout": 16},
    ),
    "econas-cifar10": (
        600,
        Proxy(channels=36, cells=20),
        True,
        {
            "batch_size": 96,
            "learning_rate": 0.025,
            "minimum_learning_rate": 0.001,
            "weight_decay": 3e-4,
            "gradient_clip": 5.0,
            "cutout": 16,
            "path_dropout": 0.2,
            "padding": 4,
            "flip": True,
        },
    ),
    "darts-cifar10": (600, Proxy(channels=36, cells=20), True, {"minimum_learning_rate": 0.0, "weight_decay": 3e-4}),
    "setn-cifar10": (
        600,
        Proxy(channels=36, cells=20),
        True,
        {"batch_size": 96, "learning_rate": 0.025, "weight_decay": 5e-4, "path_dropout": 0.2, "momentum": 0.9},
    ),
    "econas-imagenet": (
        150,
        Proxy(channels=48, cells=14, resolution=224, stem="imagenet"),
        True,
        {
            "learning_rate": 0.8,
            "minimum_learning_rate": 0.0,
            "warmup_epochs": 2,
            "warmup_learning_rate": 0.2,
            "weight_decay": 3e-5,
            "label_smoothing": 0.1,
        },
    ),
    "darts-imagenet": (
        250,
        Proxy(channels=48, cells=14, resolution=224, stem="imagenet"),
        True,
        {
            "batch_size": 128,
            "learning_rate": 0.1,
            "schedule": "exponential",
            "rate_decay": 0.97,
            "weight_decay": 3e-5,
            "label_smoothing": 0.1,
            "gradient_clip": 5.0,
        },
    ),
    "setn-imagenet": (
        250,
        Proxy(channels=58, cells=8, resolution=224, stem="imagenet"),
        True,
        {
            "batch_size": 256,
            "learning_rate": 0.1,
            "minimum_learning_rate": 0.0,
            "warmup_epochs": 5,
            "weight_decay": 3e-5,
            "label_smoothing": 0.1,
        },
    ),
    "nasbench201-12": (
        12,
        Proxy(channels=16, cells=17),
        False,
        {
            "batch_size": 256,
            "learning_rate": 0.1,
            "minimum_learning_rate": 0.0,
            "momentum": 0.9,
            "nesterov": True,
            "weight_decay": 5e-4,
            "gradient_clip": UNCLIPPED,
            "rate_per_step": None,
            "padding": 4,
            "flip": True,
        },
    ),
}


@pytest.mark.parametrize("name", PRINTED)
def test_a_recipe_has_the_values_that_its_source_prints(name: str) -> None:
    epochs, proxy, auxiliary, values = PRINTED[name]
    found = named(name)
    assert (found.epochs, found.proxy, found.auxiliary) == (epochs, proxy, auxiliary)
    assert {key: getattr(found.recipe, key) for key in values} == values


def test_econas_trains_on_imagenet_in_batches_of_2048() -> None:
    recipe = named("econas-imagenet").recipe
    assert recipe.accumulate is not None
    assert recipe.batch_size * recipe.accumulate == 2048


def test_the_two_of_nasbench201_differ_in_length_only() -> None:
    short, long = named("nasbench201-12"), named("nasbench201-200")
    assert (long.epochs, long.recipe.schedule_epochs) == (200, 200)
    assert long.recipe.model_copy(update={"schedule_epochs": 12}) == short.recipe
    assert long.proxy == short.proxy


@pytest.mark.parametrize("each", RECIPES.values(), ids=RECIPES)
def test_every_recipe_is_whole(each: NamedRecipe) -> None:
    assert each.recipe.schedule_epochs == each.epochs
    assert each.source
    assert options(each.trainer).model_dump()["auxiliary"] == each.auxiliary
    assert Recipe.model_validate_json(each.recipe.model_dump_json()) == each.recipe
    native = 8 if each.data == "digits" else 32
    shape = Shape.of(each.proxy, resolution=each.proxy.resolution or native, classes=10, auxiliary=each.auxiliary)
    shape.check()
    with pytest.raises(dataclasses.FrozenInstanceError):
        each.epochs = 1  # type: ignore[misc]


def test_the_documentation_has_every_recipe_in_its_table_and_among_its_sources() -> None:
    text = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
    table, sources = text.split("## Sources")
    for name in RECIPES.keys() - {"digits", "cifar10-short"}:
        assert f"| `{name}` |" in table
        assert f"`{name}`" in sources


def test_an_unknown_name_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(
        UnknownRecipe, match=r"'econas': expected one of cifar10-short, darts-cifar10, .* setn-imagenet"
    ):
        named("econas")
    assert issubclass(UnknownRecipe, TrainerError)
    assert UnknownRecipe.exit_code == 2


def test_recipes_and_schedules_load_no_torch() -> None:
    script = "import sys, trainers.recipe, trainers.schedule; print('torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "False"
