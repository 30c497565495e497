"""`coldframe retrain`: trains the winners of a search in full, and tests them."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.commands.common import JsonOption, StoreOption, guarded, reading, refuse_held
from orchestrator.commands.run import conclude


@guarded
def retrain(
    search: Annotated[str, typer.Argument(help="Name of a search, or the beginning of its id.", metavar="SEARCH")],
    store: StoreOption,
    recipe: Annotated[str, typer.Option(help="How they are trained, e.g. econas-cifar10 or digits.", metavar="NAME")],
    top: Annotated[int, typer.Option(min=1, help="How many of the search's best networks.")] = 5,
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Trainings of each network.")] = 1,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Change the recipe, e.g. recipe.batch_size=64; also proxy, trainer, resources, seed."
        ),
    ] = None,
    data: Annotated[str | None, typer.Option(help="Where the data set lies now.", metavar="PATH")] = None,
    data_name: Annotated[
        str | None, typer.Option(help="Train on another data set than the search.", metavar="NAME")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the new search; SEARCH retrained (RECIPE) if absent.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Worker processes, instead of the search's.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write a report into this folder at the end.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Train the best networks of a search from scratch on all training images, and test them.

    It is a search of its own in the store: durable, and taken up again by the same command.
    """
    from orchestrator import foreground, live, preparing, retraining

    refuse_held(store, "`retrain`")
    wish = retraining.Wish(search, recipe, top, epochs, seeds, name, data_name, data, tuple(setting or ()))
    with reading(store) as found, preparing.bars(sys.stderr) as bar:
        told = functools.partial(bar, preparing.READING)
        planned = retraining.plan(found.history, wish, alive=found.alive, told=told)
    for remark in planned.remarks:
        typer.echo(remark, err=True)
    watcher = live.observer(sys.stderr if as_json else sys.stdout)
    try:
        end = foreground.run_plan(planned.plan, store, workers=workers, observer=watcher)
    finally:
        watcher.close()
    conclude(end, store, report, as_json)
