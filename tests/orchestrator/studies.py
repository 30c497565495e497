"""Synthetic proxy studies: accuracies from a made-up noise model, every statistic computed from them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any

import numpy as np

from store.records.candidates import Architecture, Proxy
from store.records.studies import RetainedBin, StudiedSetting, Study
from strategies.proxy_study import statistics
from strategies.proxy_study.study import entropies, groups
from tests.orchestrator.telling import SPACE, Teller

CHANNELS, RESOLUTIONS, RATIOS = (36, 24, 18, 12, 8), (32, 24, 16, 12, 8), (1.0, 0.5, 0.25, 0.125)
IMAGES = 45_000
At = tuple[int, int, int, int]


def full_study() -> Study:
    """As in the paper: 50 networks, 5 x 5 x 2 x 4 settings."""
    grid = product(range(5), range(5), range(2), (30, 60, 90, 120))
    return study(grid, networks=50, recommended="c4r4s0e60")


def sparse_study() -> Study:
    """24 networks and 13 settings, one of which shares a training, and one is beside the grid."""
    grid: list[At] = [(c, r, 0, e) for c, r in ((0, 1), (2, 1), (2, 3), (4, 3)) for e in (30, 60)]
    grid += [(4, 3, 1, 60), (4, 3, 1, 120), (4, 1, 0, 60)]
    whole = study(grid, networks=24, recommended="c4r3s0e60")
    cut = setting((4, 3, 0, 30), 24, schedule_epochs=60, label="cut off", served_by="c4r3s0e60", suffix="of60")
    shallow = setting((0, 0, 0, 20), 24, label="NASNet", suffix="-NASNet")
    beside = shallow.model_copy(update={"families": (), "proxy": shallow.proxy.model_copy(update={"cells": 8})})
    return whole.model_copy(update={"settings": (*whole.settings, cut, beside)})


def study(grid: Iterable[At], networks: int, recommended: str) -> Study:
    """A study over a grid of (c, r, s, e), the first three by their index in Table 1."""
    settings = tuple(setting(at, networks) for at in grid)
    sizes = statistics.Sizes.of(networks)
    bins = statistics.means_by_bin([s.rho or 0.0 for s in settings], [s.retained for s in settings])
    agreement = statistics.pearson([s.rho or 0.0 for s in settings], [s.tolerant or 0.0 for s in settings])
    return Study(
        networks=tuple(Architecture(space=SPACE.name, genes=(index,)) for index in range(networks)),
        candidates=tuple(f"network {index}" for index in range(networks)),
        reference=tuple(original(networks).tolist()),
        reference_name="c0r0s0e600",
        reference_cost=5e8 * IMAGES * 600,
        settings=settings,
        entropies=tuple(entropies(settings)),
        good=sizes.good,
        retained_by_chance={str(m): statistics.retained_by_chance(networks, sizes.good, m) for m in sizes.among},
        bins=tuple(RetainedBin(lower=one.lower, settings=one.settings, retained=one.means) for one in bins),
        tolerant_agreement=agreement,
        groups=tuple(groups(settings)),
        recommended=recommended,
        why=(f"Use {recommended}: made up for a test.", "It is the best of its group."),
    )


def original(networks: int) -> Any:
    return np.round(0.9 + 0.05 * np.sort(np.random.default_rng(0).beta(4, 2, networks)), 4)


def setting(
    at: At,
    networks: int,
    *,
    schedule_epochs: int | None = None,
    label: str | None = None,
    served_by: str | None = None,
    suffix: str = "",
) -> StudiedSetting:
    """One setting: noisier with more channels, fewer pixels, fewer images and fewer epochs."""
    c, r, s, e = at
    generator = np.random.default_rng([*at, networks, schedule_epochs or 0])
    noise = 0.006 * (1 + 0.25 * (4 - c)) * (1 + 0.15 * r) * (1 + 0.4 * s) * (60 / e) ** 0.4
    accuracies = np.round(original(networks) - 0.05 * s - 0.02 * r + generator.normal(0, noise, networks), 4)
    pair = statistics.paired(original(networks).tolist(), accuracies.tolist())
    cost = 5e8 * (CHANNELS[c] / 36) ** 2 * (RESOLUTIONS[r] / 32) ** 2
    images = round(IMAGES * RATIOS[s])
    sizes = statistics.Sizes.of(networks)
    return StudiedSetting(
        name=f"c{c}r{r}s{s}e{e}{suffix}",
        families=("own",) if schedule_epochs is None else ("shared",),
        proxy=Proxy(channels=CHANNELS[c], resolution=RESOLUTIONS[r], sample_ratio=RATIOS[s]),
        epochs=e,
        schedule_epochs=schedule_epochs or e,
        label=label,
        served_by=served_by,
        accuracies=tuple(accuracies.tolist()),
        gaps=tuple((np.abs(generator.normal(0.02 * (5 - c) * (1 + s), 0.01, networks))).tolist()),
        multiply_adds=cost,
        images=images,
        acceleration=5e8 * IMAGES * 600 / (cost * images * e),
        nominal=2 ** (c + r + s) * 600 / e,
        rho=statistics.spearman(pair),
        rho_equation=statistics.equation_1(pair),
        interval=statistics.interval(statistics.resampled(pair, (1,), 60)),
        tolerant=statistics.tolerant(pair),
        retained={str(m): statistics.retained(pair, sizes.good, m) for m in sizes.among},
    )


def told(study: Study) -> Teller:
    """A finished search whose result is a study."""
    teller = Teller()
    teller.open("proxies")
    teller.train(1, 2)
    people = [teller.individual(0, 1, 2), teller.individual(1, 2, 2)]
    counts = list(range(3, len(study.networks) + 1))
    curves = {"networks": counts, "rho_recommended": [0.5 + 0.3 * count / len(counts) / 2 for count in counts]}
    teller.finish(people, curves, study=study)
    return teller
