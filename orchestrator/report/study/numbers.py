"""What each figure of a study shows, as numbers: computed once, then drawn, told in words, and written as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from statistics import fmean
from typing import NamedTuple

from orchestrator.report.study.grid import FACTORS
from store.records.studies import StudiedSetting, Study
from strategies.proxy_study import statistics

CLOSE = 1e-9


class Ranks(NamedTuple):
    """The networks' ranks in the original and in one reduced setting, 1 for the best (Fig. 3)."""

    setting: StudiedSetting
    networks: tuple[int, ...]
    original: tuple[float, ...]
    reduced: tuple[float, ...]

    @property
    def moved(self) -> float:
        """By how many places a rank changes, on average."""
        return fmean(abs(o - r) for o, r in zip(self.original, self.reduced, strict=True))


def extremes(study: Study) -> tuple[Ranks, Ranks] | None:
    """Returns the ranks in the settings with the smallest and the largest rho; none if there are not two rhos."""
    known = sorted((s for s in study.settings if s.rho is not None), key=lambda setting: setting.rho or 0.0)
    if len(known) < 2 or known[0].rho == known[-1].rho:
        return None
    return _ranks(study, known[0]), _ranks(study, known[-1])


def _ranks(study: Study, setting: StudiedSetting) -> Ranks:
    both = zip(study.reference, setting.accuracies, strict=True)
    networks = tuple(index for index, pair in enumerate(both) if None not in pair)
    pair = statistics.paired(study.reference, setting.accuracies)
    original, reduced = statistics.ranks(pair.original).tolist(), statistics.ranks(pair.reduced).tolist()
    return Ranks(setting, networks, tuple(original), tuple(reduced))


class Mean(NamedTuple):
    """The mean rho of settings that share s and e, and theirs one by one, in the order of their (c, r) (Fig. 4)."""

    ratio: float
    epochs: float
    mean: float
    rhos: tuple[float, ...]


class Means(NamedTuple):
    """Fig. 4: a mean for each (s, e), and which (c, r) stand behind each line of one s (none: not always the same).

    `same_iterations` has the rhos of every two settings that train on equally many images in all and differ in s and e
    only: first that of the one with more images an epoch.
    """

    means: tuple[Mean, ...]
    members: Mapping[float, frozenset[tuple[float, float]]]
    same_iterations: tuple[tuple[float, float], ...]

    def line(self, ratio: float) -> list[Mean]:
        """The means of one sample ratio, by epochs."""
        return [mean for mean in self.means if mean.ratio == ratio]

    def even(self, ratio: float) -> bool:
        """Whether the same (c, r) stand behind every point of a line."""
        return bool(self.members[ratio])

    @property
    def ratios(self) -> list[float]:
        """The sample ratios, largest first."""
        return list(self.members)


def means(settings: Sequence[StudiedSetting]) -> Means | None:
    """Returns the mean rho of each (s, e), over the (c, r) that were tried at every e of s if there are any.

    None if e does not vary.
    """
    if len(FACTORS["e"].of(settings)) < 2:
        return None
    found, members = list[Mean](), dict[float, frozenset[tuple[float, float]]]()
    for ratio in FACTORS["s"].of(settings):
        groups: dict[float, dict[tuple[float, float], float]] = {}
        for setting in (one for one in settings if one.proxy.sample_ratio == ratio):
            groups.setdefault(FACTORS["e"].level(setting), {})[_size(setting)] = setting.rho or 0.0
        members[ratio] = frozenset(set.intersection(*(set(group) for group in groups.values())))
        for epochs, group in sorted(groups.items()):
            rhos = tuple(rho for at, rho in sorted(group.items()) if at in members[ratio] or not members[ratio])
            found.append(Mean(ratio, epochs, fmean(rhos), rhos))
    return Means(tuple(found), members, tuple(_same_iterations(settings)))


def _size(setting: StudiedSetting) -> tuple[float, float]:
    return FACTORS["c"].level(setting), FACTORS["r"].level(setting)


def _same_iterations(settings: Sequence[StudiedSetting]) -> Iterator[tuple[float, float]]:
    for one, other in combinations(settings, 2):
        more, fewer = sorted((one, other), key=lambda setting: -setting.proxy.sample_ratio)
        alike = _size(more) == _size(fewer) and more.proxy.sample_ratio > fewer.proxy.sample_ratio
        trained = [setting.proxy.sample_ratio * setting.epochs for setting in (more, fewer)]
        if alike and abs(trained[0] - trained[1]) < CLOSE:
            yield more.rho or 0.0, fewer.rho or 0.0


class Gap(NamedTuple):
    """How far a setting overfits, in percentage points, and its rho (Fig. 7)."""

    setting: StudiedSetting
    points: float
    rho: float


def gaps(study: Study) -> list[Gap]:
    """Returns the mean of training less validation accuracy of every setting that has it and a rho."""
    found = []
    for setting in study.settings:
        known = [gap for gap in setting.gaps if gap is not None]
        if known and setting.rho is not None:
            found.append(Gap(setting, 100 * fmean(known), setting.rho))
    return found


class Point(NamedTuple):
    """A setting's acceleration and its rank consistency (Figs. 8 and A3)."""

    setting: StudiedSetting
    acceleration: float
    value: float
    interval: tuple[float, float] | None


def points(study: Study, *, tolerant: bool) -> list[Point]:
    """Returns the settings that have an acceleration and a rho, or a tolerant rho."""
    found = []
    for setting in study.settings:
        value = setting.tolerant if tolerant else setting.rho
        if value is not None and setting.acceleration is not None:
            found.append(Point(setting, setting.acceleration, value, None if tolerant else setting.interval))
    return found
