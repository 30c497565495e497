"""What a reader of the result should know, in words: where rewards came from, what failed, how fair the pool was."""

from __future__ import annotations

from collections.abc import Iterator

from strategies.fnas.ledger import Ledger
from strategies.fnas.networks import WARM_UP, Networks
from strategies.fnas.options import FNASOptions
from strategies.pool import Pool


def notes(options: FNASOptions, networks: Networks, ledger: Ledger, pool: Pool | None) -> tuple[str, ...]:
    """Returns all notes on a search that has ended."""
    found = [*_samples(options, networks, ledger), *_failures(options, networks)]
    if pool is not None:
        found += _pool(options, pool)
    return (*found, *_target(options, networks))


def _samples(options: FNASOptions, networks: Networks, ledger: Ledger) -> Iterator[str]:
    sources, different = ledger.sources, len(ledger.networks)
    yield (
        f'samples: {len(ledger)}, of which {sources["trained"]} trained ("activated": {different} different networks; '
        f"one that is drawn again is not trained again), {sources['trusted']} trusted, {sources['exploited']} exploited"
    )
    if len(ledger) > options.samples:
        yield f"batches are whole: {len(ledger)} samples for the {options.samples} that were asked for"
    if warm := sum(one.origin == WARM_UP for one in networks.history):
        yield (
            f"{warm} random networks were trained first, to fill the knowledge pool; they are no samples, and as they "
            "started from random weights they are not compared with those"
        )


def _failures(options: FNASOptions, networks: Networks) -> Iterator[str]:
    failed = [index for index, _ in enumerate(networks.history) if networks.reward(index) is None]
    if failed:
        why = networks.history[failed[0]].failure or "it has no finite reward"
        yield (
            f"networks without a reward: {len(failed)}; the agent was told {options.failed_reward:g} for them, the "
            f"critic and the buffer nothing. The first: {why}"
        )


def _pool(options: FNASOptions, pool: Pool) -> Iterator[str]:
    yield from pool.remarks()
    if pool.unreadable:
        yield f"networks of which an inherited block could not be read, and which began again: {pool.unreadable}"
    yield f"networks that entered the pool: {pool.entered}, of generations up to {options.generations}"
    if options.generations:
        yield "networks that inherited blocks entered the pool too: blocks of later generations had more training"


def _target(options: FNASOptions, networks: Networks) -> Iterator[str]:
    rows = zip(networks.history, networks.costs, strict=True)
    costs = [cost for one, cost in rows if cost is not None and one.failure is None]
    if options.target is not None and costs and min(costs) > options.target:
        unit = "ms" if options.cost == "latency" else "multiply-adds"
        yield f"no network met the target of {options.target:g} {unit}: the nearest takes {min(costs):g}"
