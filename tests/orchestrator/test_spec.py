"""Specs: read whole, refused whole."""

from __future__ import annotations

from pathlib import Path

import msgpack
import pytest

from orchestrator.errors import SpecError
from orchestrator.spec import load, plan
from store.records.base import canonical, plain
from store.records.spec import SearchSpec

GOOD = """
name = "good"
[strategy]
name = "random"
candidates = 3
epochs = 2
[space]
name = "cell"
[trainer]
name = "scripted"
[data]
name = "digits"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "spec.toml"
    path.write_text(text)
    return path


def problems(folder: Path, text: str) -> dict[str, str]:
    with pytest.raises(SpecError) as caught:
        load(write(folder, text))
    assert str(folder / "spec.toml") in str(caught.value)
    assert caught.value.exit_code == 2
    return {problem.key: str(problem) for problem in caught.value.problems}


def test_a_good_spec_has_its_defaults_filled_in(tmp_path: Path) -> None:
    planned = load(write(tmp_path, GOOD))
    assert planned.spec.trainer.options["steps"] == 4
    assert planned.spec.space.options
    assert planned.totals == {"candidates"}


def test_writing_a_default_out_is_the_same_search(tmp_path: Path) -> None:
    one = load(write(tmp_path, GOOD))
    other = load(write(tmp_path, GOOD.replace('name = "scripted"', 'name = "scripted"\nsteps = 4')))
    assert one.id == other.id


def test_writing_a_strategys_default_out_is_the_same_search(tmp_path: Path) -> None:
    econas = GOOD.replace('"random"\ncandidates = 3\nepochs = 2', '"econas"\npreset = "released"')
    one = load(write(tmp_path, econas))
    other = load(write(tmp_path, econas.replace('"released"', '"released"\ninitial = 16\nchildren = 16')))
    assert one.id == other.id
    assert one.spec.strategy == other.spec.strategy


def test_totals_and_resources_do_not_make_another_search_but_a_seed_does(tmp_path: Path) -> None:
    one = load(write(tmp_path, GOOD))
    more = load(write(tmp_path, GOOD.replace("candidates = 3", "candidates = 30") + "[resources]\nworkers = 7\n"))
    seeded = load(write(tmp_path, "seed = 1\n" + GOOD))
    assert one.id == more.id
    assert one.id != seeded.id


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("candidates = 3", 'candidates = "many"\ncandidate = 3').replace("good", "")
    text = text.replace('name = "cell"', 'name = "cell"\nnodes = 0').replace(
        'name = "scripted"', 'name = "scripted"\nstep = 1'
    )
    found = problems(tmp_path, text + '[proxy]\nchannels = -1\nwidth = 3\n[recipe]\nmomentum = "high"\n')
    assert set(found) >= {
        "name", "strategy.candidates", "strategy.candidate", "trainer.step", "proxy.channels", "proxy.width",
        "recipe.momentum",
    }  # fmt: skip
    assert any(key.startswith("space") for key in found)
    assert "-1" in found["proxy.channels"]
    assert "'high'" in found["recipe.momentum"]


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        (GOOD.replace('"random"', '"randon"'), "strategy", "random"),
        (GOOD.replace('"cell"', '"sell"'), "space", "cell"),
        (GOOD.replace('"scripted"', '"scrypted"'), "trainer", "scripted"),
        (GOOD.replace('"digits"', '"digit"'), "data", "digits"),
        (GOOD.replace('"digits"', '"npz"'), "data", "path"),
        (GOOD.replace('"digits"', '"npz"\npath = "/nowhere/x.npz"'), "data", "/nowhere/x.npz"),
        ("name = ", "file", "TOML"),
        (GOOD + "[resources]\nhang_seconds = inf\n", "resources.hang_seconds", "finite"),
        (GOOD + "[resources]\nstop_seconds = nan\n", "resources.stop_seconds", "finite"),
        (GOOD + "[recipe]\nlearning_rate = inf\n", "recipe.learning_rate", "finite"),
        (GOOD.replace('"scripted"', '"scripted"\nepoch_seconds = inf'), "trainer.epoch_seconds", "finite"),
        (GOOD.replace("epochs = 2", f"epochs = {10**23}"), "strategy.epochs", str(2**63 - 1)),
        (GOOD + f"split_seed = -{10**23}\n", "data.split_seed", str(2**63 - 1)),
        (GOOD.replace("epochs = 2", "epochs = " + "9" * 5000), "file", "TOML"),
        (GOOD + "x = " + "[" * 5000 + "]" * 5000, "file", "nested"),
        (GOOD + "x = " + "[" * 50 + "]" * 50, "file", "nested"),
        (GOOD + "x" + ".x" * 5000 + " = 1", "file", "nested"),
        (GOOD.replace('[space]\nname = "cell"\n', ""), "space", "missing"),
    ],
)
def test_what_is_wrong_says_what_was_expected(tmp_path: Path, text: str, key: str, said: str) -> None:
    found = problems(tmp_path, text)
    assert any(name.startswith(key) and said in text for name, text in found.items()), found


CELL = GOOD.replace('name = "scripted"', 'name = "cell"')
BENCH = CELL.replace('name = "cell"', 'name = "nasbench201"', 1)


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        (BENCH + "[proxy]\ncells = 6", "proxy.cells", "3N + 2"),
        (BENCH + "[proxy]\ncells = 5\nresolution = 6", "proxy.resolution", "a multiple of 4"),
        (BENCH + "[proxy]\nstem = 'imagenet'", "proxy.stem", "cifar"),
        (
            CELL.replace("[data]", "auxiliary = true\n[data]") + "[proxy]\nresolution = 24",
            "proxy.resolution",
            "29 to 40 pixels",
        ),
        (CELL + "[proxy]\nstem = 'imagenet'\nresolution = 24", "proxy.resolution", "at least 32"),
        (CELL + "[reference.proxy]\nstem = 'imagenet'\nchannels = 5", "reference.proxy.channels", "an even number"),
    ],
)
def test_settings_that_no_network_of_the_space_can_have(tmp_path: Path, text: str, key: str, said: str) -> None:
    found = problems(tmp_path, text)
    assert list(found) == [key]
    assert said in found[key]


STUDY = CELL.replace('"random"\ncandidates = 3\nepochs = 2', '"proxy-study"\nnetworks = 3\nepochs = [2, 6]')
HALVING = CELL.replace('"random"\ncandidates = 3\nepochs = 2', '"asha"\ncandidates = 9')


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        (CELL + "[recipe]\nrate_decay = 0.97", "recipe.rate_decay", "exponential"),
        (CELL + "[recipe]\nwarmup_epochs = 2", "recipe.warmup_epochs", "fewer than recipe.schedule_epochs, 2"),
        (CELL + "[recipe]\nlearning_rate = 1e-4", "recipe.minimum_learning_rate", "at most recipe.learning_rate"),
        (HALVING + "[recipe]\nnesterov = true\nmomentum = 0", "recipe.nesterov", "momentum above 0"),
        (STUDY + "[reference]\nepochs = 9\n[recipe]\nwarmup_epochs = 2", "recipe.warmup_epochs", "fewer than"),
        (
            STUDY + "[reference]\nepochs = 9\n[reference.recipe]\nwarmup_epochs = 9",
            "reference.recipe.warmup_epochs",
            "fewer than recipe.schedule_epochs, 9",
        ),
        (
            STUDY.replace(
                "[space]", '[[strategy.extra]]\nlabel = "x"\nepochs = 4\nrecipe = {rate_decay = 0.9}\n[space]'
            )
            + "[reference]\nepochs = 9",
            "strategy.extra.0.recipe.rate_decay",
            "exponential",
        ),
    ],
)
def test_recipes_whose_parts_do_not_fit_are_refused_with_the_spec(
    tmp_path: Path, text: str, key: str, said: str
) -> None:
    found = problems(tmp_path, text)
    assert list(found) == [key]
    assert said in found[key]


BENCH_STUDY = BENCH.replace('"random"\ncandidates = 3\nepochs = 2', '"proxy-study"\nnetworks = 3\nepochs = [2]{}')
BENCH_STUDY += "[reference]\nepochs = 4\n[reference.proxy]\ncells = 5\n[proxy]\nresolution = 8\n"


@pytest.mark.parametrize(
    ("options", "more", "keys", "said"),
    [
        ("\ncells = [5, 6]", "", ["strategy.cells"], "is 6: expected 3N + 2"),
        ("", "cells = 7", ["proxy.cells"], "is 7: expected 3N + 2"),
        ("\nextra = [{label = 'deep', epochs = 3, proxy = {cells = 9}}]", "", ["strategy.extra.0.proxy.cells"], "is 9"),
        ("\nresolutions = [8, 10]", "", ["strategy.resolutions"], "is 10: expected a multiple of 4"),
        ("", "[reference.recipe]\nnesterov = true\nmomentum = 0", ["reference.recipe.nesterov"], "momentum above 0"),
    ],
)
def test_every_setting_of_a_study_must_be_one_that_networks_can_have(
    tmp_path: Path, options: str, more: str, keys: list[str], said: str
) -> None:
    found = problems(tmp_path, BENCH_STUDY.format(options) + more)
    assert list(found) == keys
    assert said in found[keys[0]]


def test_no_setting_of_a_study_has_an_auxiliary_head_that_does_not_fit(tmp_path: Path) -> None:
    text = STUDY.replace("[data]", "auxiliary = true\n[data]") + "[reference]\nepochs = 9\n"
    found = problems(tmp_path, text.replace("epochs = [2, 6]", "epochs = [2]\nresolutions = [32, 16, 64]"))
    assert list(found) == ["strategy.resolutions"]
    assert "is 16: expected 29 to 40 pixels" in found["strategy.resolutions"]


def test_what_no_setting_of_a_study_takes_from_the_proxy_need_not_be_possible(tmp_path: Path) -> None:
    assert load(write(tmp_path, BENCH_STUDY.format("\ncells = [5, 8]") + "cells = 6")).spec.proxy.cells == 6


def test_a_reference_from_a_table_must_be_measurable(tmp_path: Path) -> None:
    """Its multiply-adds are counted by the trainer of the others; without them no acceleration is known."""
    text = BENCH_STUDY.format("") + '[reference.trainer]\nname = "scripted"\n'
    assert load(write(tmp_path, text)).spec.reference is not None
    assert list(problems(tmp_path, text.replace("cells = 5", "cells = 6"))) == ["reference.proxy.cells"]


def test_what_the_strategy_fills_in_is_not_missing_from_a_recipe(tmp_path: Path) -> None:
    """Path dropout grows over the schedule's epochs, which the spec need not give; other trainers use no recipe."""
    assert load(write(tmp_path, CELL + "[recipe]\npath_dropout = 0.2\nwarmup_epochs = 1")).spec.recipe.warmup_epochs
    shared = STUDY.replace("epochs = [2, 6]", 'epochs = [2, 6]\nschedule = "shared"') + "[reference]\nepochs = 9\n"
    assert load(write(tmp_path, shared + "[recipe]\nwarmup_epochs = 2")).spec.recipe.warmup_epochs == 2
    assert load(write(tmp_path, GOOD + "[recipe]\nrate_decay = 0.97")).spec.recipe.rate_decay == 0.97


