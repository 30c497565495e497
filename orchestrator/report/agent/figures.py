"""The figures of a search by reinforcement learning: which its curves allow, and why others are left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.report.agent import costs, critic, learning, pool, rewards
from orchestrator.report.shown import LeftOut, Shown
from orchestrator.views import PoolUse, Samples

REWARDS, CRITIC, POOL, COST, LEARNING = "samples", "critic", "pool", "cost", "learning"
SECTIONS: Mapping[str, str] = {
    REWARDS: "Samples",
    CRITIC: "Uncertainty-aware critic",
    POOL: "Knowledge pool",
    COST: "Accuracy and cost",
    LEARNING: "The agent",
}
"""The sections of the page by the name of their pictures, in the order in which they are read."""


def figures(samples: Samples, use: PoolUse, options: Mapping[str, Any]) -> dict[str, list[Shown | LeftOut]]:
    """Returns all figures by their section.

    Args:
        samples: what the agent learnt from.
        use: what the search had of the knowledge pool.
        options: the strategy's, defaults filled in; figures tell of its `cost`, `target` and `similarity`, if it has
            these.
    """
    return {
        REWARDS: [rewards.over_samples(samples), rewards.by_source(samples)],
        CRITIC: [critic.calibration(samples), critic.trust(samples)],
        POOL: [pool.ratios(samples, use), pool.similarities(samples, options.get("similarity"))],
        COST: [costs.against_accuracy(samples, cost(options))],
        LEARNING: [learning.over_iterations(samples)],
    }


def cost(options: Mapping[str, Any]) -> costs.Cost:
    """What a strategy's options count as cost."""
    latency = options.get("cost") == "latency"
    return costs.Cost("latency" if latency else "multiply-adds", latency, options.get("target"))
