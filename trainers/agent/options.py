"""The agent's options as `iterate` takes them; free of torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from store.records.base import Config


class AgentOptions(Config):
    """Options of the policy and of how it learns; the defaults are NASNet's (appendix A.2), the clip is PPO's own."""

    kind: Literal["ppo", "reinforce"] = Field(default="ppo", description="how the policy learns")
    learning_rate: float = Field(default=0.00035, gt=0, description="Adam's step size")
    clip: float = Field(default=0.2, gt=0, lt=1, description="PPO: how far the ratio of probabilities counts from 1")
    epochs: int = Field(default=4, ge=1, description="PPO: steps on each batch; REINFORCE takes one")
    entropy: float = Field(default=0.00001, ge=0, description="weight of the mean entropy of the policy's choices")
    baseline_decay: float = Field(default=0.95, ge=0, lt=1, description="of the moving average of rewards")
    hidden: int = Field(default=100, ge=1, description="units of the LSTM, and numbers of a token's embedding")


class CriticOptions(Config):
    """Options of the uncertainty-aware critic (FNAS section 4.2)."""

    hidden: int = Field(default=200, ge=1, description="units of each hidden layer of V and U")
    learning_rate: float = Field(default=0.0003, gt=0, description="Adam's step size for V and U")
    steps: int = Field(default=5, ge=1, description="steps on each batch of new rewards")
    batch: int = Field(default=32, ge=1, description="earlier samples that are replayed in a step, beside the new ones")
    history: int = Field(
        default=1000, ge=1, description="latest samples that are kept for replay; errors of an early V say little of it"
    )
    window: int = Field(default=200, ge=1, description="sampled architectures whose U the threshold is the median of")
    threshold: float | None = Field(default=None, gt=0, description="fixed threshold of U, in units of the reward")
    draws: int = Field(default=10, ge=1, description="most architectures drawn for each that is asked for")
