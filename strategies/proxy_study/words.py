"""A study in sentences: what raised rho and what did not, and how far its numbers can be trusted. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from store.records.studies import Entropy, StudiedSetting, Study
from strategies.proxy_study import statistics
from strategies.proxy_study.settings import SHARED

APPARENT = 0.5
"""Below it a trend is "less apparent" (EcoNAS 3.3)."""
WIDE = 0.4
"""An interval of rho this wide calls for more networks."""
_LISTED = 6  # extra settings and failures that are told one by one


class Factor(NamedTuple):
    """How a factor's reduction is told, and a value of it."""

    change: str
    value: str


FACTORS: Mapping[str, Factor] = {
    "c": Factor("Fewer channels", "channels"),
    "r": Factor("A smaller resolution", "pixels"),
    "s": Factor("Fewer training images", "of the images"),
    "e": Factor("More epochs", "epochs"),
    "cells": Factor("Fewer cells", "cells"),
}


def counted(number: int, noun: str) -> str:
    """Returns e.g. `1 setting` or `12 settings`."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def told(setting: StudiedSetting) -> str:
    """Returns a setting's name with its rho, interval and acceleration."""
    rho = "no rho" if setting.rho is None else f"rho {setting.rho:.2f}"
    if setting.interval is not None:
        rho += f" (95 % interval {setting.interval[0]:.2f} to {setting.interval[1]:.2f})"
    return f"{setting.name}: {rho}, {_times(setting.acceleration)}"


def findings(study: Study) -> Iterator[str]:
    """Yields what the study shows, a sentence or two each."""
    for factor in FACTORS:
        rows = [one for one in study.entropies if one.factor == factor and one.value is not None]
        if rows:
            yield _trend(factor, rows, {setting.name: setting for setting in study.settings})
    yield from _iterations(study)
    yield from _overfitting(study)
    if study.tolerant_agreement is not None:
        yield (
            f"Rho and the tolerant rho (b = {100 * study.tolerance:g} percentage points) have a Pearson coefficient of "
            f"{study.tolerant_agreement:.2f} (paper: 0.96)."
        )
    yield from _retained(study)
    yield from _apart(study)
    shared = [one for one in study.settings if one.served_by is not None]
    if shared:
        names = _some([f"{one.name} by {one.served_by}'s" for one in shared])
        yield f"{counted(len(shared), 'setting')} cost no training of their own: {names}."


def cautions(study: Study, recommended: str | None) -> Iterator[str]:
    """Yields what to bear in mind: wide intervals, ranks that may be chance, networks that failed."""
    networks = len(study.networks)
    chosen = next((one for one in study.settings if one.name == recommended), None)
    if chosen is not None and chosen.interval is not None:
        low, high = chosen.interval
        if high - low >= WIDE:
            yield (
                f"Caution: with {networks} networks the interval of {chosen.name} is {high - low:.2f} wide; raise "
                "`networks` before small differences between settings are believed."
            )
    yield from _by_chance(study)
    missing = sum(accuracy is None for accuracy in study.reference)
    if missing:
        yield f"{missing} of {networks} networks failed in the original setting and are left out everywhere."
    failed = [(one.name, sum(accuracy is None for accuracy in one.accuracies)) for one in study.settings]
    failed = [(name, count) for name, count in failed if count]
    if failed:
        listed = _some([f"{count} in {name}" for name, count in failed])
        yield f"Networks that failed in a setting are left out of its numbers: {listed}, of {networks}."


def _by_chance(study: Study) -> Iterator[str]:
    """Of many settings some look better than chance by chance: 2.5 % have an interval above 0."""
    intervals = [one.interval for one in study.settings if one.interval is not None]
    above, expected = sum(low > 0 for low, _ in intervals), 0.025 * len(intervals)
    if 0 < above <= 2 * expected:
        told = f"{above} of {len(intervals)} settings have an interval above 0"
        yield f"Caution: {told}; about {expected:.0f} would by chance."


