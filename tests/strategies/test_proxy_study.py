"""The proxy study as a search, and what it makes of what its trainings tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from store.records.candidates import Architecture, Candidate
from store.records.requests import Measure, Train
from store.records.results import Result
from store.records.spec import SearchSpec
from store.records.studies import Entropy, StudiedSetting, Study
from strategies import registry
from strategies.proxy_study import words
from strategies.proxy_study.options import ProxyStudyOptions
from strategies.proxy_study.readings import Reading, Readings
from strategies.proxy_study.search import ProxyStudy
from strategies.proxy_study.settings import Grid
from strategies.proxy_study.study import Zoo, assemble
from strategies.simulation import Score, Simulation
from tests.strategies.builders import study_spec

DARTS_V2_C0_R0, DARTS_V2_C4_R4 = 528_359_040, 2_078_208
"""Multiply-adds of DARTS_V2 with 20 cells (facts A4, A5)."""


def worth(architecture: Architecture) -> float:
    """A made-up quality in [0, 1), different for different networks."""
    return int.from_bytes(repr(architecture.genes).encode(), "big") % 99_991 / 100_000


def exact_only_with_8_channels(candidate: Candidate, epochs: int) -> float:
    """The original setting (36 channels) and 8 channels rank alike; with 16 channels the order is the reverse."""
    quality = worth(candidate.architecture)
    return {36: 0.5 + 0.4 * quality, 16: 0.7 - 0.2 * quality, 8: 0.3 + 0.5 * quality}[candidate.proxy.channels]


def search(
    spec: SearchSpec, score: Score | None = None, fails: Callable[[Candidate, int], bool] | None = None
) -> Result:
    return Simulation(spec, score=score, fails=fails).search(registry.create(spec))


def study(spec: SearchSpec, **options: Any) -> Study:
    found = search(spec, **options).study
    assert found is not None
    return found


def by_name(found: Study) -> dict[str, StudiedSetting]:
    return {setting.name: setting for setting in found.settings}


def test_a_setting_that_ranks_as_the_original_one_is_told_from_one_that_does_not() -> None:
    found = study(study_spec(networks=12), score=exact_only_with_8_channels)
    assert {name: one.rho for name, one in by_name(found).items()} == {
        "c16r8s1.0e1": -1.0, "c16r8s1.0e2": -1.0, "c4r4s0e1": 1.0, "c4r4s0e2": 1.0,
    }  # fmt: skip
    assert found.recommended in ("c4r4s0e1", "c4r4s0e2")
    assert found.why[0].startswith(f"Use {found.recommended}: rho 1.00 (95 % interval 1.00 to 1.00)")
    channels = [one for one in found.entropies if one.factor == "c"]
    assert [(one.fixed, one.value, one.rhos) for one in channels] == [
        ("r8s1.0e1", 1.0, (-1.0, 1.0)), ("r8s1.0e2", 1.0, (-1.0, 1.0)),
    ]  # fmt: skip
    (sentence,) = [text for text in found.why if text.startswith("Fewer channels")]
    assert sentence == (
        "Fewer channels raised rho: mean entropy +1.00 over 2 rows; from 16 to 8 channels rho changed by +2.00 on "
        "average, and rose in 2 of 2."
    )


def test_further_settings_lengthen_the_rows_along_a_factor_and_depth_is_one() -> None:
    extra = [{"label": "long", "epochs": 4}, {"label": "flat", "epochs": 2, "proxy": {"cells": 5}}]
    found = study(study_spec(networks=6, channels=[8], extra=extra))
    assert [(one.factor, one.fixed, one.settings) for one in found.entropies] == [
        ("e", "c4r4s0cells20", ("c4r4s0e1", "c4r4s0e2", "c4r4s0e4-long")),
        ("cells", "c4r4s0e2", ("c4r4s0e2", "c4r4s0e2-flat")),
    ]
    assert sum(text.startswith("Beside the grid, c4r4s0e") for text in found.why) == 2


def test_with_as_many_iterations_more_images_are_compared_with_more_epochs() -> None:
    spec = study_spec(networks=6, channels=[8], sample_ratios=[1.0, 0.5], epochs=[1, 2])

    def prefers_images(candidate: Candidate, epochs: int) -> float:
        quality = worth(candidate.architecture)
        return quality if candidate.proxy.sample_ratio == 1.0 else 1 - quality

    (sentence,) = [text for text in study(spec, score=prefers_images).why if "number of iterations" in text]
    assert "more images for fewer epochs had the higher rho in 1 of 1 pair (+2.00 on average)" in sentence


def test_the_networks_are_ranked_by_the_original_setting() -> None:
    result = search(study_spec(networks=12), score=exact_only_with_8_channels)
    qualities = [worth(one.architecture) for one in result.best]
    assert len(result.best) == len(result.history) == 12
    assert qualities == sorted(qualities, reverse=True)
    assert all(one.epochs == 6 for one in result.best)
    assert result.study is not None
    assert result.study.networks == tuple(one.architecture for one in result.history)
    assert result.study.reference == tuple(one.accuracy for one in result.history)


def test_all_networks_are_different_and_those_that_are_given_come_first() -> None:
    given = (1,) * 32
    spec = study_spec(networks=20, genes=[given])
    result = search(spec)
    assert result.history[0].architecture.genes == given
    assert len({one.architecture for one in result.history}) == 20


def test_a_space_that_is_used_up_is_studied_whole_and_told() -> None:
    tiny = {"name": "cell", "nodes": 1, "operations": ["none", "sep_conv_3x3"]}
    result = search(study_spec(networks=200, space=tiny, channels=[8], epochs=[1]))
    assert len(result.history) == 100  # 10 multisets of two of four (operation, input) pairs, in each of two cells
    assert any("no more than 100 networks" in note for note in result.notes)


def test_every_training_is_asked_for_once_and_a_shared_one_serves_all_its_settings() -> None:
    spec = study_spec(networks=4, channels=[8], epochs=[1, 2, 4], schedule="shared")
    simulation = Simulation(spec, score=lambda candidate, epochs: round(worth(candidate.architecture) * epochs / 8, 6))
    found = simulation.search(registry.create(spec)).study
    trained = [request for request in simulation.world.requests.values() if isinstance(request, Train)]
    assert len(trained) == simulation.world.trained == 4 * 2
    assert sorted({request.epochs for request in trained}) == [4, 6]
    assert found is not None
    for setting, network in ((s, n) for s in found.settings for n in range(4)):
        assert setting.accuracies[network] == round(worth(found.networks[network]) * setting.epochs / 8, 6)
    assert any("2 settings cost no training of their own" in text for text in found.why)


def test_a_network_that_fails_in_a_setting_is_left_out_of_that_setting_and_told() -> None:
    spec = study_spec(networks=8)
    victim = search(spec).history[3]

    def fails(candidate: Candidate, epochs: int) -> bool:
        return (candidate.architecture, candidate.proxy.channels, epochs) == (victim.architecture, 16, 2)

    result = search(spec, score=exact_only_with_8_channels, fails=fails)
    assert result.study is not None
    struck = by_name(result.study)["c16r8s1.0e2"]
    assert [one is None for one in struck.accuracies] == [index == 3 for index in range(8)]
    assert struck.rho == -1.0
    assert result.notes == ("c16r8s1.0e2: 1 failed (networks 3), first: diverged: simulated",)
    assert any(text.endswith("left out of its numbers: 1 in c16r8s1.0e2, of 8.") for text in result.study.why)
    assert len(result.best) == 8


def test_a_network_that_fails_in_the_original_setting_is_in_no_rank() -> None:
    spec = study_spec(networks=8)
    victim = search(spec).history[3].architecture
    result = search(spec, fails=lambda candidate, epochs: candidate.architecture == victim and epochs == 6)
    assert result.study is not None
    assert [one.index for one in result.history if one.failure is not None] == [3]
    assert len(result.best) == 7
    assert result.study.reference[3] is None
    assert any("1 of 8 networks failed in the original setting" in text for text in result.study.why)


def test_costs_of_a_reference_that_is_read_from_a_table_are_measured_as_it_would_be_trained() -> None:
    table = {
        "trainer": {"name": "tabular", "column": "test"},
        "proxy": {"channels": 16, "resolution": 32},
        "epochs": 12,
    }
    spec = study_spec(networks=3, channels=[8], epochs=[2], reference=table)
    simulation = Simulation(spec)
    result = simulation.search(registry.create(spec))
    measured = [request for request in simulation.world.requests.values() if isinstance(request, Measure)]
    assert len(measured) == 3
    assert all(request.candidate.trainer == spec.trainer for request in measured)
    assert {request.candidate.proxy.channels for request in measured} == {16}
    trained = [request for request in simulation.world.requests.values() if isinstance(request, Train)]
    assert {request.candidate.trainer.name for request in trained if request.epochs == 12} == {"tabular"}
    assert result.study is not None
    assert result.study.reference_name == "c16r32s1.0e12 (tabular: test)"
    told = [simulation.world.outcomes[request.key] for request in measured]
    assert [one.multiply_adds for one in result.history] == [
        one.multiply_adds for one in told if one.kind == "measured"
    ]


def test_progress_tells_the_best_setting_so_far() -> None:
    spec = study_spec(networks=12, workers=1)
    simulation = Simulation(spec, score=exact_only_with_8_channels)
    simulation.search(registry.create(spec))
    done, total, label = simulation.progressed[-1]
    assert done == total == 12 * (6 + 1 + 2 + 1 + 2)
    assert label == "network 12 of 12, best so far c4r4s0e2 (rho 1.00)"
    assert [one[0] for one in simulation.progressed] == sorted(one[0] for one in simulation.progressed)


def planned(**options: Any) -> tuple[Grid, ProxyStudyOptions]:
    made = registry.create(study_spec(**options))
    assert isinstance(made, ProxyStudy)
    return made.grid, made.options


def assembled(rows: list[list[Reading]], **options: Any) -> Study:
    grid, read_options = planned(**options)
    networks = tuple(Architecture(space="cell", genes=(index,)) for index in range(len(rows)))
    zoo = Zoo(networks, tuple(str(index) for index in range(len(rows))))
    return assemble(grid, read_options, zoo, Readings([tuple(row) for row in rows]), seed=0)


PAPERS = {"proxy": {"channels": 36, "resolution": 32}, "epochs": 600}


def test_acceleration_is_measured_and_nominal() -> None:
    """EcoNAS's c4r4s0e60 is 2,560 times faster on paper, and 2,542 times with DARTS_V2's multiply-adds."""
    rows = [
        [Reading(accuracy, 0.1, DARTS_V2_C0_R0, 45_000), Reading(accuracy, 0.1, DARTS_V2_C4_R4, 45_000)]
        for accuracy in (0.5, 0.6, 0.7)
    ]
    (setting,) = assembled(rows, channels=["c4"], resolutions=["r4"], epochs=["e60"], reference=PAPERS).settings
    assert setting.name == "c4r4s0e60"
    assert setting.nominal == 256 * 10
    assert setting.acceleration == pytest.approx(254.24 * 10, rel=1e-4)
    assert setting.multiply_adds == DARTS_V2_C4_R4


def test_acceleration_counts_images_and_sums_the_networks_that_have_both_costs() -> None:
    rows = [
        [Reading(0.5, 0.1, 1000, 400), Reading(0.5, 0.1, 100, 96)],
        [Reading(0.6, 0.1, 3000, 400), Reading(0.6, 0.1, 500, 96)],
        [Reading(0.7, 0.1, 9000, 400), Reading(failure="out_of_memory: simulated")],
    ]
    (setting,) = assembled(rows, channels=[8], sample_ratios=[0.25], epochs=[3]).settings
    assert setting.acceleration == pytest.approx(4000 / 600 * 400 / 96 * 6 / 3)
    assert (setting.multiply_adds, setting.images) == (300, 96)


def test_where_a_trainer_does_not_tell_its_images_the_sample_ratio_stands_for_them() -> None:
    rows = [[Reading(0.5, 0.1, 1000), Reading(0.5, 0.1, 100)] for _ in range(3)]
    found = assembled(rows, channels=[8], sample_ratios=[0.25], epochs=[3])
    assert found.settings[0].acceleration == pytest.approx(10 * 4 * 6 / 3)
    assert (found.settings[0].images, found.reference_cost) == (None, None)


def test_the_cost_of_a_reference_from_a_table_takes_the_images_of_the_settings() -> None:
    rows = [[Reading(0.5, 0.1, 1000), Reading(0.5, 0.1, 100, 50)] for _ in range(3)]
    assert assembled(rows, channels=[8], sample_ratios=[0.25], epochs=[3]).reference_cost == 1000 * 200 * 6


STRIDES = {"a": 11, "b": 13, "c": 17, "d": 19}
"""Orders of 40 networks that have little to do with each other."""


def ladder(rhos: dict[str, float], accelerations: dict[str, float], **options: Any) -> Study:
    """A study of 40 networks in which the settings c = 32, 16, 8, 4 have about these rhos and these accelerations."""
    count = 40
    original = [(7 * index % count) / count for index in range(count)]
    rows = []
    for index in range(count):
        row = [Reading(original[index], 0.1, 1_000_000, 100)]
        for name, rho in rhos.items():
            other = STRIDES[name] * index % count / count
            mixed = rho * original[index] + (1 - rho) * other
            row.append(Reading(mixed, 0.1, round(1_000_000 * 3 / accelerations[name]), 100))
        rows.append(row)
    channels = {"a": 32, "b": 16, "c": 8, "d": 4}
    reference = {"proxy": {"channels": 36, "resolution": 8}, "epochs": 6}
    return assembled(rows, channels=[channels[name] for name in rhos], epochs=[2], reference=reference, **options)


FASTER = {"a": 2.0, "b": 20.0, "c": 200.0}


def test_the_fastest_of_those_that_are_about_as_good_is_recommended() -> None:
    found = ladder({"a": 0.72, "b": 0.70, "c": 0.30}, FASTER)
    first, second, third = found.settings
    assert first.rho is not None
    assert second.rho is not None
    assert third.rho is not None
    assert first.rho > second.rho > third.rho + 0.2
    assert found.recommended == second.name
    assert "20 times as fast" in found.why[0]
    assert found.why[1].startswith(f"The highest rho is that of {first.name}: rho {first.rho:.2f}")
    assert found.why[2].startswith(
        "It is the fastest of 2 settings whose interval lies above 0 and whose rho is within"
    )


def test_what_may_be_chance_is_not_recommended_for_its_speed() -> None:
    """With 12 networks the fast setting's rho, 0.4, is within the error of the best; its interval holds 0."""
    rows = []
    for place, (near, far) in enumerate(zip((0, 1, 2, 5, 3, 4, 7, 6, 8, 11, 9, 10), SHUFFLED, strict=True)):
        row = [Reading(float(place), 0.1, 1_000_000, 100)]
        rows.append([*row, Reading(float(near), 0.1, 100_000, 100), Reading(float(far), 0.1, 1_000, 100)])
    found = assembled(rows, channels=[16, 8], epochs=[2])
    slow, fast = found.settings
    assert slow.interval is not None
    assert fast.interval is not None
    assert slow.interval[0] > 0 > fast.interval[0]
    assert found.recommended == slow.name
    nobody = "No other setting whose interval lies above 0 comes within one standard error of the difference."
    assert found.why[1] == nobody, "the fast one does come within"
    alone = assembled([[row[0], row[2]] for row in rows], channels=[8], epochs=[2])
    assert alone.recommended == fast.name
    assert alone.why[0].startswith("No setting can be told from chance")
    reverse = [[row[0], row[2]._replace(accuracy=1 - (row[2].accuracy or 0.0))] for row in rows]
    opposite = assembled(reverse, channels=[8], epochs=[2])
    assert opposite.settings[0].rho is not None
    assert opposite.settings[0].rho < 0
    assert opposite.recommended is None
    assert opposite.why[0].startswith("No setting can be told from chance")


