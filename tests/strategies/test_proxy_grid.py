"""The grid of a proxy study: its names, what is trained once, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from store.records import reduction
from store.records.candidates import Proxy
from store.records.spec import SearchSpec
from strategies import registry
from strategies.errors import InvalidOptions
from strategies.proxy_study.options import ProxyStudyOptions
from strategies.proxy_study.search import ProxyStudy
from strategies.proxy_study.settings import Grid, named
from tests.strategies.builders import study_spec


def laid_out(spec: SearchSpec) -> Grid:
    made = registry.create(spec)
    assert isinstance(made, ProxyStudy)
    return made.grid


def grid(**options: Any) -> Grid:
    return laid_out(study_spec(**options))


def names(of: Grid) -> list[str]:
    return [planned.name for planned in of.settings]


def refused(**options: Any) -> dict[str, str]:
    with pytest.raises(InvalidOptions) as caught:
        grid(**options)
    return {problem.key: str(problem) for problem in caught.value.problems}


def extra(**changes: Any) -> dict[str, Any]:
    return {"extra": [{"label": "x", "epochs": 2, **changes}]}


def test_table_1() -> None:
    assert reduction.CHANNELS == (36, 24, 18, 12, 8)
    assert reduction.RESOLUTIONS == (32, 24, 16, 12, 8)
    assert reduction.SAMPLE_RATIOS == (1.0, 0.5, 0.25, 0.125)
    assert reduction.EPOCHS == (30, 60, 90, 120)


@pytest.mark.parametrize(
    ("proxy", "epochs", "name"),
    [
        (Proxy(channels=8, resolution=8), 60, "c4r4s0e60"),
        (Proxy(channels=36, resolution=32), 600, "c0r0s0e600"),
        (Proxy(channels=12, resolution=16, sample_ratio=0.5), 60, "c3r2s1e60"),
        (Proxy(channels=16, resolution=16, sample_ratio=0.5), 4, "c16r16s0.5e4"),
        (Proxy(channels=4, resolution=4), 4, "c4r4s1.0e4"),
        (Proxy(channels=8), 4, "c8rfulls1.0e4"),
    ],
)
def test_settings_are_named_as_in_the_paper_where_table_1_has_their_values(
    proxy: Proxy, epochs: int, name: str
) -> None:
    assert named(proxy, epochs) == name


def test_the_papers_grid_has_200_settings_and_two_proxies_to_compare_with() -> None:
    spec = study_spec(preset="paper", networks=50)
    paper = {key: value for key, value in spec.strategy.options.items() if key not in ("channels", "epochs")}
    reference = {"reference": spec.reference.model_dump() | {"proxy": {"channels": 36}} if spec.reference else None}
    made = SearchSpec.model_validate(
        spec.model_dump() | reference | {"proxy": {}, "strategy": {"name": "proxy-study", **paper}}
    )
    found = laid_out(made)
    assert len(found.settings) == 202
    assert len(found.trainings) == 203
    assert len(set(names(found))) == 202
    assert {"c0r0s0e30", "c4r4s0e60", "c3r2s1e60", "c4r4s1e120"} <= set(names(found))
    nasnet, amoebanet = found.settings[-2:]
    assert (nasnet.name, nasnet.label, nasnet.proxy.cells) == ("c0r0s0e20-NASNet", "NASNet", 8)
    assert (amoebanet.name, amoebanet.label, amoebanet.proxy.cells) == ("c1r0s0e25-AmoebaNet", "AmoebaNet", 8)


def test_values_may_be_named_as_in_table_1() -> None:
    written = grid(channels=["c4", 16], resolutions=["r2"], sample_ratios=["s1"], epochs=["e6", 3])
    plain = grid(channels=[8, 16], resolutions=[16], sample_ratios=[0.5], epochs=[6, 3])
    assert written == plain
    assert names(plain) == ["c4r2s1e6", "c4r2s1e3", "c16r16s0.5e6", "c16r16s0.5e3"]


def test_a_factor_that_is_left_out_has_the_value_of_the_specs_proxy() -> None:
    (only,) = grid(channels=[], epochs=[3]).settings
    assert only.proxy == study_spec().proxy


def test_each_number_of_epochs_has_a_cosine_and_a_training_of_its_own() -> None:
    found = grid(channels=[8], epochs=[2, 4])
    assert [one.schedule_epochs for one in found.settings] == [2, 4]
    assert [one.epochs for one in found.trainings] == [6, 2, 4]  # the original setting's first
    assert found.served == (0, 1, 2)
    assert [found.served_by(index) for index in range(2)] == [None, None]


def test_one_training_serves_all_lengths_of_a_shared_cosine() -> None:
    found = grid(channels=[8], epochs=[2, 3, 4], schedule="shared")
    assert names(found) == ["c4r4s0e2of4", "c4r4s0e3of4", "c4r4s0e4"]
    assert [one.epochs for one in found.trainings] == [6, 4]
    assert [found.served_by(index) for index in range(3)] == ["c4r4s0e4", "c4r4s0e4", None]
    assert [one.label for one in found.settings] == [None, None, None]


def test_both_kinds_of_cosine_stand_side_by_side_and_the_longest_is_both() -> None:
    found = grid(channels=[8], epochs=[2, 4], schedule=["own", "shared"])
    assert names(found) == ["c4r4s0e2", "c4r4s0e2of4", "c4r4s0e4"]
    assert [set(one.families) for one in found.settings] == [{"own"}, {"shared"}, {"own", "shared"}]
    assert [one.label for one in found.settings] == [None, "shared cosine", None]
    assert [one.epochs for one in found.trainings] == [6, 2, 4]


def test_a_recipe_with_a_schedule_of_its_own_needs_one_training() -> None:
    found = grid(channels=[8], epochs=[2, 4], recipe={"schedule_epochs": 12})
    assert names(found) == ["c4r4s0e2of12", "c4r4s0e4of12"]
    assert [one.epochs for one in found.trainings] == [6, 4]


def test_an_exponential_rate_does_not_hang_on_the_number_of_epochs() -> None:
    falling = {"schedule": "exponential", "rate_decay": 0.97}
    assert len(grid(channels=[8], epochs=[2, 4], recipe=falling).trainings) == 2
    assert len(grid(channels=[8], epochs=[2, 4], recipe=falling | {"path_dropout": 0.1}).trainings) == 3


def test_a_setting_that_is_the_original_one_is_trained_with_it() -> None:
    reference = {"proxy": {"channels": 8, "resolution": 8}, "recipe": {}, "epochs": 4}
    found = grid(channels=[8, 16], epochs=[4], reference=reference)
    assert [one.setting.proxy.channels for one in found.trainings] == [8, 16]
    assert found.served_by(0) == found.reference.name == "c4r4s0e4"


def test_further_settings_change_what_they_name() -> None:
    fast = {"label": "fast", "epochs": 3, "proxy": {"channels": "c2"}, "recipe": {"learning_rate": 0.1}}
    found = grid(channels=[8], epochs=[3], extra=[fast])
    extra = found.settings[-1]
    assert (extra.name, extra.label, extra.proxy.channels, extra.proxy.resolution) == ("c2r4s0e3-fast", "fast", 18, 8)
    assert extra.recipe == found.settings[0].recipe.model_copy(update={"learning_rate": 0.1})
    assert not extra.families


def test_a_further_setting_with_the_same_recipe_may_be_compared_with_the_grid() -> None:
    grown = grid(channels=[8], epochs=[1, 2], schedule="shared", **extra(epochs=4))
    assert [(one.name, sorted(one.families)) for one in grown.settings] == [
        ("c4r4s0e1of2", ["shared"]), ("c4r4s0e2", ["own", "shared"]), ("c4r4s0e4-x", ["own"]),
    ]  # fmt: skip


def test_several_depths_are_told_by_name() -> None:
    assert names(grid(channels=[8], epochs=[3], cells=[8, 20])) == ["c4r4s0e3cells8", "c4r4s0e3cells20"]


def test_the_cheapest_trainings_come_first_after_the_original_setting() -> None:
    found = grid(channels=[16, 8], epochs=[4, 1])
    assert [(one.setting.proxy.channels, one.epochs) for one in found.trainings] == [
        (36, 6), (8, 1), (16, 1), (8, 4), (16, 4),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "key", "said"),
    [
        ({"epochs": []}, "strategy.epochs", "is required"),
        ({"resolutions": [8, 10]}, "strategy.resolutions", "is 10: expected a multiple of 4"),
        ({"channels": [8, "c4"]}, "strategy.channels", "got 8 again"),
        ({"channels": ["c5"]}, "strategy.channels.0", "one of c0, c1, c2, c3, c4"),
        ({"channels": [0]}, "strategy.channels.0", "greater than or equal to 1"),
        ({"sample_ratios": [1.5]}, "strategy.sample_ratios.0", "less than or equal to 1"),
        ({"sample_ratios": [0.0]}, "strategy.sample_ratios.0", "greater than 0"),
        ({"epochs": ["60 epochs"]}, "strategy.epochs.0", "valid integer"),
        ({"schedule": []}, "strategy.schedule", "expected own, shared or both"),
        ({"schedule": ["own", "own"]}, "strategy.schedule", "once"),
        ({"networks": 2}, "strategy.networks", "3"),
        (extra(recipe={"momentun": 0.5}), "strategy.extra.0.recipe.momentun", "no"),
        (extra(recipe={"momentum": 5}), "strategy.extra.0.recipe.momentum", "5"),
        (extra(proxy={"resolution": 6}), "strategy.extra.0.proxy.resolution", "4"),
        (extra(proxy={"channels": 8}), "strategy.extra.0", "same setting as c4r4s0e2"),
        (extra(label="not a name!"), "strategy.extra.0.label", "pattern"),
        ({"genes": [[0, 0]]}, "strategy.genes.0", "32 genes"),
        ({"genes": [[0] * 32, [0] * 32]}, "strategy.genes.1", "same network as strategy.genes.0"),
        ({"reference": {"proxy": {"resolution": 30}}}, "reference.proxy.resolution", "multiple of 4"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(options: dict[str, Any], key: str, said: str) -> None:
    assert said in refused(**options)[key]


def test_two_extra_settings_need_two_labels() -> None:
    twice = [{"label": "x", "epochs": 2, "recipe": {"momentum": m}} for m in (0.5, 0.6)]
    assert "another label" in refused(extra=twice)["strategy.extra.1.label"]


def test_a_study_needs_an_original_setting() -> None:
    with pytest.raises(InvalidOptions, match="reference is required"):
        registry.create(study_spec().model_copy(update={"reference": None}))


def test_a_setting_knows_where_the_spec_has_its_keys() -> None:
    one = grid(channels=[8], epochs=[3], cells=[8], **extra(epochs=4))
    keys = ("proxy.cells", "proxy.resolution", "recipe.momentum", "trainer.auxiliary")
    assert [[planned.place(key) for key in keys] for planned in (one.reference, *one.settings)] == [
        ["reference.proxy.cells", "reference.proxy.resolution", "reference.recipe.momentum", "trainer.auxiliary"],
        ["strategy.cells", "proxy.resolution", "recipe.momentum", "trainer.auxiliary"],
        ["strategy.extra.0.proxy.cells", "strategy.extra.0.proxy.resolution", "strategy.extra.0.recipe.momentum",
         "trainer.auxiliary"],
    ]  # fmt: skip
    table = {"trainer": {"name": "cell", "auxiliary": True}, "proxy": {"resolution": 32}}
    assert grid(reference=table).reference.place("trainer.auxiliary") == "reference.trainer.auxiliary"


def test_what_a_table_answers_need_not_be_trainable() -> None:
    table = {"trainer": {"name": "tabular"}, "proxy": {"resolution": 30}}
    assert grid(reference=table).reference.proxy.resolution == 30


def test_every_problem_is_named_at_once() -> None:
    found = refused(epochs=[], resolutions=[10], genes=[[0]], reference={"proxy": {"resolution": 30}})
    assert set(found) == {"strategy.epochs", "reference.proxy.resolution", "strategy.genes.0"}


def test_options_survive_being_written_out_with_their_defaults() -> None:
    """The engine keeps a search's options as JSON, all defaults filled in."""
    extra = {"label": "fast", "epochs": 3, "recipe": {"learning_rate": 0.1}}
    options = ProxyStudyOptions.model_validate(
        {"preset": "paper", "schedule": ["own", "shared"], "extra": [extra], "genes": [[1, 2], [3, 4], [5, 6]]}
    )
    written = options.model_dump(mode="json", exclude_none=True)
    assert ProxyStudyOptions.model_validate(written) == options
    assert options.networks == 3
