"""Curves of searches by reinforcement learning, made up with every combination of FNAS's modules."""

from __future__ import annotations

from typing import Any

import numpy as np

from store.records import arrays
from store.records.events import SearchOpened, SearchStarted, StateSaved, WeightsMatched, WeightsPooled
from store.records.knowledge import BlockKey, Contribution, Inheritance, InheritedBlock
from store.records.spec import SearchSpec
from tests.orchestrator.telling import Teller, spec

TARGET = 2e6
BINS = 20


def curves(
    *, critic: bool = True, pool: bool = True, buffer: bool = True, iterations: int = 12, batch: int = 8, seed: int = 0
) -> dict[str, Any]:
    """Curves as the strategy `fnas` gives them; the critic's U follows its error, rewards rise."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[Any]] = {f"sample_{name}": [] for name in SAMPLE}
    found |= {f"iteration_{name}": [] for name in ITERATION} | {"loss_policy": [], "loss_value": []}
    trained = 0
    for iteration in range(iterations):
        sources = ["exploited"] * (batch // 2 if buffer and iteration else 0)
        new = batch - len(sources)
        sources += ["trusted"] * (new // 2 if critic and iteration else 0)
        sources += ["trained"] * (batch - len(sources))
        for source in sources:
            real = source == "trained"
            reward = round(float(0.9 - 0.5 / (1 + iteration) + rng.normal(0, 0.02)), 4)
            said = critic and source != "exploited"
            uncertainty = round(float(rng.uniform(0.01, 0.1)), 4)
            error = round(uncertainty * float(rng.uniform(0.5, 1.5)), 5)
            row = {
                "iteration": iteration + 1,
                "source": source,
                "reward": reward,
                "accuracy": round(reward + 0.01, 4) if real else None,
                "cost": float(rng.integers(1_000_000, 3_000_000)),
                "value": round(reward - error, 5) if said else None,
                "uncertainty": uncertainty if said else None,
                "error": error if real and critic else None,
                "individual": trained if real else None,
            }
            trained += real
            for name, value in row.items():
                found[f"sample_{name}"].append(value)
        values = {
            "threshold": 0.05 + 0.001 * iteration if critic and iteration else None,
            "trained": sources.count("trained"),
            "discarded": iteration if critic else 0,
            "baseline": 0.4 + 0.02 * iteration,
            "mean_reward": 0.4 + 0.03 * iteration,
            "hit_ratio": (1.0 if iteration else 0.5) if pool else None,
            "match_ratio": min(1.0, 0.1 * iteration) if pool else None,
        }
        for name, value in values.items():
            found[f"iteration_{name}"].append(value)
        found["loss_policy"].append(-0.1 * iteration if iteration else None)
        found["loss_value"].append(0.5 / iteration if critic and iteration else None)
    counts = [0] * BINS
    if pool:
        counts[10:] = [place * iterations for place in range(10)]
    return {**found, "similarity_histogram": counts}


SAMPLE = ("iteration", "source", "reward", "accuracy", "cost", "value", "uncertainty", "error", "individual")
ITERATION = ("threshold", "trained", "discarded", "baseline", "mean_reward", "hit_ratio", "match_ratio")


def options(**more: Any) -> dict[str, Any]:
    """A strategy's options, as far as the report asks for them."""
    return {"cost": "multiply_adds", "target": TARGET, "similarity": 0.5} | more


def opened(**more: Any) -> Teller:
    """A search by reinforcement learning that has just begun."""
    teller = Teller()
    made = spec("agent")
    strategy = made.strategy.model_copy(update={"options": options(**more)})
    told = SearchSpec.model_validate(made.model_dump() | {"strategy": strategy.model_dump()})
    teller.tell(SearchOpened(search=teller.search, spec=told), SearchStarted(search=teller.search, pid=100))
    return teller


def searched(found: dict[str, Any], *, pool: bool = True, networks: int = 3, **more: Any) -> Teller:
    """A finished search with these curves; so many of its networks are in the journal."""
    teller = opened(**more)
    train(teller, networks, pool=pool)
    teller.finish([teller.individual(seed, seed, 2) for seed in range(networks)], found)
    return teller


def under_way(found: dict[str, Any], networks: int = 3) -> Teller:
    """A search that was interrupted, with these curves in its last saved state."""
    teller = opened()
    train(teller, networks)
    state = arrays.pack({"curves": found})
    teller.tell(StateSaved(search=teller.search, requests=0, calls=0, state=state, rng="{}"))
    teller.interrupt()
    return teller


def train(teller: Teller, networks: int, *, pool: bool = True) -> None:
    """Trains networks, each from the pool and for it if there is one."""
    for seed in range(networks):
        if pool:
            match(teller, seed)
        teller.train(seed, 2)
        if pool:
            contribute(teller, seed)


def match(teller: Teller, call: int) -> None:
    """An answer of the pool: of four blocks none, then all are hits, and every second one starts from an entry."""
    similarity = 0.0 if call == 0 else 0.75
    blocks = tuple(
        InheritedBlock(
            block=f"cell0{place}",
            source=f"{'d' * 64}/cell0{place}" if call and place % 2 else "",
            similarity=similarity,
        )
        for place in range(4)
    )
    answer = Inheritance(blocks=blocks, refused={"another space": call + 1} if call else {})
    teller.tell(WeightsMatched(search=teller.search, call=2 * call, inheritance=answer))


def contribute(teller: Teller, call: int) -> None:
    """A network that enters the pool."""
    contribution = Contribution(
        candidate=teller.candidate(call).id,
        checkpoint=teller.checkpoint(call, 2),
        space="s" * 64,
        choices=(2, 3),
        shape=(1, 8, 8),
        blocks=(BlockKey(name="cell00", tokens=(0, 1)),),
        iterations=30,
    )
    teller.tell(WeightsPooled(search=teller.search, call=2 * call + 1, contribution=contribution))
