"""Writes the report's folder."""

from __future__ import annotations

from pathlib import Path

from orchestrator.report import page, tables
from orchestrator.report.pictures import pictures
from orchestrator.views import History, search_view


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
    drawn = list(pictures(history, view))
    files: dict[str, str | bytes] = {
        "report.html": page.page(view, drawn),
        "candidates.csv": tables.candidates(view),
        "curves.csv": tables.curves(view),
        "cycles.csv": tables.cycles(view),
        "attempts.csv": tables.attempts(history, view),
        "best.json": tables.best(view),
    }
    files |= {f"{picture.name}.png": picture.png for picture in drawn}
    for name, content in files.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return [folder / name for name in files]
