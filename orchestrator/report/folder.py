"""Writes the report's folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from orchestrator.report import page, tables
from orchestrator.report.pictures import Picture, picture, pictures
from orchestrator.report.shown import LeftOut, Shown
from orchestrator.views import History, SearchView, progress, search_view


def write(history: History, search: str, folder: Path, *, alive: bool = True) -> list[Path]:
    """Writes a report of one search, finished or not; files of an earlier report there are replaced.

    Args:
        history: the folded journal.
        search: the search's id.
        folder: where to; made if it is not there.
        alive: whether a process works on the search now.

    Returns:
        The files written, `report.html` first.

    Raises:
        OSError: if a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    view = search_view(history, search, alive=alive)
    steps = progress(history, search)
    drawn = list(pictures(history, view, steps))
    study, files = _study(view, drawn)
    agent, more = _agent(view, drawn)
    files = (
        {
            "report.html": page.page(view, drawn, steps, study, agent),
            "candidates.csv": tables.candidates(view),
            "curves.csv": tables.curves(view),
            "cycles.csv": tables.cycles(view),
            "progress.csv": tables.progress(steps),
            "attempts.csv": tables.attempts(history, view),
            "best.json": tables.best(view),
        }
        | files
        | more
    )
    for name, content in files.items():
        (folder / name).write_bytes(content.encode())
    for one in drawn:
        (folder / f"{one.name}.png").write_bytes(one.png)
    return [folder / name for name in (*files, *(f"{one.name}.png" for one in drawn))]


def _study(view: SearchView, drawn: list[Picture]) -> tuple[list[str], dict[str, str]]:
    """Returns the sections and the files of a proxy study, and adds its pictures."""
    if view.study is None:
        return [], {}
    from orchestrator.report.study import figures, files, section

    found = figures.figures(view.study, view.curves)
    drawn += _drawn(found, "study")
    return section.sections(view.study, found, drawn), dict(files.files(view.study, found))


def _agent(view: SearchView, drawn: list[Picture]) -> tuple[list[str], dict[str, str]]:
    """Returns the sections and the files of a search by reinforcement learning, and adds its pictures."""
    samples = view.samples
    if samples is None:
        return [], {}
    from orchestrator.report.agent import figures, files, section

    found = figures.figures(samples, view.pool, view.spec["strategy"]["options"])
    for name, group in found.items():
        drawn += _drawn(group, name)
    return section.sections(view, samples, found, drawn), dict(files.files(view, samples, found))


def _drawn(found: Iterable[Shown | LeftOut], section: str) -> Iterator[Picture]:
    """Draws the figures that there are."""
    for figure in found:
        if isinstance(figure, Shown):
            caption = f"{figure.title}. {figure.caption} Numbers: {figure.name}.csv."
            words = f"{figure.title}. The caption says what is to be seen."
            yield picture(figure.name, section, words, figure.draw(), caption=caption)
