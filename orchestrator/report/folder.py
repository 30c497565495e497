"""Writes the report's folder."""

from __future__ import annotations

from pathlib import Path

from orchestrator.report import page, tables
from orchestrator.report.pictures import Picture, picture, pictures
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
    sections, files = _study(view, drawn)
    files = {
        "report.html": page.page(view, drawn, steps, sections),
        "candidates.csv": tables.candidates(view),
        "curves.csv": tables.curves(view),
        "cycles.csv": tables.cycles(view),
        "progress.csv": tables.progress(steps),
        "attempts.csv": tables.attempts(history, view),
        "best.json": tables.best(view),
    } | files
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
    shown = [figure for figure in found if isinstance(figure, figures.Shown)]
    for figure in shown:
        caption = f"{figure.title}. {figure.caption} Numbers: {figure.name}.csv."
        words = f"{figure.title}. The caption says what is to be seen."
        drawn.append(picture(figure.name, "study", words, figure.draw(), caption=caption))
    return section.sections(view.study, found, drawn), dict(files.files(view.study, found))
