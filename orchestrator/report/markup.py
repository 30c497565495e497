"""Pieces of the report's page: figures, tables, sections. All text that is given is escaped."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from html import escape

from orchestrator.report.pictures import Picture

HEADING = 'th scope="col"'


def figures(pictures: Sequence[Picture], section: str) -> str:
    """The pictures of a section, each with its caption below."""
    return "".join(
        f'<figure><img src="{picture.source}" alt="{escape(picture.alternative)}">'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>\n"
        for picture in pictures
        if picture.section == section
    )


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Container[int] = (),
    marked: Container[int] = (),
    label: str = "",
) -> str:
    """A table.

    Args:
        headings: of its columns.
        rows: its cells.
        numbers: columns that hold numbers.
        marked: rows that stand out.
        label: what it is, if it is long: then it scrolls by itself, also by keyboard.
    """
    body = "".join(
        f"<tr{_mark('marked', index in marked)}>{_cells('td', row, numbers)}</tr>\n" for index, row in enumerate(rows)
    )
    scrolls = (
        f' class="wide tall" tabindex="0" role="region" aria-label="{escape(label)}"' if label else ' class="wide"'
    )
    head = f"<tr>{_cells(HEADING, headings, numbers)}</tr>\n"
    return f"<div{scrolls}><table>\n<thead>{head}</thead>\n<tbody>{body}</tbody></table></div>\n"


def _cells(tag: str, cells: Sequence[str], numbers: Container[int]) -> str:
    end = tag.split()[0]
    return "".join(
        f"<{tag}{_mark('number', column in numbers)}>{escape(cell)}</{end}>" for column, cell in enumerate(cells)
    )


def _mark(name: str, marked: bool) -> str:
    return f' class="{name}"' if marked else ""


def bullets(lines: Iterable[str]) -> str:
    """A list."""
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>\n"


def section(title: str, *parts: str) -> str:
    """A section under its heading."""
    return f"<h2>{escape(title)}</h2>\n{''.join(parts)}\n"


def quiet(text: str) -> str:
    """A paragraph in grey."""
    return f'<p class="quiet">{escape(text)}</p>'
