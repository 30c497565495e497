"""The command line with a strategy that does nothing but compute: `python -m tests.system.drifting run ...`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from orchestrator import cli
from store.records import arrays
from store.records.outcomes import Computed
from store.records.results import Result
from strategies import registry
from strategies.options import StrategyOptions
from strategies.run import Run

FUNCTION = "tests.strategies.drift:drift"
SPEC = """
name = "drifting"

[strategy]
name = "drifting"
rounds = {rounds}

[space]
name = "cell"

[trainer]
name = "scripted"

[data]
name = "digits"

[resources]
workers = 1
"""


class DriftingOptions(StrategyOptions):
    """Options of the strategy `drifting`."""

    totals: ClassVar[frozenset[str]] = frozenset({"rounds"})

    rounds: int


class Drifting:
    """Computes each state from the one before, by amounts that depend on what came out; saves after every third."""

    def __init__(self, options: DriftingOptions) -> None:
        self.options = options

    async def search(self, run: Run) -> Result:
        told, state = (run.restored["told"], run.restored["state"]) if run.restored else ([], None)
        while len(told) < self.options.rounds:
            amount = float(run.rng.integers(4)) + (told[-1][0] if told else 0.0) % 5
            outcome = await run.compute_from(FUNCTION, state, amount)
            if not isinstance(outcome, Computed):
                raise ValueError(f"no state: {outcome}")
            state = outcome.state
            told.append([arrays.unpack(outcome.value), str(state)[:32]])  # cut, so that only the last one is named
            if len(told) % 3 == 0:
                await run.save({"told": told, "state": state})
        return Result(best=(), history=(), curves={"told": told}, state=state)


def environment(folder: Path) -> dict[str, str]:
    """Installs the strategy's function, as a package of somebody else's would; returns what a run needs for it."""
    package = folder / "drifting-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: drifting\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(f"[coldframe.computations]\ndrift = {FUNCTION}\n")
    here = [str(folder), str(Path(__file__).parents[2])]
    return {"PYTHONPATH": os.pathsep.join(here)}


def write(folder: Path, rounds: int) -> Path:
    """Writes a spec."""
    path = folder / f"drifting-{rounds}.toml"
    path.write_text(SPEC.format(rounds=rounds))
    return path


if __name__ == "__main__":
    registry.register("drifting", DriftingOptions, lambda options, spec: Drifting(options))
    cli.main()
