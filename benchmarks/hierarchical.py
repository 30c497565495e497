"""EcoNAS's own claim, with real training: the hierarchical proxy against training every network to 3E (section 5.2).

    COLDFRAME_CIFAR10=cifar10.npz COLDFRAME_NASBENCH201=table.npz python benchmarks/hierarchical.py --store DIR

Both forms run examples/hierarchical-nasbench201.toml with the same number of networks and the same seeds; the flat one
promotes none and has E three times as long. What each found is looked up in the table: its rank among all 15,625
networks, which neither form knows anything of. Epochs are those that were asked for, what the memo or the other form's
checkpoints answered included. Started again with the same store it goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from orchestrator import foreground, live, spec
from store.opening import Store
from store.records.candidates import Architecture, Named
from store.records.events import SearchFinished
from store.records.results import Result
from strategies.spaces import registry as spaces

EXAMPLE = Path(__file__).parents[1] / "examples" / "hierarchical-nasbench201.toml"
FORMS = ("hierarchical", "flat")
TABLE = "COLDFRAME_NASBENCH201"
COLUMN = "cifar10_val"


class Found(NamedTuple):
    """What one search spent and found.

    Attributes:
        epochs: asked for.
        networks: born.
        rank: of the best network by the search's own accuracy, among all of the table, from 1.
        accuracy: of that network in the table, in percent.
        best_seen: highest accuracy in the table among all networks that the search trained.
    """

    epochs: int
    networks: int
    rank: int
    accuracy: float
    best_seen: float


class Truth:
    """The table: accuracy in percent by architecture."""

    def __init__(self, path: str) -> None:
        with np.load(path, allow_pickle=False) as table:
            self._values = dict(zip(table["arch"].tolist(), table[COLUMN].tolist(), strict=True))
        self._sorted = np.sort(np.array(list(self._values.values())))
        self._space = spaces.create(Named(name="nasbench201"))

    def accuracy(self, architecture: Architecture) -> float:
        """Returns the accuracy that the table has."""
        return float(self._values[self._space.describe(architecture)["arch"]])

    def rank(self, architecture: Architecture) -> int:
        """Returns how many networks of the table are better, plus one."""
        return int((self._sorted > self.accuracy(architecture)).sum()) + 1


def wanted(form: str, seed: int) -> dict[str, Any]:
    """Returns the example as one form of the search, with another seed."""
    raw = tomllib.loads(EXAMPLE.read_text())
    raw |= {"name": f"{form}-{seed}", "seed": seed}
    if form == "flat":
        raw["strategy"] |= {"epochs": 3 * raw["strategy"]["epochs"], "promoted_to_2e": 0, "promoted_to_3e": 0}
        # The cosine of the hierarchical form spans 3E; here E is that long, and so is the cosine.
        raw["recipe"]["schedule_epochs"] = raw["strategy"]["epochs"]
    return raw


def search(form: str, seed: int, store: Path, truth: Truth) -> Found:
    """Runs one search, or takes it up, and looks up what it found."""
    plan = spec.plan(wanted(form, seed), str(EXAMPLE))
    watcher = live.observer(sys.stderr)
    try:
        end = foreground.run_plan(plan, store, observer=watcher)
    finally:
        watcher.close()
    if end.status != "finished":
        sys.exit(f"{form}, seed {seed}: interrupted; the same command goes on from here")
    result = result_of(store, end.search)
    best = result.best[0].architecture
    seen = max(truth.accuracy(one.architecture) for one in result.history)
    epochs = int(sum(result.curves["epochs"]))
    return Found(epochs, len(result.history), truth.rank(best), truth.accuracy(best), seen)


def result_of(store: Path, search: str) -> Result:
    """Returns the result that a finished search left in the journal."""
    with Store.open(store, write=False) as opened:
        (row,) = list(opened.journal.rows(types=["search_finished"], search=search))[-1:]
    assert isinstance(row.event, SearchFinished)
    return Result.model_validate(row.event.result)


def main() -> None:
    """Runs all searches and prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True, help="folder of the store, made if it is not there")
    parser.add_argument("--seeds", type=int, default=3, help="searches of each form")
    arguments = parser.parse_args()
    for variable in ("COLDFRAME_CIFAR10", TABLE):
        if not os.environ.get(variable):
            sys.exit(f"{variable} is not set: it must name the data (docs/spec.md) or the table (docs/tables.md)")
    truth = Truth(os.environ[TABLE])
    found = {
        form: [search(form, seed, arguments.store, truth) for seed in range(1, arguments.seeds + 1)] for form in FORMS
    }
    print(f"{'form':<14}{'seed':>5}{'networks':>10}{'epochs':>8}{'rank':>8}{'accuracy':>10}{'best seen':>11}")
    for form, searches in found.items():
        for seed, one in enumerate(searches, start=1):
            row = f"{one.epochs:>8}{one.rank:>8}{one.accuracy:>10.2f}{one.best_seen:>11.2f}"
            print(f"{form:<14}{seed:>5}{one.networks:>10}{row}")
    spent = {form: statistics.fmean(one.epochs for one in searches) for form, searches in found.items()}
    quality = {form: statistics.fmean(one.accuracy for one in searches) for form, searches in found.items()}
    saved = 1 - spent["hierarchical"] / spent["flat"]
    print(f"epochs: hierarchical / flat = {spent['hierarchical'] / spent['flat']:.2f}, {saved:.0%} fewer (paper: 42 %)")
    print(f"mean accuracy in the table: hierarchical {quality['hierarchical']:.2f} %, flat {quality['flat']:.2f} %")


if __name__ == "__main__":
    main()