def _trend(factor: str, rows: Sequence[Entropy], settings: Mapping[str, StudiedSetting]) -> str:
    """Says what a factor did to rho, by the entropies of all rows along it."""
    entropy = float(np.mean([row.value for row in rows if row.value is not None]))
    change = float(np.mean([row.rhos[-1] - row.rhos[0] for row in rows]))
    verb = "made no steady difference to"
    if abs(entropy) >= APPARENT and entropy * change > 0:
        verb = "raised" if entropy > 0 else "lowered"
    longest = max(rows, key=lambda row: len(row.settings))
    ends = " to ".join(_value(factor, settings[longest.settings[at]]) for at in (0, -1))
    up = sum(row.rhos[-1] > row.rhos[0] for row in rows)
    return (
        f"{FACTORS[factor].change} {verb} rho: mean entropy {entropy:+.2f} over {counted(len(rows), 'row')}; from "
        f"{ends} {FACTORS[factor].value} rho changed by {change:+.2f} on average, and rose in {up} of {len(rows)}."
    )


def _value(factor: str, setting: StudiedSetting) -> str:
    proxy = setting.proxy
    values = {"c": proxy.channels, "r": proxy.resolution, "s": proxy.sample_ratio, "e": setting.epochs}
    value = (values | {"cells": proxy.cells})[factor]
    return "all" if value is None else f"{value:g}"


def _iterations(study: Study) -> Iterator[str]:
    """EcoNAS's first observation: with the same iterations, more images for fewer epochs or the other way round."""
    gains = []
    own = [one for one in study.settings if "own" in one.families and one.rho is not None]
    for one, other in combinations(own, 2):
        same = one.proxy.model_copy(update={"sample_ratio": other.proxy.sample_ratio}) == other.proxy
        work = [each.proxy.sample_ratio * each.epochs for each in (one, other)]
        if same and one.epochs != other.epochs and abs(work[0] - work[1]) < 1e-9:
            fewer, more = sorted((one, other), key=lambda each: each.epochs)
            gains.append((fewer.rho or 0.0) - (more.rho or 0.0))
    if gains:
        better = sum(gain > 0 for gain in gains)
        yield (
            f"With the same number of iterations, more images for fewer epochs had the higher rho in {better} of "
            f"{counted(len(gains), 'pair')} ({float(np.mean(gains)):+.2f} on average)."
        )


def _overfitting(study: Study) -> Iterator[str]:
    """EcoNAS's Fig. 7: rho against the mean gap of training and validation accuracy."""
    points = []
    for setting in study.settings:
        gaps = [gap for gap in setting.gaps if gap is not None]
        if setting.rho is not None and gaps:
            points.append((float(np.mean(gaps)), setting.rho))
    coefficient = statistics.pearson(*zip(*points, strict=True)) if len(points) > 2 else None
    if coefficient is not None:
        yield (
            f"Over {len(points)} settings the mean gap between training and validation accuracy and rho have a Pearson "
            f"coefficient of {coefficient:+.2f} (Fig. 7)."
        )


def _retained(study: Study) -> Iterator[str]:
    networks = len(study.networks)
    if networks < statistics.ZOO:
        among = " and ".join(study.retained_by_chance)
        yield (
            f"With {networks} networks instead of 50 the good models are the best {study.good} of the original setting "
            f"(the paper's 10), looked for among the best {among} of a reduced one (15 and 20)."
        )
    best = max((one for one in study.settings if one.rho is not None), key=lambda one: one.rho or 0.0, default=None)
    for among, chance in study.retained_by_chance.items():
        if best is not None:
            yield (
                f"The best {among} of {best.name}, the highest rho, have {best.retained[among]} of the {study.good} "
                f"good models; by chance {chance:.1f}."
            )


def _apart(study: Study) -> Iterator[str]:
    """The settings beside the grid, one by one."""
    for setting in [one for one in study.settings if one.label not in (None, SHARED)][:_LISTED]:
        yield f"Beside the grid, {told(setting)}."


def _times(acceleration: float | None) -> str:
    if acceleration is None:
        return "at an unknown cost"
    return f"{acceleration:,.0f} times as fast" if acceleration >= 10 else f"{acceleration:.2g} times as fast"


def _some(texts: Sequence[str]) -> str:
    more = len(texts) - _LISTED
    return ", ".join(texts[:_LISTED]) + (f" and {more} more" if more > 0 else "")
