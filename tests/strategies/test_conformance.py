"""Our own strategies under the conformance class that we ship."""

from __future__ import annotations

from typing import ClassVar

from store.records.candidates import Candidate
from store.records.spec import SearchSpec
from strategies import registry
from strategies.run import Strategy
from strategies.testing import StrategyConformance
from tests.strategies import test_retrain
from tests.strategies.builders import separable_share, small_econas, spec, study_spec


class Registered(StrategyConformance):
    def strategy(self, spec: SearchSpec) -> Strategy:
        return registry.create(spec)


class TestRandomSearch(Registered):
    totals: ClassVar[dict[str, int]] = {"candidates": 15}

    def spec(self) -> SearchSpec:
        return spec("random", candidates=10, epochs=3)


class TestRetrain(Registered):
    def spec(self) -> SearchSpec:
        return test_retrain.spec_of(test_retrain.genes(), seeds=2)


class EcoNAS(Registered):
    totals: ClassVar[dict[str, int]] = {"cycles": 5}
    preset = "default"
    sample = 12

    def spec(self) -> SearchSpec:
        return small_econas(preset=self.preset)

    def score(self, candidate: Candidate, epochs: int) -> float:
        return separable_share(candidate, epochs)


class TestEcoNASDefault(EcoNAS):
    sample = 100  # every moment


class TestEcoNASReleased(EcoNAS):
    preset = "released"


class TestEcoNASAlgorithm1(EcoNAS):
    preset = "algorithm-1"


class TestEcoNASWithTheOtherOptions(EcoNAS):
    def spec(self) -> SearchSpec:
        return small_econas(parents="softmax", dead="union", capacity=8, limit_half=True, redraw_duplicates=True)


class TestEcoNASWhereDuplicatesAreCommon(EcoNAS):
    def spec(self) -> SearchSpec:
        tiny = {"name": "cell", "nodes": 1, "operations": ["none", "sep_conv_3x3"]}
        return small_econas(space=tiny)


class TestProxyStudy(Registered):
    totals: ClassVar[dict[str, int]] = {"networks": 9}
    sample = 8

    def spec(self) -> SearchSpec:
        return study_spec(networks=6)


class TestProxyStudyWithATableAndBothSchedules(Registered):
    totals: ClassVar[dict[str, int]] = {"networks": 7}
    sample = 5

    def spec(self) -> SearchSpec:
        table = {"trainer": {"name": "tabular", "table": "t"}, "epochs": 12}
        return study_spec(reference=table, networks=5, schedule=["own", "shared"], workers=1)


class TestProxyStudyOfNetworksThatAreGivenAndDuplicatesThatAreDrawnAgain(Registered):
    totals: ClassVar[dict[str, int]] = {"networks": 25}
    sample = 4

    def spec(self) -> SearchSpec:
        tiny = {"name": "cell", "nodes": 1, "operations": ["none", "sep_conv_3x3"]}
        return study_spec(networks=5, space=tiny, channels=[8], genes=[[0, 1, 1, 1, 0, 0, 1, 0]])
