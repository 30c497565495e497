"""The command line with a strategy that asks for something else every time: `python -m tests.faults.wandering serve`.

With COLDFRAME_TEST_TORCH in the environment the process also believes to have another version of torch.
"""

from __future__ import annotations

import os
import random

from orchestrator import cli, versions
from store.records.results import Result
from strategies import registry
from strategies.options import StrategyOptions
from strategies.run import Run


class WanderingOptions(StrategyOptions):
    """Options of the strategy `wandering`."""

    candidates: int = 4


class Wandering:
    """Draws from the world's dice instead of the run's, one network after another."""

    def __init__(self, options: WanderingOptions) -> None:
        self.options = options

    async def search(self, run: Run) -> Result:
        """Returns nothing of interest."""
        for _ in range(self.options.candidates):
            space = run.space
            genes = tuple(random.randrange(choices) for choices in space.choices)
            drawn = space.random(run.rng).model_copy(update={"genes": genes})
            await run.train(run.candidate(space.canonical(drawn), schedule_epochs=1), epochs=1)
        return Result(best=(), history=())


def main() -> None:
    """Runs the command line."""
    registry.register("wandering", WanderingOptions, lambda options, spec: Wandering(options))
    if told := os.environ.get("COLDFRAME_TEST_TORCH"):
        installed = versions.present()
        versions.present = lambda: installed | {"torch": told}  # type: ignore[assignment]
    cli.main()


if __name__ == "__main__":
    main()
