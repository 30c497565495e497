"""A strategy that inherits and contributes, and nothing else; and searches with it, here or in a process that dies.

    python -m tests.orchestrator.growing SPEC STORE NUMBER

runs the search and kills itself, as `kill -9` would, before the pool takes the `NUMBER`-th row in.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from orchestrator import foreground
from orchestrator.observer import Observer, Silent
from orchestrator.pooling import StorePool
from store.journal import Journal, RawRow
from store.records.candidates import Candidate
from store.records.events import AnyEvent, SearchFinished
from store.records.outcomes import Failure, Trained
from store.records.results import Individual, Result
from strategies import registry
from strategies.individuals import best, learnt, ranked
from strategies.options import StrategyOptions
from strategies.run import Run

NAME = "growing"
SHAPE = (1, 8, 8)
EPOCHS = 2
STEPS = 4 * EPOCHS
"""Of the scripted trainer."""

SPEC = """
name = "{name}"
seed = {seed}
[strategy]
name = "growing"
networks = {networks}
sources = {sources}
save_every = {save_every}
[space]
name = "nasbench201"
[trainer]
name = "scripted"
blocks = 0
floats = 16
[data]
name = "digits"
[resources]
workers = 1
"""


class GrowingOptions(StrategyOptions):
    """Options of the strategy `growing`."""

    totals: ClassVar[frozenset[str]] = frozenset({"networks"})
    refers: ClassVar[Mapping[str, Literal["state", "search"]]] = MappingProxyType({"sources": "search"})

    networks: int = 3
    sources: tuple[str, ...] = ()
    save_every: int = 1000
    bar: float = 0.6


class Growing:
    """Trains random networks one after the other, each from what the pool has for it, and puts each into the pool."""

    def __init__(self, options: GrowingOptions) -> None:
        self.options = options

    async def search(self, run: Run) -> Result:
        history = [Individual.model_validate(one) for one in run.restored or ()]
        for index in range(len(history), self.options.networks):
            history.append(await self._grow(run, index))
            if len(history) % self.options.save_every == 0:
                await run.save([one.model_dump(mode="json") for one in history])
        return Result(best=best(history, 2), history=tuple(ranked(history)))

    async def _grow(self, run: Run, index: int) -> Individual:
        candidate = run.candidate(run.space.random(run.rng))
        told = ""
        while True:
            found = await run.inherit(candidate, SHAPE, bar=self.options.bar, sources=self.options.sources)
            heir: Candidate = candidate.inheriting(found.initial)
            outcome = await run.train(heir, epochs=EPOCHS)
            if not isinstance(outcome, Failure) or outcome.reason != "corrupt_block":
                break
            told += f", {outcome.reason}"
        if isinstance(outcome, Trained):
            await run.contribute(heir, outcome, SHAPE, iterations=STEPS, generation=found.generation)
        origin = f"{found.matches} of {len(found.blocks)} blocks inherited{told}"
        born = Individual(index=index, architecture=candidate.architecture, candidate=heir.id, origin=origin)
        return learnt(born, outcome)


REGISTERED = registry.Registered(GrowingOptions, lambda options, spec: Growing(options))


def write(folder: Path, name: str, resources: str = "", **changes: Any) -> Path:
    """Writes a spec; `changes` are the seed and options of the strategy."""
    given = {"networks": 3, "sources": [], "seed": 1, "save_every": 1000} | changes
    path = folder / f"{name}.toml"
    path.write_text(SPEC.format(name=name, **given) + resources)
    return path


def run(spec: Path, store: Path, observer: Observer | None = None) -> Result:
    """Runs a search to its end in this process; the strategy must be registered."""
    end = foreground.run(spec, store, observer=observer or Silent())
    assert end.status == "finished"
    finished = [event for event in events(store) if isinstance(event, SearchFinished)]
    return Result.model_validate([event.result for event in finished if event.search == end.search][-1])


def events(store: Path) -> list[AnyEvent]:
    """The journal's events."""
    journal = Journal(store, read_only=True)
    try:
        return [row.event for row in journal.rows()]
    finally:
        journal.close()


def _die_before_row(number: int) -> None:
    """Makes this process kill itself when the pool is about to take its `number`-th row in."""
    take = StorePool._take
    left = number

    def die_or_take(self: StorePool, row: RawRow) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        take(self, row)

    StorePool._take = die_or_take  # type: ignore[method-assign]


if __name__ == "__main__":
    registry.register(NAME, *REGISTERED)
    _die_before_row(int(sys.argv[3]))
    run(Path(sys.argv[1]), Path(sys.argv[2]))
