"""What `coldframe retrain` plans, and what it refuses, before anything is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from orchestrator import retraining
from orchestrator.errors import NoNetwork, RetrainRefused, SpecError, UnknownSearch
from orchestrator.retraining import Retraining, Wish
from store.records.candidates import Candidate, Named
from tests.orchestrator import telling
from tests.orchestrator.command import coldframe, stored
from tests.orchestrator.telling import Teller
from trainers.errors import DataChanged, DataError, UnknownRecipe
from trainers.fingerprint import DIGITS


class Digits(Teller):
    """A search whose candidates were trained on the digits as they are."""

    fingerprint = DIGITS

    def candidate(self, seed: int) -> Candidate:
        found = telling.candidate(seed, self.held_out)
        data = found.data.model_copy(update={"fingerprint": self.fingerprint})
        return Candidate(**dict(found) | {"data": data})


def told(kind: type[Teller] = Digits, *, finished: bool = True, name: str = "winners") -> Teller:
    """A search of three networks, of which the last is the best."""
    teller = kind()
    teller.open(name)
    for seed in (1, 2, 3):
        teller.train(seed, 2)
    if finished:
        teller.finish(teller.individual(seed - 1, seed, 2) for seed in (1, 2, 3))
    else:
        teller.interrupt()
    return teller


def planned(teller: Teller, recipe: str = "digits", **wishes: object) -> Retraining:
    return retraining.plan(teller.history, Wish("winners", recipe, **wishes))  # type: ignore[arg-type]


def npz(folder: Path, *, test: bool = True, classes: int = 10, size: int = 8) -> str:
    rng = np.random.default_rng(0)

    def split(count: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
        return rng.integers(0, 256, (count, size, size), dtype=np.uint8), np.arange(count) % classes

    x_train, y_train = split(40, 10)
    x_test, y_test = split(20, classes)
    arrays = {"x_train": x_train, "y_train": y_train} | ({"x_test": x_test, "y_test": y_test} if test else {})
    np.savez(folder / "data.npz", **arrays)
    return str(folder / "data.npz")


def test_the_best_networks_are_trained_as_the_recipe_says_on_all_training_images() -> None:
    teller = told()
    plan, remarks = planned(teller, top=2)
    options, spec = plan.spec.strategy.options, plan.spec
    assert spec.name == "winners retrained (digits)"
    assert options["candidates"] == [teller.candidate(seed).id for seed in (3, 2)]
    assert options["architectures"] == [list(teller.candidate(seed).architecture.genes) for seed in (3, 2)]
    assert options["accuracies"] == [telling.accuracy(seed, 2) for seed in (3, 2)]
    assert options["search"] == teller.search
    assert (options["epochs"], spec.recipe.schedule_epochs, spec.recipe.batch_size) == (30, 30, 64)
    assert (spec.trainer.name, spec.proxy.channels, spec.data.validation_fraction) == ("cell", 16, 0)
    assert plan.data.validation_fraction == 0
    assert remarks == ()


def test_the_same_command_is_the_same_search_and_another_setting_another_one() -> None:
    teller = told()
    first = planned(teller).plan.id
    assert planned(teller).plan.id == first
    assert planned(teller, settings=("resources.workers=7",)).plan.id == first
    others = [
        {"top": 1},
        {"epochs": 7},
        {"seeds": 2},
        {"settings": ("recipe.batch_size=32",)},
        {"settings": ("seed=4",)},
    ]
    assert len({first, *(planned(teller, **wishes).plan.id for wishes in others)}) == 1 + len(others)


def test_settings_change_the_recipe_and_are_checked_with_it() -> None:
    settings = ("recipe.batch_size=32", "proxy.channels=8", "recipe.flip=true", "resources.device=cpu", "seed=9")
    spec = planned(told(), settings=settings, epochs=4, seeds=3).plan.spec
    assert (spec.recipe.batch_size, spec.recipe.flip, spec.recipe.schedule_epochs) == (32, True, 4)
    assert (spec.proxy.channels, spec.resources.device, spec.seed) == (8, "cpu", 9)
    assert (spec.strategy.options["epochs"], spec.strategy.options["seeds"]) == (4, 3)


def test_an_unfinished_search_gives_its_best_so_far_and_says_so() -> None:
    plan, remarks = planned(told(finished=False))
    assert plan.spec.strategy.options["unfinished"] is True
    assert remarks == (
        "search winners is not finished (interrupted): these are its best networks so far",
        "search winners names 3 networks as its best, not 5",
    )


@pytest.mark.parametrize(
    "settings",
    ["channels=8", "data.path=/tmp", "strategy.epochs=3", "recipe.batch_size", "trainer.name=scripted", "seed.x=1"],
)
def test_a_setting_of_no_table_is_refused(settings: str) -> None:
    with pytest.raises(SpecError, match=r"--set is .*expected seed=N, or TABLE\.KEY=VALUE"):
        planned(told(), settings=(settings,))


def test_wrong_values_are_all_named() -> None:
    with pytest.raises(SpecError) as caught:
        planned(told(), settings=("recipe.batch_size=many", "recipe.colour=1", "proxy.cells=2", "trainer.depth=3"))
    said = str(caught.value)
    for key in (
        "retraining winners",
        "recipe.batch_size is 'many'",
        "recipe.colour",
        "proxy.cells is 2",
        "trainer.depth",
    ):
        assert key in said


@pytest.mark.parametrize(
    ("recipe", "settings", "why"),
    [
        ("econas-cifar10", (), "proxy.resolution is 8: expected 29 to 40 pixels with the auxiliary head"),
        ("econas-imagenet", (), "proxy.resolution is 224: expected at most the 8 pixels"),
        ("econas-reduced", (), "recipe.cutout is 16: expected less"),
        ("digits", ("proxy.stem=imagenet",), "proxy.resolution is 8: expected at least 32 pixels"),
        ("digits", ("recipe.padding=9",), "recipe.padding is 9: expected at most"),
    ],
)
def test_a_recipe_that_does_not_fit_the_images_is_refused_with_those_that_do(
    recipe: str, settings: tuple[str, ...], why: str
) -> None:
    with pytest.raises(RetrainRefused) as caught:
        planned(told(), recipe, settings=settings)
    assert why in str(caught.value)
    assert "Recipes that fit them: digits, " in str(caught.value)


def test_a_recipe_whose_parts_do_not_fit_each_other_is_refused_with_its_key() -> None:
    with pytest.raises(SpecError, match=r"recipe\.warmup_epochs is 30: expected fewer than recipe.schedule_epochs, 30"):
        planned(told(), "digits", settings=("recipe.warmup_epochs=30",))


def test_unknown_names_are_refused() -> None:
    teller = told()
    with pytest.raises(UnknownRecipe, match=r"'fast': expected one of .*digits.*econas-cifar10"):
        planned(teller, "fast")
    with pytest.raises(UnknownSearch, match="losers"):
        retraining.plan(teller.history, Wish("losers", "digits"))
    teller.open("winners", search="6" * 64)
    with pytest.raises(UnknownSearch, match="stands for 2: 555555555555, 666666666666"):
        planned(teller)


def test_a_search_without_networks_and_a_retraining_are_refused() -> None:
    teller = Digits()
    teller.open("winners")
    with pytest.raises(NoNetwork, match="has no trained network yet"):
        planned(teller)
    teller = told()
    spec = planned(teller).plan.spec
    again = telling.SearchOpened(search="7" * 64, spec=spec)
    teller.tell(again)
    with pytest.raises(
        RetrainRefused, match=r"it is a retraining itself.*name the search that found them, 555555555555"
    ):
        retraining.plan(teller.history, Wish(spec.name, "digits"))


def test_other_data_than_the_searchs_are_refused_unless_they_are_named(tmp_path: Path) -> None:
    class Changed(Digits):
        fingerprint = "f" * 64

    with pytest.raises(DataChanged, match="the search was defined with ffffffff"):
        planned(told(Changed))
    plan, remarks = planned(told(), data_name="npz", data_path=npz(tmp_path), top=3)
    assert plan.spec.data.name == "npz"
    assert remarks == ("trained on npz; the search was on digits",)


def test_data_without_a_test_split_of_the_same_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="x_test: not there"):
        planned(told(), data_name="npz", data_path=npz(tmp_path, test=False))
    with pytest.raises(DataError, match="test split: 7 classes"):
        planned(told(), data_name="npz", data_path=npz(tmp_path, classes=7))


def test_a_search_that_trained_on_no_images_needs_data(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = telling.spec("winners").model_copy(update={"trainer": Named(name="tabular", options={"table": "t" * 64})})
    monkeypatch.setattr(telling, "spec", lambda name: spec)
    with pytest.raises(RetrainRefused, match=r"its trainer was 'tabular'.*--data-name npz --data FILE\.npz"):
        planned(told())
    assert planned(told(), data_name="digits").plan.spec.trainer.name == "cell"


def test_refusals_of_the_command_have_exit_code_2_and_leave_the_store_alone(tmp_path: Path) -> None:
    store = stored(told(), tmp_path / "store")
    for arguments in (
        ["nowhere", "--recipe", "digits"],
        ["winners", "--recipe", "fast"],
        ["winners", "--recipe", "econas-cifar10"],
        ["winners", "--recipe", "digits", "--set", "colour=red"],
        ["winners", "--recipe", "digits", "--top", "0"],
        ["winners", "--recipe", "digits", "--data-name", "npz", "--data", str(tmp_path / "none.npz")],
        ["winners"],
    ):
        ended = coldframe("retrain", *arguments, "--store", store)
        assert ended.code == 2, arguments
        assert "Traceback" not in ended.err
    assert [each["name"] for each in coldframe("list", "--store", store, "--json").json] == ["winners"]
    assert coldframe("retrain", "winners", "--recipe", "digits", "--store", tmp_path / "none").code == 2
