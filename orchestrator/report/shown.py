"""Figures that a search's numbers allow, each with its caption and its numbers, and figures that are left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Shown:
    """A figure that the numbers allow.

    Attributes:
        name: of its files.
        title: what it shows, with its number in the paper if it has one there.
        caption: what there is to see, in words.
        draw: makes the picture; not before it is wanted.
        headings: of its table.
        rows: the numbers that are drawn.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[], Figure]
    headings: Sequence[str]
    rows: Rows


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A figure that the numbers do not allow, and why."""

    title: str
    why: str
