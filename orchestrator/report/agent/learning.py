"""How the agent learnt: the mean reward and its baseline, and every loss, over the iterations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator.report import style
from orchestrator.report.agent import looks
from orchestrator.report.shown import LeftOut, Shown
from orchestrator.views.samples import Iteration, Samples

TITLE = "How the agent learnt"
COLUMNS = 3


class Series(NamedTuple):
    """A value over the iterations, where it is known."""

    name: str
    points: tuple[tuple[int, float], ...]


def series(iterations: Sequence[Iteration]) -> list[Series]:
    """Returns mean reward, baseline, and the losses that are known in any iteration."""
    losses = {name for one in iterations for name in one.losses}
    return [found for found in _all(iterations, sorted(losses)) if found.points]


def over_iterations(samples: Samples) -> Shown | LeftOut:
    """Mean reward, baseline and losses."""
    found = series(samples.iterations)
    if not any(len(one.points) > 1 for one in found):
        return LeftOut(TITLE, "there are not two iterations yet")
    rows = [[one.name, number, value] for one in found for number, value in one.points]
    return Shown("learning", TITLE, _told(found), lambda: _drawn(found), ("series", "iteration", "value"), rows)


def _all(iterations: Sequence[Iteration], losses: Sequence[str]) -> Iterator[Series]:
    values = {
        "mean reward": [one.mean_reward for one in iterations],
        "baseline": [one.baseline for one in iterations],
    } | {f"loss: {name.replace('_', ' ')}": [one.losses.get(name) for one in iterations] for name in losses}
    for name, line in values.items():
        known = zip(iterations, line, strict=True)
        yield Series(name, tuple((one.number, value) for one, value in known if value is not None))


def _told(found: Sequence[Series]) -> str:
    changes = [
        f"{one.name} from {one.points[0][1]:.3g} to {one.points[-1][1]:.3g}" for one in found if len(one.points) > 1
    ]
    return f"Over the iterations: {'; '.join(changes)}. The baseline is subtracted from the rewards before the update."


def _drawn(found: Sequence[Series]) -> Figure:
    rewards = [one for one in found if not one.name.startswith("loss")]
    losses = [[one] for one in found if one.name.startswith("loss")]
    panels = [group for group in (rewards, *losses) if group]
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = style.figure(3.2 * columns + 0.6, 2.5 * rows + 0.3)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True).flatten().tolist()
    for axes, group in zip(grid, panels, strict=False):
        _panel(axes, group)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    return figure


def _panel(axes: Axes, group: Sequence[Series]) -> None:
    for number, one in enumerate(group):
        places = [at for at, _ in one.points], [value for _, value in one.points]
        dashes = "--" if number else "-"
        axes.plot(*places, color=style.look(number)[0], linestyle=dashes, linewidth=1.4, label=one.name)
    axes.set_title(", ".join(one.name for one in group), fontsize=10, loc="left")
    axes.set_xlabel("iteration")
    axes.tick_params(labelbottom=True)
    looks.counting(axes)
    style.plain(axes)
    if len(group) > 1:
        axes.legend(frameon=False, fontsize=8)
