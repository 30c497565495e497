"""The settings of a proxy study before anything is known of them, and what must be trained for them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from store.records import reduction
from store.records.candidates import Proxy, Recipe
from strategies.run import Setting

SHARED = "shared cosine"
"""Label of a setting that was cut off a longer training, where others of the study have a cosine of their own."""


class Training(NamedTuple):
    """One training of each network; settings that differ only in where it is cut off share it."""

    setting: Setting
    epochs: int


@dataclass(frozen=True)
class Planned:
    """A setting before anything is known of it.

    Attributes:
        name: unique in the study.
        proxy: (c, r, s) and depth.
        recipe: as it is trained, `schedule_epochs` filled in.
        epochs: where its accuracy is read.
        label: what sets it apart beside (c, r, s, e).
        families: settings that have one in common may be compared along a factor; it says what they have in common.
        key: the table of the spec that it comes from, for errors; empty for the grid.
        keys: where the spec has a key of the setting, if neither in that table nor in `[proxy]`, `[recipe]` and
            `[trainer]`: `strategy.cells` for `proxy.cells`.
    """

    name: str
    proxy: Proxy
    recipe: Recipe
    epochs: int
    label: str | None = None
    families: frozenset[str] = frozenset()
    key: str = ""
    keys: Mapping[str, str] = field(default_factory=dict)

    @property
    def schedule_epochs(self) -> int:
        """Length of its learning rate's schedule."""
        return self.recipe.schedule_epochs or self.epochs

    def place(self, key: str) -> str:
        """Returns the spec's key for one of the setting's, e.g. `strategy.cells` for `proxy.cells`."""
        own = self.key and not key.startswith("trainer.")
        return self.keys.get(key, f"{self.key}.{key}" if own else key)

    @property
    def what(self) -> tuple[Proxy, Recipe, int]:
        """All that decides its accuracies."""
        return self.proxy, self.recipe, self.epochs


@dataclass(frozen=True)
class Grid:
    """A study's settings, the original one, and the trainings that serve them.

    Attributes:
        reference: the original setting.
        settings: the reduced ones, in the order of the report.
        trainings: the original setting's first, then the others, the cheapest first.
        served: for the reference and then each setting, the index of its training.
    """

    reference: Planned
    settings: tuple[Planned, ...]
    trainings: tuple[Training, ...]
    served: tuple[int, ...]

    @property
    def reference_name(self) -> str:
        """The original setting's name, and what answers for it where that is not the trainer of the others."""
        asked, own = (self.trainings[index].setting.trainer for index in (self.served[0], self.served[1]))
        if asked.name == own.name:
            return self.reference.name
        column = asked.options.get("column")
        return f"{self.reference.name} ({asked.name}{f': {column}' if column else ''})"

    def served_by(self, index: int) -> str | None:
        """Returns the name of the setting whose training also serves setting `index`; none if it is that setting."""
        training = self.served[1 + index]
        longest = self.trainings[training].epochs
        for other, planned in zip(self.served, (self.reference, *self.settings), strict=True):
            if other == training and planned.epochs == longest:
                return planned.name if planned is not self.settings[index] else None
        return None


def named(proxy: Proxy, epochs: int) -> str:
    """Returns a setting's name as EcoNAS writes it, `c4r4s0e60`; with values Table 1 lacks e.g. `c16r16s0.5e4`.

    In the latter form s always has its point, `s1.0`, so that no name can be read both ways.
    """
    raw = f"c{proxy.channels}r{proxy.resolution or 'full'}s{float(proxy.sample_ratio)}"
    return f"{reduction.name(proxy) or raw}e{epochs}"
