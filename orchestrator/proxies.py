"""A proxy study in text: the recommendation, and a row for every setting, alike on the terminal and in the report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator import wording
from store.records.studies import StudiedSetting, Study

if TYPE_CHECKING:
    from rich.table import Table

SHOWN = 10
"""Settings that the end of `coldframe run` lists."""
NUMBERS = ("c", "r", "s", "e", "cells", "rho", "tolerant", "retained", "faster", "nominal", "multiply-adds")
"""Headings of the columns that hold numbers."""


def headings(study: Study) -> list[str]:
    """The headings of the table of settings."""
    retained = f"retained {'/'.join(sorted(study.retained_by_chance, key=int))}".rstrip()
    numbers = ["c", "r", "s", "e", "cells", "rho", "95 % interval", "tolerant", retained, "faster", "nominal"]
    return ["setting", *numbers, "multiply-adds", "label", "served by"]


def row(setting: StudiedSetting) -> list[str]:
    """One setting in text, under `headings`."""
    proxy = setting.proxy
    return [
        setting.name,
        str(proxy.channels),
        "native" if proxy.resolution is None else str(proxy.resolution),
        f"{proxy.sample_ratio:g}",
        str(setting.epochs),
        str(proxy.cells),
        _two(setting.rho),
        "-" if setting.interval is None else "{:.2f} to {:.2f}".format(*setting.interval),
        _two(setting.tolerant),
        _retained(setting) if setting.rho is not None else "-",
        _times(setting.acceleration),
        _times(setting.nominal),
        wording.amount(setting.multiply_adds or None),
        setting.label or "",
        setting.served_by or "",
    ]


def ranked(study: Study) -> list[StudiedSetting]:
    """The settings, largest rho first, then the faster; those without a rho last."""
    return sorted(
        study.settings, key=lambda one: (one.rho is None, -(one.rho or 0.0), -(one.acceleration or 0.0), one.name)
    )


def recommendation(study: Study) -> str:
    """Which setting to use, with its values; or that there is none."""
    chosen = next((setting for setting in study.settings if setting.name == study.recommended), None)
    if chosen is None:
        return f"no setting is recommended{_all_failed(study)}"
    proxy, pixels = chosen.proxy, "native" if chosen.proxy.resolution is None else str(chosen.proxy.resolution)
    return (
        f"recommended: {chosen.name} (channels {proxy.channels}, resolution {pixels}, sample ratio "
        f"{proxy.sample_ratio:g}, cells {proxy.cells}, {wording.plural(chosen.epochs, 'epoch')})"
    )


def lines(study: Study) -> Iterator[str]:
    """Yields what the end of a run says: the recommendation, its reasons, and the settings with the largest rhos."""
    yield recommendation(study)
    yield from (f"  {reason}" for reason in study.why)
    order = ranked(study)
    shown = order[:SHOWN] + [one for one in order[SHOWN:] if one.name == study.recommended]
    yield ""
    yield from columns(headings(study), [row(setting) for setting in shown])
    if len(shown) < len(order):
        yield f"... {len(order)} settings in all: see the report, or `coldframe show`"


def columns(names: list[str], rows: list[list[str]]) -> Iterator[str]:
    """Yields a table's lines, its numbers to the right; columns that are empty are left out."""
    kept = [at for at in range(len(names)) if any(cells[at] for cells in rows)]
    widths = {at: max(len(cells[at]) for cells in [names, *rows]) for at in kept}
    for cells in [names, *rows]:
        aligned = [cells[at].rjust(widths[at]) if is_number(names[at]) else cells[at].ljust(widths[at]) for at in kept]
        yield "  ".join(aligned).rstrip()


def table(study: Study) -> Table:
    """Returns the table of all settings for a terminal, the recommended one in bold; it is plain ASCII."""
    from rich.table import Table

    names, order = headings(study), ranked(study)
    rows = [row(setting) for setting in order]
    kept = [at for at in range(len(names)) if any(cells[at] for cells in rows)]
    made = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for at in kept:
        made.add_column(names[at], justify="right" if is_number(names[at]) else "left", overflow="fold")
    for setting, cells in zip(order, rows, strict=True):
        made.add_row(*(cells[at] for at in kept), style="bold green" if setting.name == study.recommended else None)
    return made


def is_number(heading: str) -> bool:
    """Whether a column of the table holds numbers."""
    return heading.split()[0] in NUMBERS


def _retained(setting: StudiedSetting) -> str:
    return "/".join(str(setting.retained[m]) for m in sorted(setting.retained, key=int)) or "-"


def _all_failed(study: Study) -> str:
    """Where every network failed, if there is nothing to compare for that."""
    if not any(accuracy is not None for setting in study.settings for accuracy in setting.accuracies):
        original = "" if any(accuracy is not None for accuracy in study.reference) else ", and in the original one"
        return f": every network failed in every setting{original}"
    if all(accuracy is None for accuracy in study.reference):
        return f": every network failed in the original setting ({study.reference_name})"
    return ""


def _two(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _times(value: float | None) -> str:
    """An acceleration: `3,240x`, `8.5x`."""
    if value is None:
        return "-"
    return f"{value:,.0f}x" if value >= 10 else f"{value:.1f}x"
