"""A search by reinforcement learning on the report's page: what its rewards cost, its figures, and what is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator import sampling
from orchestrator.report import markup
from orchestrator.report.agent import rewards
from orchestrator.report.agent.figures import REWARDS, SECTIONS
from orchestrator.report.pictures import Picture
from orchestrator.report.shown import LeftOut, Shown
from orchestrator.views import Samples, SearchView


def sections(
    view: SearchView, samples: Samples, found: Mapping[str, Sequence[Shown | LeftOut]], pictures: Sequence[Picture]
) -> list[str]:
    """Returns the sections, in the order in which they are read; a section without any figure says why."""
    made = []
    for name, title in SECTIONS.items():
        first = _sources(view, samples) if name == REWARDS else ""
        missing = [f"{one.title}: {one.why}." for one in found[name] if isinstance(one, LeftOut)]
        left_out = markup.quiet("Left out: ") + markup.bullets(missing) if missing else ""
        made.append(markup.section(title, first, markup.figures(pictures, name), left_out))
    return made


def _sources(view: SearchView, samples: Samples) -> str:
    """The samples by source, in words and in a table."""
    rows = [
        [
            one.source,
            sampling.MEANINGS[one.source],
            f"{one.samples:,}",
            f"{100 * one.share:.1f} %",
            sampling.reward(one.mean),
            sampling.reward(one.best),
        ]
        for one in rewards.origins(samples)
    ]
    headings = ["source", "its reward", "samples", "share", "mean reward", "best reward"]
    about = "Every sample is in samples.csv, every iteration in iterations.csv."
    lines = markup.bullets(sampling.lines(view))
    return lines + markup.table(headings, rows, numbers=range(2, 6)) + markup.quiet(about)
