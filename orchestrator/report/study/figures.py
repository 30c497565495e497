"""The figures of a study: which its grid allows, each with its caption and its numbers, and why others are left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.report.shown import LeftOut, Rows, Shown
from orchestrator.report.study import bars, captions, numbers, planes, scatters
from orchestrator.report.study.grid import FACTORS, Plane, comparable, plane
from store.records.studies import StudiedSetting, Study


def figures(study: Study, curves: Mapping[str, Any]) -> list[Shown | LeftOut]:
    """Returns every figure of EcoNAS section 3 for this study, in the paper's order, then how rho settled.

    Args:
        study: what was measured.
        curves: the strategy's own, of which `rho_recommended` over `networks` is drawn.
    """
    group, others = comparable(study)
    found: list[Shown | LeftOut] = [
        _ranks(study),
        _means(group, others),
        _planes(study, group, others, 5, (("c", "r"),)),
        _planes(study, group, others, 6, (("c", "e"), ("r", "e"))),
        _gaps(study),
        _consistency(study, tolerant=False),
        _retained(study),
        _consistency(study, tolerant=True),
    ]
    return found + _settled(study, curves)


def _ranks(study: Study) -> Shown | LeftOut:
    title = "Fig. 3: ranks in a reduced setting against the original one"
    found = numbers.extremes(study)
    if found is None:
        return LeftOut(title, "there are not two settings with different rhos")
    rows = [
        [shown.setting.name, network, study.candidates[network], original, reduced]
        for shown in found
        for network, original, reduced in zip(shown.networks, shown.original, shown.reduced, strict=True)
    ]
    headings = ("setting", "network", "notation", "original_rank", "reduced_rank")
    return Shown("figure-3", title, captions.ranks(*found), lambda: scatters.ranks(*found), headings, rows)


def _means(group: Sequence[StudiedSetting], others: int) -> Shown | LeftOut:
    title = "Fig. 4: sample ratio and epochs"
    found = numbers.means(group)
    if found is None:
        return LeftOut(title, _unvaried(group, "e"))
    rows = [
        [mean.ratio, mean.epochs, mean.mean, len(mean.rhos), min(mean.rhos), max(mean.rhos)] for mean in found.means
    ]
    caption = captions.means(found) + captions.beside(others)
    headings = ("sample_ratio", "epochs", "mean_rho", "settings", "smallest_rho", "largest_rho")
    return Shown("figure-4", title, caption, lambda: bars.means(found), headings, rows)


def _planes(
    study: Study, group: Sequence[StudiedSetting], others: int, number: int, pairs: Sequence[tuple[str, str]]
) -> Shown | LeftOut:
    names = [" and ".join(FACTORS[letter].name for letter in pair) for pair in pairs]
    title = f"Fig. {number}: {'; '.join(names)}"
    found = [plane(study, group, x, y, recommended=number == 5) for x, y in pairs]
    missing = [
        f"{f'{name}: ' if len(pairs) > 1 else ''}{_unvaried(group, *pair)}"
        for name, pair, one in zip(names, pairs, found, strict=True)
        if one is None
    ]
    shown = [one for one in found if one is not None]
    if not shown:
        return LeftOut(title, "; ".join(missing))
    caption = " ".join(captions.plane(one) for one in shown)
    caption += f" Not drawn: {'; '.join(missing)}." if missing else ""
    caption += captions.beside(others)
    rows = [row for one in shown for row in _cells(one)]
    headings = ("setting", "channels", "resolution", "sample_ratio", "epochs", "rho", "entropy_of", "row", "column")
    return Shown(f"figure-{number}", title, caption, lambda: planes.drawn(shown), headings, rows)


def _cells(shown: Plane) -> Rows:
    """Each setting of a plane, with the entropies of its row (along x) and of its column (along y)."""
    rows = []
    for (x, y), setting in shown.cells.items():
        along = f"{shown.x} in its row; {shown.y} in its column"
        proxy = setting.proxy
        at = [setting.name, proxy.channels, proxy.resolution, proxy.sample_ratio, setting.epochs, setting.rho]
        rows.append([*at, along, shown.along_x[y], shown.along_y[x]])
    return rows


def _unvaried(group: Sequence[StudiedSetting], *letters: str) -> str:
    """Why there is nothing to compare along some factors."""
    if not group:
        return "no setting of a grid has a rho"
    single = [letter for letter in letters if len(FACTORS[letter].of(group)) < 2]
    if single:
        at = ", ".join(f"{letter} = {FACTORS[letter].shown(FACTORS[letter].of(group)[0])}" for letter in single)
        names = " and ".join(FACTORS[letter].name for letter in single)
        return f"the grid did not vary the {names} (all settings have {at})"
    return f"nowhere do {' and '.join(letters)} both vary with the other factors fixed"


def _gaps(study: Study) -> Shown | LeftOut:
    title = "Fig. 7: overfitting"
    found = numbers.gaps(study)
    if len(found) < 2:
        known = sum(setting.rho is not None for setting in study.settings)
        unsaid = "the trainings do not say how far training and validation accuracy lie apart"
        return LeftOut(title, unsaid if known > 1 else "there are not two settings with a rho")
    rows = [[gap.setting.name, gap.setting.proxy.channels, gap.points, gap.rho] for gap in found]
    headings = ("setting", "channels", "gap_percentage_points", "rho")
    return Shown("figure-7", title, captions.gaps(found), lambda: scatters.gaps(found), headings, rows)


def _consistency(study: Study, *, tolerant: bool) -> Shown | LeftOut:
    number, name = ("A3", "tolerant rho") if tolerant else ("8", "rho")
    title = f"Fig. {number}: {name} against acceleration"
    found = numbers.points(study, tolerant=tolerant)
    if not found:
        known = [setting.tolerant if tolerant else setting.rho for setting in study.settings]
        unknown = "the cost of the original setting or of the reduced ones is unknown"
        return LeftOut(title, f"no setting has a {name}" if not any(one is not None for one in known) else unknown)
    best = {setting: edge for edge, setting in study.groups}
    rows = [
        [
            point.setting.name,
            point.acceleration,
            point.value,
            *(point.interval or (None, None)),
            best.get(point.setting.name),
            point.setting.name == study.recommended,
        ]
        for point in found
    ]
    headings = ("setting", "acceleration", name.replace(" ", "_"), "low", "high", "best_of_group_from", "recommended")
    caption = captions.consistency(study, found, tolerant=tolerant)
    return Shown(
        f"figure-{number.lower()}",
        title,
        caption,
        lambda: scatters.consistency(study, found, tolerant=tolerant),
        headings,
        rows,
    )


def _retained(study: Study) -> Shown | LeftOut:
    title = "Fig. 9: good models retained"
    if not study.bins:
        return LeftOut(title, "no setting has a rho")
    among = sorted(study.retained_by_chance, key=int)
    rows: list[list[Any]] = [[one.lower, one.settings, *(one.retained[m] for m in among)] for one in study.bins]
    rows.append(["random order", None, *(study.retained_by_chance[m] for m in among)])
    headings = ("rho_from", "settings", *(f"retained_among_{m}" for m in among))
    return Shown("figure-9", title, captions.retained(study), lambda: bars.retained(study), headings, rows)


def _settled(study: Study, curves: Mapping[str, Any]) -> list[Shown | LeftOut]:
    counts, rhos = curves.get("networks", ()), curves.get("rho_recommended", ())
    if len(counts) < 2 or len(counts) != len(rhos) or not any(rho is not None for rho in rhos[len(rhos) // 2 :]):
        return []
    name = study.recommended
    caption = captions.settled(counts, rhos, name)
    rows = list(zip(counts, rhos, strict=True))
    title = "How the recommended setting's rho settled"
    return [Shown("settled", title, caption, lambda: bars.settled(counts, rhos, name), ("networks", "rho"), rows)]
