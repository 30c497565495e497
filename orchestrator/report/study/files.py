"""A study's numbers as files: every setting, every network, every entropy, what each figure shows, and all as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

from orchestrator.report.shown import LeftOut, Shown
from orchestrator.report.tables import comma_separated
from store.records.studies import StudiedSetting, Study

PLAIN = (
    "rho",
    "rho_equation",
    "standard_error",
    "tolerant",
    "acceleration",
    "nominal",
    "multiply_adds",
    "images",
    "schedule_epochs",
    "label",
    "served_by",
)
"""Columns of settings.csv that are as the record has them."""


def files(study: Study, found: Sequence[Shown | LeftOut]) -> Iterator[tuple[str, str]]:
    """Yields the names of the files and what is in them."""
    yield "settings.csv", _settings(study)
    yield "networks.csv", _networks(study)
    yield "entropies.csv", _entropies(study)
    yield "study.json", study.model_dump_json(indent=2) + "\n"
    for figure in found:
        if isinstance(figure, Shown):
            yield f"{figure.name}.csv", comma_separated(figure.headings, figure.rows)


def _settings(study: Study) -> str:
    among = sorted(study.retained_by_chance, key=int)
    groups = {name: edge for edge, name in study.groups}
    size = ["setting", "channels", "resolution", "sample_ratio", "epochs", "cells", "stem"]
    more = ["low", "high", "mean_gap", "networks", *(f"retained_among_{m}" for m in among)]
    rows = (
        [
            *_size(setting),
            *(getattr(setting, name) for name in PLAIN),
            *(setting.interval or (None, None)),
            _mean(setting.gaps),
            sum(None not in pair for pair in zip(study.reference, setting.accuracies, strict=True)),
            *(setting.retained.get(m) for m in among),
            " ".join(setting.families),
            groups.get(setting.name),
            setting.name == study.recommended,
        ]
        for setting in study.settings
    )
    return comma_separated([*size, *PLAIN, *more, "families", "best_of_group_from", "recommended"], rows)


def _size(setting: StudiedSetting) -> list[Any]:
    proxy = setting.proxy
    return [
        setting.name,
        proxy.channels,
        proxy.resolution,
        proxy.sample_ratio,
        setting.epochs,
        proxy.cells,
        proxy.stem or "cifar",
    ]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _networks(study: Study) -> str:
    """A row for each network: its accuracy in the original setting and in every reduced one."""
    columns = [study.reference, *(setting.accuracies for setting in study.settings)]
    rows = (
        [index, notation, *(column[index] for column in columns)] for index, notation in enumerate(study.candidates)
    )
    return comma_separated(["network", "notation", study.reference_name, *(one.name for one in study.settings)], rows)


def _entropies(study: Study) -> str:
    rows = ([one.factor, one.fixed, one.family, one.value, " ".join(one.settings)] for one in study.entropies)
    return comma_separated(["factor", "fixed", "family", "entropy", "settings"], rows)
