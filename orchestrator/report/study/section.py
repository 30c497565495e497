"""A study on the report's page: which setting to use and why, every setting, the figures, and what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from orchestrator import proxies
from orchestrator.report import markup
from orchestrator.report.pictures import Picture
from orchestrator.report.shown import LeftOut, Shown
from store.records.studies import Study


def sections(study: Study, found: Sequence[Shown | LeftOut], pictures: Sequence[Picture]) -> list[str]:
    """Returns the sections, in the order in which they are read."""
    missing = [f"{figure.title}: {figure.why}." for figure in found if isinstance(figure, LeftOut)]
    left_out = markup.quiet("Left out: ") + markup.bullets(missing) if missing else ""
    return [
        markup.section("Recommendation", _recommendation(study)),
        markup.section("Settings", _settings(study)),
        markup.section("Rank consistency", markup.figures(pictures, "study"), left_out),
    ]


def _recommendation(study: Study) -> str:
    first = proxies.recommendation(study)
    about = (
        f"{len(study.networks)} networks, compared with their accuracies in the original setting "
        f"({study.reference_name}). rho is Spearman's coefficient of the two orders: 1 if they are the same, 0 if they "
        "have nothing to do with each other."
    )
    parts = [f"<p><strong>{escape(first[0].upper() + first[1:])}.</strong></p>", markup.bullets(study.why)]
    chosen = next((setting for setting in study.settings if setting.name == study.recommended), None)
    if chosen is not None:
        values = chosen.proxy.model_dump(exclude_none=True)
        toml = "\n".join(f"{name} = {_toml(value)}" for name, value in values.items())
        parts.append(f"<pre>[proxy]  # and train for {chosen.epochs} epochs\n{escape(toml)}</pre>")
    return "".join([markup.quiet(about), *parts])


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _settings(study: Study) -> str:
    names = proxies.headings(study)
    numbers = {at for at, name in enumerate(names) if proxies.is_number(name)}
    order = proxies.ranked(study)
    best = [at for at, setting in enumerate(order) if setting.name == study.recommended]
    about = (
        "Largest rho first; the recommended one is marked. Retained: how many of the original setting's "
        f"{study.good} best networks are among so many best of this one. Faster: multiply-adds x images x epochs of "
        "the original setting over this one's, measured; nominal: by Table 1 of EcoNAS. Served by: the setting whose "
        "training gave these accuracies too. More in settings.csv, the networks in networks.csv."
    )
    rows = [proxies.row(setting) for setting in order]
    return markup.quiet(about) + markup.table(names, rows, numbers=numbers, marked=best, label="All settings")
