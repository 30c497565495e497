"""What there is to see in each figure, in words: every number and every direction is computed from the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from orchestrator.report.study.grid import FACTORS, Plane, told
from orchestrator.report.study.numbers import Gap, Mean, Means, Point, Ranks
from store.records.studies import Study
from strategies.proxy_study import statistics

CLEAR = 0.5
"""Below this an entropy tells of no apparent trend (EcoNAS 3.3)."""
CONSISTENT, FAST = 0.8, 10.0


def ranks(low: Ranks, high: Ranks) -> str:
    """Fig. 3."""
    return (
        f"Ranks of {len(low.networks)} networks in the original setting and in two reduced ones; 1 is the best, and on "
        f"the dashed line a network keeps its rank. Left {low.setting.name}, which has the smallest rho, "
        f"{low.setting.rho:.2f}: a rank moves by {low.moved:.1f} places on average. Right {high.setting.name}, "
        f"the largest, {high.setting.rho:.2f}: by {high.moved:.1f} places."
    )


def means(found: Means) -> str:
    """Fig. 4."""
    thin = " Thin lines: single settings." if any(map(found.even, found.ratios)) else ""
    lines = [_line(found, ratio) for ratio in found.ratios if len(found.line(ratio)) > 1]
    sentences = [f"Mean rho of the settings that share s and e, by epochs.{thin}", *lines, _same_iterations(found)]
    return " ".join(filter(None, sentences))


def _line(found: Means, ratio: float) -> str:
    first, last = found.line(ratio)[0], found.line(ratio)[-1]
    behind = "of other (c, r) at each point, so compare with care,"
    if found.even(ratio):
        behind = f"of {_count(len(found.members[ratio]), 'choice')} of (c, r)"
    return (
        f"With s = {ratio:g} the mean {behind} goes from {first.mean:.2f} at {first.epochs:g} epochs to "
        f"{last.mean:.2f} at {last.epochs:g}{_largest_step(found.line(ratio))}."
    )


def _largest_step(line: Sequence[Mean]) -> str:
    if len(line) < 3:
        return ""
    before, after = max(pairwise(line), key=lambda pair: pair[1].mean - pair[0].mean)
    return f", the largest step being {after.mean - before.mean:+.2f} from {before.epochs:g} to {after.epochs:g}"


def _same_iterations(found: Means) -> str:
    pairs = found.same_iterations
    if not pairs:
        return ""
    better = sum(more > fewer for more, fewer in pairs)
    return (
        f"Of {_count(len(pairs), 'pair')} of settings with the same number of iterations, the one with more images and "
        f"fewer epochs has the higher rho in {better}."
    )


def plane(shown: Plane) -> str:
    """Figs. 5 and 6, one plane."""
    settings = shown.settings
    best = max(settings, key=lambda setting: setting.rho or 0.0)
    worst = min(settings, key=lambda setting: setting.rho or 0.0)
    return (
        f"Rho of {len(settings)} settings with {told(shown.fixed)}, from {worst.rho:.2f} ({worst.name}) to "
        f"{best.rho:.2f} ({best.name}). {_trend(shown.x, shown.along_x, shown.longest_row)} "
        f"{_trend(shown.y, shown.along_y, shown.longest_column)}"
    )


def _trend(letter: str, entropies: Mapping[float, float | None], longest: int) -> str:
    """Whether rho rises or falls along a factor, by the entropies of the lines on which it varies."""
    known = [value for value in entropies.values() if value is not None]
    if not known:
        return f"No entropy is known along {letter}."
    rising, falling = sum(value >= CLEAR for value in known), sum(value <= -CLEAR for value in known)
    span = f"{min(known):.2f}" if min(known) == max(known) else f"{min(known):.2f} to {max(known):.2f}"
    note = (
        "of two settings, which cannot give but 1 or -1" if longest == 2 else f"under {CLEAR:g} either way is no trend"
    )
    return (
        f"With {FACTORS[letter].fewer} rho rises in {rising} and falls in {falling} of {_count(len(known), 'line')} "
        f"(entropy along {letter} {span}; {note})."
    )


def gaps(found: Sequence[Gap]) -> str:
    """Fig. 7."""
    text = (
        f"How far each of {len(found)} settings overfits (accuracy of the training less that of the validation images "
        "in the last epoch, mean over the networks, in percentage points) and its rho."
    )
    relation = statistics.spearman(statistics.paired([gap.points for gap in found], [gap.rho for gap in found]))
    if relation is not None:
        text += f" Spearman's coefficient of the two is {relation:.2f}: {_relation(relation)}."
    levels = FACTORS["c"].of(gap.setting for gap in found)
    if len(levels) > 1:
        most, least = (
            sum(values) / len(values)
            for values in (
                [gap.points for gap in found if gap.setting.proxy.channels == c] for c in levels[:: len(levels) - 1]
            )
        )
        text += f" The mean gap is {most:.1f} points with {levels[0]:g} channels and {least:.1f} with {levels[-1]:g}."
    return text


def _relation(value: float) -> str:
    if abs(value) < CLEAR:
        return "no clear relation in these settings"
    return f"settings that overfit more keep the ranks {'worse' if value < 0 else 'better'}"


def consistency(study: Study, found: Sequence[Point], *, tolerant: bool) -> str:
    """Figs. 8 and A3."""
    name = "tolerant rho" if tolerant else "rho"
    best = max(found, key=lambda point: point.value)
    text = (
        f"How many times less each of {len(found)} settings costs than the original one (multiply-adds x images x "
        f"epochs, logarithmic), and its {name}. The largest {name} is {best.value:.2f} ({best.setting.name}, "
        f"{times(best.acceleration)})."
    )
    chosen = [point for point in found if point.setting.name == study.recommended]
    if any(point.setting.name in {name for _, name in study.groups} for point in found if point not in chosen):
        text += " Squares (orange): of each group of acceleration, between dotted lines, the setting with the best rho."
    if chosen:
        value = f"{chosen[0].value:.2f} at {times(chosen[0].acceleration)}"
        text += f" Star (green): {study.recommended}, the recommended setting, {name} {value}."
    beside = [f"{point.setting.name} {point.value:.2f}" for point in found if not point.setting.families]
    text += f" Beside the grid (diamonds): {', '.join(beside)}." if beside else ""
    good = sum(point.value >= CONSISTENT and point.acceleration >= FAST for point in found)
    text += f" With {CONSISTENT:g} or more and an acceleration of {FAST:g} or more there {_are(good, 'setting')}."
    return text + (_agreement(study, found) if tolerant else _intervals(found))


def _intervals(found: Sequence[Point]) -> str:
    widths = [point.interval[1] - point.interval[0] for point in found if point.interval is not None]
    if not widths:
        return ""
    mean = sum(widths) / len(widths)
    return f" Thin bars: 95 % bootstrap intervals over the networks, {mean:.2f} wide on average."


def _agreement(study: Study, found: Sequence[Point]) -> str:
    """How far tolerance changes the picture: the correlation of both rhos, and the best of each group by either."""
    text = (
        f" Tolerant: two networks within {100 * study.tolerance:g} percentage points of each other in both settings "
        "make no rank difference."
    )
    if study.tolerant_agreement is not None:
        text += f" Over the settings the two rhos have a Pearson correlation of {study.tolerant_agreement:.2f}."
    edges = sorted(edge for edge, _ in study.groups)
    if not edges:  # where all networks are equally good there is a tolerant rho, but no rho
        return text
    bounds = zip(edges, [*edges[1:], float("inf")], strict=True)
    groups = [[point for point in found if low <= point.acceleration < high] for low, high in bounds]
    best = {max(group, key=lambda point: point.value).setting.name for group in groups if group}
    same = len(best & {name for _, name in study.groups})
    return text + f" In {same} of {_count(len(edges), 'group')} the best setting is the same by both."


def retained(study: Study) -> str:
    """Fig. 9."""
    chance = {m: study.retained_by_chance[m] for m in sorted(study.retained_by_chance, key=int)}
    among = " and ".join(chance)
    text = (
        f"Of the {study.good} best networks of the original setting, how many are among the {among} best of a reduced "
        f"one: the mean over the settings whose rho lies in the bin. A random order of {len(study.networks)} networks "
        f"keeps {' and '.join(f'{value:.1f}' for value in chance.values())} (dashed)."
    )
    first, last = study.bins[0], study.bins[-1]
    if first is not last:
        for m in chance:
            text += f" Among {m}: {first.retained[m]:.1f} in the lowest bin, {last.retained[m]:.1f} in the highest."
    return text


def settled(counts: Sequence[float], rhos: Sequence[float | None], name: str | None) -> str:
    """How the recommended setting's rho went as networks were added."""
    known = [(count, rho) for count, rho in zip(counts, rhos, strict=True) if rho is not None]
    half = [rho for count, rho in known if count >= counts[-1] / 2]
    return (
        f"Rho of {name} over the first 3, 4, 5, ... networks. Over the second half of them it lay between "
        f"{min(half):.2f} and {max(half):.2f}, and ended at {known[-1][1]:.2f}."
    )


def times(acceleration: float) -> str:
    """`2,400 times` or `8.5 times`."""
    return f"{acceleration:,.0f} times" if acceleration >= FAST else f"{acceleration:.1f} times"


def beside(count: int) -> str:
    """How many settings have a rho, but differ from the others of a grid in more than c, r, s and e."""
    return f" Left out: {_count(count, 'setting')} of another depth, recipe or cosine." if count else ""


def _are(number: int, word: str) -> str:
    return f"{'is' if number == 1 else 'are'} {_count(number, word) if number else f'no {word}s'}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