SHUFFLED = (4, 9, 0, 6, 1, 8, 3, 11, 2, 5, 10, 7)


def test_the_highest_rho_is_recommended_where_that_is_preferred() -> None:
    found = ladder({"a": 0.72, "b": 0.70, "c": 0.30}, FASTER, prefer="rho")
    assert found.recommended == found.settings[0].name


def test_only_what_is_fast_and_good_enough_is_recommended() -> None:
    rhos = {"a": 0.72, "b": 0.70, "c": 0.30}
    fast = ladder(rhos, FASTER, min_acceleration=100.0)
    assert fast.recommended == "c4r4s0e2"
    assert fast.why[1] == "Considered are 1 of 3 settings: those with min_acceleration = 100."
    nothing = ladder(rhos, FASTER, min_acceleration=100.0, min_rho=0.9)
    assert nothing.recommended is None
    assert nothing.why[0] == "No setting is recommended: none has a rho and min_rho = 0.9 and min_acceleration = 100."


def test_nothing_is_called_the_fastest_where_no_cost_is_known() -> None:
    rows = [[Reading(place / 20, 0.1), *[Reading((place ^ bits) / 20, 0.1) for bits in (1, 3)]] for place in range(20)]
    found = assembled(rows, channels=[16, 8], epochs=[2])
    assert found.recommended == found.settings[0].name
    assert any(text == "It is not known which setting is faster, so it is the highest rho." for text in found.why)
    assert not any("fastest" in text for text in found.why)


