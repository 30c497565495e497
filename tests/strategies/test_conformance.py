"""Our own strategies under the conformance class that we ship."""

from __future__ import annotations

from typing import ClassVar

from store.records.candidates import Candidate
from store.records.spec import SearchSpec
from strategies import registry
from strategies.run import Strategy
from strategies.testing import StrategyConformance
from tests.strategies import test_retrain
from tests.strategies.builders import separable_share, small_econas, spec


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