def test_what_is_wrong_with_the_data_is_told_with_the_rest(tmp_path: Path) -> None:
    wrong = GOOD.replace("epochs = 2", "epochs = 0")
    found = problems(tmp_path, wrong.replace('"digits"', '"npz"\npath = "/nowhere/x.npz"') + "[proxy]\nchannels = -1\n")
    assert set(found) == {"strategy.epochs", "proxy.channels", "data"}
    assert "/nowhere/x.npz" in found["data"]
    assert set(problems(tmp_path, wrong.replace('"digits"', '"digit"'))) == {"strategy.epochs", "data"}


def test_a_plan_holds_what_the_journal_will_give_back(tmp_path: Path) -> None:
    """Guards options that are tuples: they are lists once they were journalled, and looked like a changed spec."""
    econas = GOOD.replace('"random"\ncandidates = 3\nepochs = 2', '"econas"\nparents_per_rung = [6, 5, 5]')
    spec = load(write(tmp_path, econas)).spec
    assert spec.strategy.options["parents_per_rung"] == [6, 5, 5]
    stored = msgpack.unpackb(canonical(spec))
    assert stored == plain(spec)
    assert SearchSpec.model_validate(stored) == spec


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"nothing\.toml"):
        load(tmp_path / "nothing.toml")


def test_a_plan_makes_its_strategy() -> None:
    made = plan({"name": "x", "strategy": {"name": "random", "candidates": 2, "epochs": 1}, "space": {"name": "cell"},
                 "data": {"name": "digits"}}, "test").make_strategy()  # fmt: skip
    assert callable(made.search)
