"""A simulated world that tells what FNAS asked it, and small searches for it."""

from __future__ import annotations

from typing import Any

from store.records import arrays
from store.records.candidates import Candidate, Proxy
from store.records.knowledge import Inheritance, PoolQuery
from store.records.requests import AnyRequest, Compute
from store.records.results import Result
from store.records.spec import SearchSpec
from strategies import registry
from strategies.simulation import Simulation
from tests.strategies.builders import spec

OFF = {"uncertainty_critic": False, "knowledge_pool": False, "experience_buffer": False}
SMALL = {"samples": 40, "batch": 8, "epochs": 2, "pool_warmup": 3, "buffer_size": 5, "anneal_samples": 32}
NETWORKS = {"hidden": 4, "critic_hidden": 4, "critic_steps": 1, "trust_window": 8}


def wanted(**options: Any) -> SearchSpec:
    """A small search without modules, but those that are asked for."""
    given = {"space": {"name": "nasbench201"}} | SMALL | NETWORKS | OFF | options
    return spec("fnas", **given).model_copy(update={"proxy": Proxy(cells=5)})


def score(candidate: Candidate, epochs: int) -> float:
    return round(0.1 + 0.8 * candidate.architecture.genes.count(3) / len(candidate.architecture.genes), 6)


class Watched(Simulation):
    """A world that tells what it was asked."""

    def __init__(self, spec: SearchSpec, **options: Any) -> None:
        super().__init__(spec, **({"score": score} | options))
        self.queries: list[PoolQuery] = []

    def run(self) -> Result:
        return self.search(registry.create(self.spec))

    async def inherit(self, call: int, query: PoolQuery) -> Inheritance:
        self.queries.append(query)
        return await super().inherit(call, query)

    def asked(self, kind: type[AnyRequest]) -> list[Any]:
        return [request for request in self.world.requests.values() if isinstance(request, kind)]

    @property
    def agent(self) -> list[dict[str, Any]]:
        """What the agent was asked, in order; without what is None."""
        return [arrays.unpack(request.arguments)[0] for request in self.asked(Compute)]


def searched(**options: Any) -> tuple[Watched, Result]:
    world = Watched(wanted(**options))
    return world, world.run()


def rows(result: Result) -> list[dict[str, Any]]:
    curves = {name.removeprefix("sample_"): column for name, column in result.curves.items() if "sample_" in name}
    return [dict(zip(curves, row, strict=True)) for row in zip(*curves.values(), strict=True)]
