"""A search by reinforcement learning in text: where its samples' rewards came from, and what the knowledge pool gave.

The same words stand at the end of a run, in `coldframe status` and `show`, and in the report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from orchestrator import wording
from orchestrator.views import PoolUse, Samples, SearchView
from orchestrator.views.samples import SOURCES, Source

MEANINGS: Final[Mapping[Source, str]] = {
    "trained": "its own, after a training",
    "trusted": "predicted by the critic",
    "exploited": "its own, from an earlier iteration",
}
_FROM: Final[Mapping[Source, str]] = {
    "trusted": "trusted to the critic",
    "exploited": "exploited again from the experience buffer",
}


def lines(view: SearchView) -> Iterator[str]:
    """Yields where the samples' rewards came from, what the pool gave, and the best reward; nothing without them.

    The first two are among the notes of a search that is finished, and are left to these.
    """
    samples = view.samples
    if samples is not None and not view.finished:
        yield _sources(samples)
    if (view.pool.networks or view.pool.pooled) and not view.finished:
        yield _pool(view.pool)
    if samples is not None and samples.best is not None:
        best = samples.best
        with_accuracy = f", with {wording.accuracy(best.accuracy)}" if best.accuracy is not None else ""
        yield f"best reward: {reward(best.reward)}, sample {best.number:,}{with_accuracy}"


def summary(view: SearchView) -> dict[str, Any]:
    """Returns the same as plain values, for `--json`; no keys for what there is not."""
    samples, use, found = view.samples, view.pool, dict[str, Any]()
    if samples is not None:
        counts = {source: len(samples.of(source)) for source in SOURCES}
        best = samples.best
        found["samples"] = (
            {"all": len(samples.all)}
            | counts
            | {"networks": samples.networks, "best_reward": best.reward if best else None}
        )
    if use.networks or use.pooled:
        names = ("networks", "inheriting", "blocks", "hits", "matches", "pooled", "refused")
        found["pool"] = {name: getattr(use, name) for name in names}
    return found


def reward(value: float | None) -> str:
    """`0.9412`, or a dash where there is none."""
    return "-" if value is None else f"{value:.4f}"


def _sources(samples: Samples) -> str:
    counts = {source: len(samples.of(source)) for source in SOURCES}
    parts = [f"{counts[source]:,} {words}" for source, words in _FROM.items() if counts[source]]
    share = f" ({100 * counts['trained'] / len(samples.all):.1f} %)" if parts else ""
    different = f", {samples.networks:,} different networks" if samples.networks < counts["trained"] else ""
    first = f'{counts["trained"]:,}{share} trained ("activated"{different})'
    return f"samples: {len(samples.all):,}, of which {', '.join([first, *parts])}"


def _pool(use: PoolUse) -> str:
    text = f"knowledge pool: {wording.plural(use.pooled, 'network')} put in"
    if use.blocks:
        text += (
            f"; {wording.plural(use.blocks, 'block')} of {wording.plural(use.networks, 'network')} asked for, "
            f"hit ratio {100 * use.hit_ratio:.1f} %, match ratio {100 * use.match_ratio:.1f} %"
        )
    if use.refused:
        reasons = ", ".join(f"{entries:,} {why}" for why, entries in sorted(use.refused.items()))
        text += f"; entries not compared: {reasons}"
    return text