def test_the_best_of_each_power_of_two_of_acceleration_is_named() -> None:
    found = ladder({"a": 0.5, "b": 0.7, "c": 0.3, "d": 0.6}, {"a": 8.1, "b": 15.9, "c": 16.1, "d": 70.0})
    assert found.groups == ((8.0, "c16r8s1.0e2"), (16.0, "c4r4s0e2"), (64.0, "c4r8s1.0e2"))


def test_few_networks_are_cautioned_about() -> None:
    few = study(study_spec(networks=5))
    assert any(text.startswith("Caution: with 5 networks the interval of") for text in few.why)
    assert any("With 5 networks instead of 50 the good models are the best 1" in text for text in few.why)
    many = ladder({"a": 0.95}, {"a": 2.0})
    assert not any(text.startswith("Caution") for text in many.why)


def test_so_many_settings_that_one_is_above_chance_by_chance_are_cautioned_about() -> None:
    (setting,) = ladder({"a": 0.5}, {"a": 2.0}).settings
    beside = [setting.model_copy(update={"interval": (low, 0.6)}) for low in (0.1, *[-0.1] * 39)]
    whole = ladder({"a": 0.5}, {"a": 2.0}).model_copy(update={"settings": tuple(beside)})
    (caution,) = [text for text in words.cautions(whole, None) if "by chance" in text]
    assert caution == "Caution: 1 of 40 settings have an interval above 0; about 1 would by chance."
    many = whole.model_copy(update={"settings": (beside[0],) * 40})
    assert not any("by chance" in text for text in words.cautions(many, None))


