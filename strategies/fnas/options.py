"""The options of FNAS. Numbers that the paper does not state are those that docs/strategies.md gives reasons for."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from store.records.base import Config
from strategies.fnas.reward import EXPONENTS, Form, Reward
from strategies.options import StrategyOptions

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "fnas": {},
        "mnas": {"uncertainty_critic": False, "knowledge_pool": False, "experience_buffer": False},
    }
)
"""What each preset sets: `fnas` all three modules, `mnas` none of them: plain PPO, the baseline of Table 4."""


class Transfer(Config):
    """What is taken over from earlier searches (Table 5), by name or id in a spec, by digest in a search."""

    critic: str | None = Field(default=None, description="the search whose critic V and U this one goes on with")
    pool: tuple[str, ...] = Field(default=(), description="searches whose trained blocks this one may start from")


class FNASOptions(StrategyOptions):
    """Options of the strategy `fnas`. An option that is given overrides the preset's."""

    totals: ClassVar[frozenset[str]] = frozenset({"samples"})
    refers: ClassVar[Mapping[str, Literal["state", "search"]]] = MappingProxyType(
        {"transfer.critic": "state", "transfer.pool": "search"}
    )
    of_state: ClassVar[tuple[str, ...]] = ("uncertainty_critic", "critic_hidden")
    pools: ClassVar[tuple[str, ...]] = ("knowledge_pool",)

    preset: Literal["fnas", "mnas"] = Field(default="fnas", description="mnas: none of the three modules (plain PPO)")
    samples: int = Field(
        default=8000, ge=1, description="samples that the agent learns from, of every source, in whole batches"
    )
    batch: int = Field(default=20, ge=2, description="samples of an iteration (NASNet A.2)")
    epochs: int = Field(
        default=5, ge=1, description="epochs of each trained sample, and the length of its schedule (MnasNet section 5)"
    )
    top: int = Field(default=10, ge=1, description="how many to name as the best, by reward (section 6.2)")
    uncertainty_critic: bool = Field(
        default=True, description="UAC: samples that the critic is sure of have its prediction for a reward"
    )
    knowledge_pool: bool = Field(
        default=True, description="AKP: trained samples start from the most similar blocks that were trained before"
    )
    experience_buffer: bool = Field(
        default=True, description="AEB: a part of each batch are earlier trained samples, learnt from again"
    )

    agent: Literal["ppo", "reinforce"] = Field(
        default="ppo", description="how the policy, an LSTM, is updated; reinforce: one step, advantages as in ppo"
    )
    hidden: int = Field(default=100, ge=1, description="hidden units of the policy's LSTM (section 6.1)")
    learning_rate: float = Field(default=0.00035, gt=0, description="of the policy (NASNet A.2)")
    clip: float = Field(default=0.2, gt=0, lt=1, description="ppo: how far a ratio may leave 1; no paper says")
    updates: int = Field(default=4, ge=1, description="ppo: passes over a batch; no paper says")
    entropy: float = Field(default=0.00001, ge=0, description="weight of the policy's entropy (NASNet A.2)")
    baseline_decay: float = Field(
        default=0.95, ge=0, lt=1, description="of the moving average of rewards that advantages are taken from"
    )

    critic_hidden: int = Field(default=200, ge=1, description="units of each layer of V and U (section 6.1)")
    critic_learning_rate: float = Field(default=0.0003, gt=0, description="of V and U; the paper does not say")
    critic_steps: int = Field(default=5, ge=1, description="steps of V and U on each batch; the paper does not say")
    critic_replay: int = Field(default=32, ge=1, description="earlier trained samples in a step, beside the new ones")
    trust_threshold: float | None = Field(
        default=None,
        gt=0,
        description="U up to which a sample is trusted; absent: the median U of trust_window samples",
    )
    trust_window: int = Field(
        default=200, ge=1, description="sampled architectures whose median U is the threshold, for a 2x speed-up"
    )
    trust_draws: int = Field(
        default=10, ge=1, description="most architectures drawn for each new sample, until enough are not trusted"
    )
    trusted_share: float = Field(
        default=0.5, ge=0, lt=1, description="most of a batch's new samples that may be trusted (section 4.2)"
    )

    similarity: float = Field(
        default=0.5, gt=0, le=1, description="least cosine of a block's key with the entry that it may start from"
    )
    exact_quantile: float = Field(
        default=0.99,
        gt=0,
        lt=1,
        description="with the critic: a sample starts from equal keys only if its U exceeds the threshold by more than "
        "this quantile of the last trust_window samples, so that about 1 % are held back (section 4.3)",
    )
    pool_warmup: int = Field(
        default=20, ge=0, description="random networks that fill the pool first, where transfer.pool names no search"
    )
    generations: int = Field(
        default=0, ge=0, description="networks of generations up to this enter the pool; 0: only random starts"
    )

    buffer_size: int = Field(default=10, ge=1, description="trained samples that are kept (section 5)")
    exploited_share: float = Field(
        default=0.5, ge=0, lt=1, description="most of a batch that may come from the buffer (section 5)"
    )
    anneal_samples: int = Field(
        default=8000, ge=1, description="beta of the importance weights rises from 0 to 1 over so many samples"
    )

    cost: Literal["multiply_adds", "latency"] = Field(
        default="multiply_adds", description="what LAT of Eq. 2 is; latency: measured, in milliseconds, on `device`"
    )
    device: str | None = Field(default=None, description="where latency is measured, e.g. `cpu`")
    target: float | None = Field(
        default=None, gt=0, description="T of Eq. 2, in multiply-adds or ms; the accuracy alone counts without"
    )
    form: Form = Field(default="soft", description="soft: alpha = beta = -0.07; hard: 0 and -1 (MnasNet section 3)")
    alpha: float | None = Field(default=None, description="exponent up to the target; the form's if absent")
    beta: float | None = Field(default=None, description="exponent beyond the target; the form's if absent")
    failed_reward: float = Field(default=0.0, description="what the agent is told of a sample that failed")

    transfer: Transfer = Transfer()

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, values: Any) -> Any:
        chosen = values.get("preset", "fnas") if isinstance(values, dict) else None
        return {**PRESETS[chosen], **values} if isinstance(chosen, str) and chosen in PRESETS else values

    @field_validator("transfer", mode="before")
    @classmethod
    def _one_search_is_a_list_of_one(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("pool"), str):
            return value | {"pool": [value["pool"]]}
        return value

    @model_validator(mode="after")
    def _agree(self) -> FNASOptions:
        if self.transfer.critic is not None and not self.uncertainty_critic:
            raise ValueError("expected transfer.critic only together with uncertainty_critic = true")
        if self.transfer.pool and not self.knowledge_pool:
            raise ValueError("expected transfer.pool only together with knowledge_pool = true")
        if (self.device is not None) != (self.cost == "latency"):
            raise ValueError('expected device together with cost = "latency", and only then')
        return self

    @property
    def iterations(self) -> int:
        """Batches until all samples were learnt from."""
        return -(-self.samples // self.batch)

    @property
    def reward(self) -> Reward:
        """Equation 2 with these exponents."""
        alpha, beta = EXPONENTS[self.form]
        return Reward(
            self.target, alpha if self.alpha is None else self.alpha, beta if self.beta is None else self.beta
        )
