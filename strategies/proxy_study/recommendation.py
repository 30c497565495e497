"""Which setting a study recommends, and by which rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from store.records.studies import StudiedSetting
from strategies.proxy_study import words
from strategies.proxy_study.options import ProxyStudyOptions
from strategies.proxy_study.statistics import Floats


class Judged(NamedTuple):
    """A setting with its statistics, and its rho in every resample of the bootstrap."""

    setting: StudiedSetting
    resampled: Floats

    @property
    def rho(self) -> float:
        """Its rho; that of a setting without one counts as the lowest."""
        return -1.0 if self.setting.rho is None else self.setting.rho

    @property
    def acceleration(self) -> float:
        """Its acceleration; an unknown one counts as none."""
        return self.setting.acceleration or 0.0


class Chosen(NamedTuple):
    """The name of the setting to use, if there is one, and why it is that one."""

    name: str | None
    reasons: tuple[str, ...]


def recommend(judged: Sequence[Judged], options: ProxyStudyOptions) -> Chosen:
    """Chooses among the settings that `min_rho` and `min_acceleration` allow and whose interval lies above 0.

    EcoNAS takes the setting that "exhibits relatively higher consistency and acceleration ratios" (4.1), without a
    rule. The rule here, with `prefer = "acceleration"`: the fastest of all settings whose rho is less than the highest
    by no more than one standard error of the difference, by the bootstrap over the networks. With `prefer = "rho"`, and
    where no interval lies above 0: the highest rho, if it is above 0 itself.
    """
    known = [one for one in judged if one.setting.rho is not None]
    allowed = [one for one in known if _allowed(one, options)]
    if not allowed:
        return Chosen(None, (_nothing(options),))
    considered = [f"Considered are {len(allowed)} of {len(known)} settings: those with {_limits(options)}."]
    considered = considered if len(allowed) < len(known) else []
    sure = [one for one in allowed if one.setting.interval is not None and one.setting.interval[0] > 0]
    best = max(sure or allowed, key=lambda one: (one.rho, one.acceleration))
    if not sure:
        guess = "No setting can be told from chance: every interval reaches down to 0; the highest rho is that of"
        name = best.setting.name if best.rho > 0 else None
        return Chosen(name, (f"{guess} {words.told(best.setting)}.", *considered))
    near = [one for one in sure if best.rho - one.rho <= difference_error(best, one)]
    chosen = best if options.prefer == "rho" else max(near, key=lambda one: (one.acceleration, one.rho))
    reasons = [f"Use {words.told(chosen.setting)}.", *considered]
    if chosen is not best:
        reasons.append(f"The highest rho is that of {words.told(best.setting)}.")
    elif len(sure) > 1:
        reasons.append(f"None of {_others(sure)} has a higher rho.")
    if options.prefer == "acceleration":
        reasons.append(_rule(chosen, best, near))
    return Chosen(chosen.setting.name, tuple(reasons))


def difference_error(one: Judged, other: Judged) -> float:
    """Returns the bootstrap's standard error of the difference of two settings' rhos; 0 where it has none."""
    differences = one.resampled - other.resampled
    known = differences[np.isfinite(differences)]
    return float(known.std(ddof=1)) if known.size > 1 else 0.0


def _allowed(one: Judged, options: ProxyStudyOptions) -> bool:
    fast = options.min_acceleration is None or one.acceleration >= options.min_acceleration
    return fast and (options.min_rho is None or one.rho >= options.min_rho)


def _nothing(options: ProxyStudyOptions) -> str:
    wanted = _limits(options)
    return f"No setting is recommended: none has a rho{' and ' if wanted else ''}{wanted}."


def _limits(options: ProxyStudyOptions) -> str:
    """What the options ask of a setting, e.g. `min_rho = 0.5`; empty if nothing."""
    limits = ("min_rho", options.min_rho), ("min_acceleration", options.min_acceleration)
    return " and ".join(f"{name} = {value:g}" for name, value in limits if value is not None)


def _others(sure: Sequence[Judged]) -> str:
    return f"the {len(sure)} settings whose interval lies above 0"


def _rule(chosen: Judged, best: Judged, near: Sequence[Judged]) -> str:
    """Says how the fastest came to be chosen."""
    if chosen.setting.acceleration is None:
        return "It is not known which setting is faster, so it is the highest rho."
    if len(near) == 1:
        return "No other setting whose interval lies above 0 comes within one standard error of the difference."
    text = (
        f"It is the fastest of {len(near)} settings whose interval lies above 0 and whose rho is within one standard "
        "error of the difference of the highest"
    )
    if chosen is best:
        return f"{text}."
    error = difference_error(best, chosen)
    return f"{text}: it is {best.rho - chosen.rho:.2f} less, and the standard error is {error:.2f}."
