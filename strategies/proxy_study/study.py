"""From readings to a `Study`: the statistics of every setting, and of the settings together. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from store.records.candidates import Architecture
from store.records.studies import Entropy, RetainedBin, StudiedSetting, Study
from strategies.proxy_study import statistics, words
from strategies.proxy_study.costs import Costs, nominal
from strategies.proxy_study.options import ProxyStudyOptions
from strategies.proxy_study.readings import Readings
from strategies.proxy_study.recommendation import Judged, recommend
from strategies.proxy_study.settings import Grid
from strategies.proxy_study.statistics import Sizes

FACTORS: Mapping[str, Callable[[StudiedSetting], float]] = {
    "c": lambda setting: -setting.proxy.channels,
    "r": lambda setting: -(setting.proxy.resolution or math.inf),
    "s": lambda setting: -setting.proxy.sample_ratio,
    "e": lambda setting: setting.epochs,
    "cells": lambda setting: -setting.proxy.cells,
}
"""What each factor's values are put in order by: as Table 1's indices, so c, r and s fall and e rises."""


FAMILIES = ("own", "shared")
"""The kinds of cosine, see `StudiedSetting.families`."""


class Zoo(NamedTuple):
    """The networks of a study, and their notation for people."""

    networks: tuple[Architecture, ...]
    texts: tuple[str, ...]


def assemble(grid: Grid, options: ProxyStudyOptions, zoo: Zoo, readings: Readings, *, seed: int) -> Study:
    """Works a study out of what its trainings told.

    Args:
        grid: its settings.
        options: tolerance, resamples, and what is to be recommended.
        zoo: the networks, in the order of the readings.
        readings: what the trainings told.
        seed: of the bootstrap.
    """
    sizes = Sizes.of(len(zoo.networks))
    costs = Costs(grid, readings)
    judged = [_judged(costs, index, options, seed, sizes) for index in range(len(grid.settings))]
    settings = tuple(one.setting for one in judged)
    ranked = [one for one in settings if one.rho is not None]
    reference = readings.column(-1)
    study = Study(
        networks=zoo.networks,
        candidates=zoo.texts,
        reference=tuple(reading.accuracy for reading in reference),
        reference_name=grid.reference_name,
        reference_cost=costs.original(),
        reference_proxy=grid.reference.proxy,
        reference_epochs=grid.reference.epochs,
        settings=settings,
        entropies=tuple(entropies(settings)),
        good=sizes.good,
        retained_by_chance={
            str(among): statistics.retained_by_chance(len(zoo.networks), sizes.good, among) for among in sizes.among
        },
        bins=_bins(ranked),
        tolerance=options.tolerance,
        tolerant_agreement=_agreement(ranked),
        groups=tuple(groups(ranked)),
    )
    chosen = recommend(judged, options)
    return study.model_copy(
        update={
            "recommended": chosen.name,
            "why": (*chosen.reasons, *words.findings(study), *words.cautions(study, chosen.name)),
        }
    )


def entropies(settings: Sequence[StudiedSetting]) -> Iterator[Entropy]:
    """Yields one for every row of two or more settings that differ in one factor alone and have a rho.

    A row whose settings all belong to both families is told once.
    """
    several_depths = len({one.proxy.cells for one in settings if one.families}) > 1
    for factor, order in FACTORS.items():
        told = set[tuple[str, ...]]()
        for family in FAMILIES:
            for row in _rows([one for one in settings if family in one.families and one.rho is not None], factor):
                names = tuple(one.name for one in sorted(row, key=order))
                if len(row) > 1 and names not in told:
                    told.add(names)
                    yield _entropy(factor, family, sorted(row, key=order), several_depths=several_depths)


def groups(settings: Sequence[StudiedSetting]) -> Iterator[tuple[float, str]]:
    """Yields the best setting of each group of acceleration, [1, 2), [2, 4), [4, 8), ..., with the group's lower edge.

    EcoNAS 4.1 divides the acceleration "into different groups" without saying which; these are powers of two, since
    every step of a factor in Table 1 is worth about two. Of equal rhos the faster setting is the better.
    """
    members: dict[float, list[StudiedSetting]] = {}
    for setting in settings:
        if setting.acceleration:
            members.setdefault(2.0 ** math.floor(math.log2(setting.acceleration)), []).append(setting)
    for edge in sorted(members):
        yield edge, max(members[edge], key=lambda one: (one.rho or 0.0, one.acceleration or 0.0)).name


def _judged(costs: Costs, index: int, options: ProxyStudyOptions, seed: int, sizes: Sizes) -> Judged:
    grid, readings = costs.grid, costs.readings
    planned, reference, own = grid.settings[index], readings.column(-1), readings.column(index)
    pair = statistics.paired([one.accuracy for one in reference], [one.accuracy for one in own])
    resampled = statistics.resampled(pair, (seed, len(readings.rows)), options.bootstrap)
    known = resampled[np.isfinite(resampled)]
    rho = statistics.spearman(pair)
    setting = StudiedSetting(
        name=planned.name,
        proxy=planned.proxy,
        epochs=planned.epochs,
        schedule_epochs=planned.schedule_epochs,
        label=planned.label,
        served_by=grid.served_by(index),
        accuracies=tuple(one.accuracy for one in own),
        gaps=tuple(one.gap for one in own),
        multiply_adds=costs.multiply_adds(index) or 0.0,
        images=costs.images(index),
        acceleration=costs.acceleration(index),
        nominal=nominal(grid.reference, planned),
        rho=rho,
        rho_equation=statistics.equation_1(pair),
        interval=statistics.interval(resampled) if rho is not None else None,
        tolerant=statistics.tolerant(pair, options.tolerance),
        retained={str(among): statistics.retained(pair, sizes.good, among) for among in sizes.among},
        standard_error=float(known.std(ddof=1)) if rho is not None and known.size > 1 else None,
        families=tuple(sorted(planned.families)),
    )
    return Judged(setting, resampled)


def _rows(settings: Sequence[StudiedSetting], factor: str) -> list[list[StudiedSetting]]:
    """Puts settings together that differ in one factor alone."""
    rows: dict[tuple[float, ...], list[StudiedSetting]] = {}
    for setting in settings:
        others = tuple(value(setting) for name, value in FACTORS.items() if name != factor)
        rows.setdefault(others, []).append(setting)
    return list(rows.values())


def _entropy(factor: str, family: str, row: Sequence[StudiedSetting], *, several_depths: bool) -> Entropy:
    rhos = tuple(setting.rho for setting in row if setting.rho is not None)
    name = row[0].name.partition("-")[0]
    if factor != "cells" and "cells" not in name and several_depths:
        name += f"cells{row[0].proxy.cells}"
    pattern = r"cells\d+" if factor == "cells" else rf"(?<![a-z]){factor}(?:full|[\d.]+(?:of\d+)?)"
    return Entropy(
        factor=factor,
        fixed=re.sub(pattern, "", name, count=1),
        value=statistics.entropy(rhos),
        settings=tuple(setting.name for setting in row),
        rhos=rhos,
        family=family,
    )


def _bins(settings: Sequence[StudiedSetting]) -> tuple[RetainedBin, ...]:
    found = statistics.means_by_bin([one.rho or 0.0 for one in settings], [one.retained for one in settings])
    return tuple(RetainedBin(lower=one.lower, settings=one.settings, retained=one.means) for one in found)


def _agreement(settings: Sequence[StudiedSetting]) -> float | None:
    both = [(one.rho, one.tolerant) for one in settings if one.rho is not None and one.tolerant is not None]
    return statistics.pearson([rho for rho, _ in both], [tolerant for _, tolerant in both])