def test_a_trend_is_named_only_where_rho_went_the_same_way() -> None:
    """Ranks alone had said that more epochs lowered rho, by 0.00."""
    whole = ladder({"a": 0.5, "b": 0.5, "c": 0.5}, FASTER)
    names = tuple(one.name for one in whole.settings)
    row = Entropy(factor="e", fixed="c4r4s0", value=-1.0, settings=names, rhos=(0.5, 0.4, 0.5))
    (told,) = [text for text in words.findings(whole.model_copy(update={"entropies": (row,)})) if "epochs" in text][:1]
    assert "made no steady difference to rho" in told
    fallen = whole.model_copy(update={"entropies": (row.model_copy(update={"rhos": (0.5, 0.4, 0.3)}),)})
    assert "lowered rho" in next(iter(words.findings(fallen)))


def test_the_retained_models_are_counted_by_bin_of_rho() -> None:
    found = ladder({"a": 0.9, "b": 0.6, "c": 0.1}, FASTER)
    assert found.good == 8
    assert found.retained_by_chance == {"12": 8 * 12 / 40, "16": 8 * 16 / 40}
    assert sum(one.settings for one in found.bins) == 3
    last = found.bins[-1]
    assert last.retained == {name: float(count) for name, count in found.settings[0].retained.items()}
