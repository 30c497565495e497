"""What a proxy study measured: reduced settings, and how well each one ranks networks (EcoNAS section 3)."""

from __future__ import annotations

from pydantic import Field

from store.records.base import Record
from store.records.candidates import Architecture, Proxy


class StudiedSetting(Record):
    """One reduced setting: what it is, what it cost, and how its ranks compare with those of the original setting.

    Everything listed by network is in the order of `Study.networks`; accuracies are in [0, 1].
    """

    name: str = Field(description="e.g. `c4r4s0e60`, in EcoNAS's notation where its Table 1 has the values")
    proxy: Proxy
    epochs: int
    schedule_epochs: int = Field(description="length of the cosine; longer than `epochs` where a training was cut off")
    label: str | None = Field(default=None, description="what sets it apart beside (c, r, s, e), e.g. another recipe")
    served_by: str | None = Field(default=None, description="the setting whose one training gave this one's accuracies")
    accuracies: tuple[float | None, ...] = Field(description="validation accuracy by network; none where it failed")
    gaps: tuple[float | None, ...] = Field(description="training minus validation accuracy in the last epoch (Fig. 7)")
    multiply_adds: float = Field(description="of one image, mean over the networks")
    images: int | None = Field(description="training images of one epoch; none if the trainer does not say")
    acceleration: float | None = Field(description="(MACs x images x epochs) of the original over this one's")
    nominal: float | None = Field(description="2^(a + b + c) times the ratio of epochs, where Table 1 has the values")
    rho: float | None = Field(description="Spearman's coefficient with the original setting (Eq. 1), average ranks")
    rho_equation: float | None = Field(description="Eq. 1 as printed, 1 - 6 sum d^2 / (K (K^2 - 1))")
    interval: tuple[float, float] | None = Field(description="95 % bootstrap interval of rho over the networks")
    tolerant: float | None = Field(description="tolerant rho, b = 0.15 percentage points (A2)")
    retained: dict[str, int] = Field(default_factory=dict, description="good models retained, by m, e.g. {'15': 9}")
    standard_error: float | None = Field(default=None, description="of rho, by the same bootstrap as the interval")
    families: tuple[str, ...] = Field(
        default=(),
        description="settings of one family differ in (c, r, s, e) or depth alone; `own` or `shared` cosines",
    )


class Entropy(Record):
    """Monotonicity of rho along one factor with the others fixed (A4): its Spearman coefficient with 1, 2, 3, ...

    The values of c, r, s and of depth go from large to small, as Table 1's indices do, and those of e from few to many:
    so a positive value says that fewer channels, a smaller resolution, fewer images, or more epochs are better.
    """

    factor: str = Field(description="c, r, s, e, or `cells` where a study has several depths")
    fixed: str = Field(description="the other factors, e.g. `r0s0e60`")
    value: float | None
    settings: tuple[str, ...] = Field(default=(), description="names of the settings along the factor, in its order")
    rhos: tuple[float, ...] = Field(default=(), description="their rho")
    family: str = Field(default="own", description="what the settings have in common, see `StudiedSetting.families`")


class RetainedBin(Record):
    """Settings whose rho lies in one bin of width 0.1, and the good models that they retain on average (Fig. 9)."""

    lower: float = Field(description="the bin's lower edge")
    settings: int
    retained: dict[str, float] = Field(description="mean of good models retained, by m")


class Study(Record):
    """A whole proxy study."""

    networks: tuple[Architecture, ...]
    candidates: tuple[str, ...] = Field(description="the networks in the notation of their space, for people")
    reference: tuple[float | None, ...] = Field(description="accuracy in the original setting by network")
    reference_name: str = Field(description="the original setting in words, e.g. `c0r0s0e600`, or the table's column")
    reference_cost: float | None = Field(description="MACs x images x epochs, mean over the networks")
    settings: tuple[StudiedSetting, ...]
    entropies: tuple[Entropy, ...] = ()
    good: int = Field(default=10, description="good models: the best so many of the original setting (Fig. 9)")
    retained_by_chance: dict[str, float] = Field(
        default_factory=dict, description="good models that a random order retains, by m; 3.0 and 4.0 with 50 networks"
    )
    bins: tuple[RetainedBin, ...] = Field(default=(), description="good models retained by bin of rho, ascending")
    reference_proxy: Proxy | None = Field(default=None, description="the original setting's (c, r, s)")
    reference_epochs: int | None = None
    tolerance: float = Field(default=0.0015, description="b of the tolerant rho, in accuracy")
    tolerant_agreement: float | None = Field(default=None, description="Pearson of rho and tolerant rho (paper: 0.96)")
    groups: tuple[tuple[float, str], ...] = Field(
        default=(), description="best setting of each group of acceleration, by the group's lower edge"
    )
    recommended: str | None = Field(default=None, description="name of the setting to use")
    why: tuple[str, ...] = Field(default=(), description="the recommendation and its reasons, in sentences")
