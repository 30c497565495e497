"""How the figures of samples look: a colour and a mark for where a reward came from, and axes that count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from orchestrator.report import style
from orchestrator.views.samples import Source

COLOURS: Final[Mapping[Source, str]] = {"trained": style.BLUE, "trusted": style.ORANGE, "exploited": style.PURPLE}
MARKERS: Final[Mapping[Source, str]] = {"trained": "o", "trusted": "^", "exploited": "x"}
HATCHES: Final[Mapping[Source, str]] = {"trained": "", "trusted": "//", "exploited": ".."}
MANY_POINTS = 3000
"""From so many points on they are pixels in the SVG too, so that the page stays small."""


def counting(axes: Axes) -> None:
    """Puts whole numbers below the horizontal axis."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
