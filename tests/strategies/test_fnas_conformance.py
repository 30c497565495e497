"""FNAS under the conformance class that we ship: every combination of its modules, with both agents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from store.records import arrays
from store.records.candidates import Candidate, Proxy
from store.records.spec import SearchSpec
from strategies import registry
from strategies.run import Strategy
from strategies.testing import StrategyConformance
from tests.strategies.builders import spec
from trainers.agent import iteration

SMALL = {"samples": 7, "batch": 4, "epochs": 1, "pool_warmup": 2, "buffer_size": 3, "top": 3, "anneal_samples": 8}
NETWORKS = {"hidden": 4, "updates": 1, "critic_hidden": 4, "critic_steps": 1, "critic_replay": 2, "trust_window": 6}


@pytest.fixture(autouse=True, scope="module")
def _each_step_is_computed_once() -> Iterator[None]:
    """The agent's step is a pure function, and the same steps are taken in hundreds of lives: this halves the time."""
    real, known = iteration.iterate, dict[bytes, Any]()

    def iterate(state: Any, request: Any) -> Any:
        key = arrays.pack([state, request])
        if key not in known:
            known[key] = real(state, request)
        return known[key]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(iteration, "iterate", iterate)
        yield


class Combination(StrategyConformance):
    totals: ClassVar[dict[str, int]] = {"samples": 9}
    sample = 2
    modules: ClassVar[dict[str, Any]] = {}

    def spec(self) -> SearchSpec:
        off = {"uncertainty_critic": False, "knowledge_pool": False, "experience_buffer": False}
        made = spec("fnas", space={"name": "nasbench201"}, **SMALL, **NETWORKS, **(off | self.modules))
        return made.model_copy(update={"proxy": Proxy(cells=5)})

    def strategy(self, spec: SearchSpec) -> Strategy:
        return registry.create(spec)

    def score(self, candidate: Candidate, epochs: int) -> float:
        """Cheap to compute, with many ties; inherited blocks make it a little better."""
        genes = candidate.architecture.genes
        return round(0.8 * genes.count(3) / len(genes) + 0.01 * len(candidate.initial) + 0.05, 6)


class TestNoModule(Combination):
    pass


class TestUncertaintyCritic(Combination):
    modules: ClassVar[dict[str, Any]] = {"uncertainty_critic": True}


class TestKnowledgePool(Combination):
    modules: ClassVar[dict[str, Any]] = {"knowledge_pool": True, "generations": 1}


class TestExperienceBuffer(Combination):
    modules: ClassVar[dict[str, Any]] = {"experience_buffer": True}


class TestCriticAndPool(Combination):
    modules: ClassVar[dict[str, Any]] = {"uncertainty_critic": True, "knowledge_pool": True, "agent": "reinforce"}


class TestCriticAndBuffer(Combination):
    modules: ClassVar[dict[str, Any]] = {"uncertainty_critic": True, "experience_buffer": True}


class TestPoolAndBuffer(Combination):
    modules: ClassVar[dict[str, Any]] = {
        "knowledge_pool": True,
        "experience_buffer": True,
        "cost": "latency",
        "device": "cpu",
    }


class TestAllModules(Combination):
    modules: ClassVar[dict[str, Any]] = {
        "uncertainty_critic": True,
        "knowledge_pool": True,
        "experience_buffer": True,
    }
    sample = 4

    def test_its_samples_are_of_every_source(self) -> None:
        """So what the other checks say holds for trusted and exploited samples too."""
        assert set(self._search().curves["sample_source"]) == {"trained", "trusted", "exploited"}
