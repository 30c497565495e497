"""The grid of a study: its factors and their levels, and the planes of two factors with the other two fixed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from store.records.studies import StudiedSetting, Study


@dataclass(frozen=True, slots=True)
class Factor:
    """A reduction factor: its letter, its name, how a level of it is written, and which way its index grows."""

    letter: str
    name: str
    fewer: str
    level: Callable[[StudiedSetting], float]
    shown: Callable[[float], str]
    rising: bool = False

    def of(self, settings: Iterable[StudiedSetting]) -> list[float]:
        """The levels of some settings, in the order of the factor's index: c, r and s shrink, e grows (Table 1)."""
        return sorted({self.level(setting) for setting in settings}, reverse=not self.rising)


def _resolution(setting: StudiedSetting) -> float:
    return math.inf if setting.proxy.resolution is None else float(setting.proxy.resolution)


def _pixels(level: float) -> str:
    return "native" if math.isinf(level) else f"{level:g}"


FACTORS: Mapping[str, Factor] = {
    factor.letter: factor
    for factor in (
        Factor("c", "channels", "fewer channels", lambda setting: float(setting.proxy.channels), lambda v: f"{v:g}"),
        Factor("r", "resolution", "a lower resolution", _resolution, _pixels),
        Factor("s", "sample ratio", "fewer images", lambda setting: setting.proxy.sample_ratio, lambda v: f"{v:g}"),
        Factor("e", "epochs", "more epochs", lambda setting: float(setting.epochs), lambda v: f"{v:g}", rising=True),
    )
}


def told(levels: Iterable[tuple[str, float]]) -> str:
    """Some factors' levels in words: `s = 1, e = 60`."""
    return ", ".join(f"{letter} = {FACTORS[letter].shown(level)}" for letter, level in levels)


def comparable(study: Study) -> tuple[list[StudiedSetting], int]:
    """Returns the largest group of settings that differ in (c, r, s, e) only, and how many others have a rho.

    Of equally large groups the one with the recommended setting is taken, else the one that comes first.
    """
    known = [setting for setting in study.settings if setting.rho is not None]
    groups: dict[tuple[str, int, str | None], list[StudiedSetting]] = {}
    for setting in known:
        for family in setting.families:
            groups.setdefault((family, setting.proxy.cells, setting.proxy.stem), []).append(setting)
    chosen = max(groups.values(), key=lambda group: (len(group), _has(group, study.recommended)), default=[])
    return chosen, len(known) - len(chosen)


def _has(group: Iterable[StudiedSetting], name: str | None) -> bool:
    return any(setting.name == name for setting in group)


@dataclass(frozen=True, slots=True)
class Plane:
    """Rho over two factors with the others fixed; an entropy belongs to the line on which its factor varies.

    Attributes:
        x: the factor along the columns.
        y: the factor along the rows.
        fixed: the other factors' levels.
        columns: levels of x, in the order of its index.
        rows: levels of y, in the order of its index.
        cells: the setting at (column, row), where there is one.
        along_x: entropy of each row, of rho as x's index grows.
        along_y: entropy of each column, of rho as y's index grows.
    """

    x: str
    y: str
    fixed: tuple[tuple[str, float], ...]
    columns: tuple[float, ...]
    rows: tuple[float, ...]
    cells: Mapping[tuple[float, float], StudiedSetting]
    along_x: Mapping[float, float | None]
    along_y: Mapping[float, float | None]

    def rho(self, column: float, row: float) -> float | None:
        """The rho at a cell; none where the grid has no setting."""
        setting = self.cells.get((column, row))
        return None if setting is None else setting.rho

    @property
    def longest_row(self) -> int:
        """Settings on the longest line along x."""
        return max(sum((x, y) in self.cells for x in self.columns) for y in self.rows)

    @property
    def longest_column(self) -> int:
        """Settings on the longest line along y."""
        return max(sum((x, y) in self.cells for y in self.rows) for x in self.columns)

    @property
    def settings(self) -> list[StudiedSetting]:
        """Its settings, row by row."""
        return [self.cells[x, y] for y in self.rows for x in self.columns if (x, y) in self.cells]


def plane(
    study: Study, settings: Sequence[StudiedSetting], x: str, y: str, *, recommended: bool = False
) -> Plane | None:
    """Returns the plane of two factors that has most settings; none if nowhere both of them vary.

    Of equally full planes it is the one nearest to the original setting, or first the one with the recommended setting
    if that is asked for.
    """
    others = [letter for letter in FACTORS if letter not in (x, y)]
    groups: dict[tuple[float, ...], list[StudiedSetting]] = {}
    for setting in settings:
        groups.setdefault(tuple(FACTORS[letter].level(setting) for letter in others), []).append(setting)
    full = {at: group for at, group in groups.items() if _crossed(group, x, y)}
    if not full:
        return None
    home = [at for at, group in full.items() if recommended and _has(group, study.recommended)]
    at = max(full, key=lambda one: (len(full[one]), one in home, one))
    return _plane(study, full[at], x, y, tuple(zip(others, at, strict=True)))


def _crossed(group: Sequence[StudiedSetting], x: str, y: str) -> bool:
    """Whether somewhere x varies with y fixed, and somewhere y varies with x fixed."""
    rows = Counter(FACTORS[y].level(setting) for setting in group)
    columns = Counter(FACTORS[x].level(setting) for setting in group)
    return max(rows.values()) > 1 and max(columns.values()) > 1


def _plane(
    study: Study, group: Sequence[StudiedSetting], x: str, y: str, fixed: tuple[tuple[str, float], ...]
) -> Plane:
    across, along = FACTORS[x], FACTORS[y]
    columns, rows = across.of(group), along.of(group)
    return Plane(
        x=x,
        y=y,
        fixed=fixed,
        columns=tuple(columns),
        rows=tuple(rows),
        cells={(across.level(setting), along.level(setting)): setting for setting in group},
        along_x={row: _entropy(study, x, [s for s in group if along.level(s) == row]) for row in rows},
        along_y={column: _entropy(study, y, [s for s in group if across.level(s) == column]) for column in columns},
    )


def _entropy(study: Study, letter: str, line: Sequence[StudiedSetting]) -> float | None:
    """The recorded entropy of the settings on a line; none if there are not two of them."""
    names = {setting.name for setting in line}
    return next((one.value for one in study.entropies if one.factor == letter and set(one.settings) == names), None)
