"""`coldframe pool`: what the knowledge pool holds, and making it smaller."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.commands.common import (
    JsonOption,
    StoreOption,
    guarded,
    print_json,
    print_table,
    reading,
    refuse_held,
)

if TYPE_CHECKING:
    from orchestrator.pooled import Contributed
    from store.pool_statistics import Evicted, PoolStatistics

HEADINGS = ["search", "name", "space", "images", "steps", "networks", "by generation", "blocks"]


@guarded
def pool(
    store: StoreOption,
    evict: Annotated[
        int | None,
        typer.Option(min=0, help="Take the least useful blocks out, until so many bytes are left.", metavar="BYTES"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what the knowledge pool holds: trained blocks that new networks may start from.

    With --evict it is made smaller. Only `coldframe gc` then removes from the disk what nothing else needs.
    """
    from orchestrator.pooled import contributed
    from orchestrator.pooling import StorePool

    taken = None if evict is None else _evict(store, evict)
    with reading(store) as found:
        statistics = StorePool(found.store, read_only=True).statistics()
        searches = contributed(found.history, found.store.journal)
    if as_json:
        print_json(_as_json(statistics, searches, taken))
        return
    for line in _lines(statistics, taken):
        typer.echo(line)
    if searches:
        typer.echo("")
        print_table(HEADINGS, [_row(one, statistics) for one in searches])


def _evict(folder: Path, quota_bytes: int) -> Evicted:
    from contextlib import closing

    from orchestrator.pooling import StorePool
    from store.opening import Store
    from store.roots import Roots

    refuse_held(folder, "`pool --evict`")
    with Store.open(folder, write=True) as store, closing(StorePool(store)) as pool:
        taken = pool.evict(quota_bytes, Roots.of(store.journal).inherited.by_manifest())
        pool.flush()  # else they would be there again
        return taken


def _lines(found: PoolStatistics, taken: Evicted | None) -> Iterator[str]:
    from orchestrator.wording import plural, size

    if taken is not None:
        gone = f"{plural(taken.entries, 'block')}, {size(taken.bytes)}"
        yield f"taken out: {gone}; `coldframe gc` frees what is left over"
    networks = plural(found.checkpoints, "network")
    yield f"knowledge pool: {plural(found.entries, 'block')} of {networks}, {size(found.bytes)}"
    if found.networks:
        asked = f"asked for {plural(found.asked, 'block')} of {plural(found.networks, 'network')}"
        yield f"{asked}: {found.hits:,} had one to compare with, {found.matches:,} started from one"
    if found.refused:
        yield "not compared or not taken: " + ", ".join(f"{count:,} {why}" for why, count in found.refused.items())
    if found.evicted or found.forgotten:
        yield f"gone: {found.evicted:,} over the quota, {found.forgotten:,} whose checkpoints were lost"
    if found.damage:
        yield f"its file had to be made anew: {found.damage}"


def _row(one: Contributed, statistics: PoolStatistics) -> list[str]:
    shapes = ", ".join(" x ".join(map(str, shape)) for shape in sorted(one.shapes))
    steps = ", ".join(map(str, sorted(one.iterations)))
    generations = ", ".join(f"{count} of {generation}" for generation, count in sorted(one.generations.items()))
    blocks = str(statistics.searches.get(one.search, 0))
    return [one.search[:12], one.name, one.space, shapes, steps, str(one.networks), generations, blocks]


def _as_json(statistics: PoolStatistics, searches: list[Contributed], taken: Evicted | None) -> dict[str, Any]:
    held = statistics.model_dump(mode="json", exclude={"searches", "waiting"})
    given = [one.as_json() | {"blocks": statistics.searches.get(one.search, 0)} for one in searches]
    return held | {"searches": given} | ({} if taken is None else {"taken_out": taken.model_dump(mode="json")})
