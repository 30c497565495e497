"""`coldframe cost`: what the network of a genotype costs, without training anything."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.commands.common import JsonOption, guarded, print_json

if TYPE_CHECKING:
    from strategies.spaces.genotype import Genotype


class Concat(StrEnum):
    """Which nodes make a cell's output."""

    LOOSE = "loose"
    ALL = "all"


@guarded
def cost(
    genotype: Annotated[str, typer.Option(help="Name of a published genotype, or a JSON file.", metavar="NAME|FILE")],
    channels: Annotated[int, typer.Option(min=1, help="Initial channels C.")] = 36,
    cells: Annotated[int, typer.Option(min=3, help="Number of cells.")] = 20,
    resolution: Annotated[int, typer.Option(min=4, help="Pixels of an image's side.")] = 32,
    classes: Annotated[int, typer.Option(min=1, help="Number of classes.")] = 10,
    auxiliary: Annotated[bool, typer.Option("--auxiliary", help="Count the auxiliary head's parameters too.")] = False,
    concat: Annotated[Concat | None, typer.Option(help="Instead of the genotype's own concat lists.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Count a network's parameters and multiply-adds.

    The multiply-adds are those of convolutions and linear layers for one image, without the auxiliary head.
    """
    from trainers.cost import cost as count
    from trainers.networks.shape import Shape

    found = _read(genotype)
    if concat is not None:
        found = found.with_concat(concat.value)
    counted = count(found, Shape(channels, cells, classes, resolution, auxiliary=auxiliary))
    if as_json:
        print_json({"parameters": counted.parameters, "multiply_adds": counted.multiply_adds})
        return
    typer.echo(f"parameters     {counted.parameters:>15,}")
    typer.echo(f"multiply-adds  {counted.multiply_adds:>15,}")


def _read(name: str) -> Genotype:
    """Reads a genotype from its published name or its file.

    Raises:
        InvalidGenotype: if it is neither, or the file does not hold one.
    """
    import json
    from pathlib import Path

    from strategies.errors import InvalidGenotype
    from strategies.spaces.genotype import from_json
    from strategies.spaces.published import PUBLISHED

    if name in PUBLISHED:
        return PUBLISHED[name]
    try:
        text = Path(name).read_text(encoding="utf-8")
    except OSError as error:
        known = ", ".join(sorted(PUBLISHED))
        why = f"is neither a file that can be read ({error.strerror}) nor a published genotype ({known})"
        raise InvalidGenotype([why], name) from error
    except UnicodeDecodeError as error:
        raise InvalidGenotype([f"is not text: {error}"], name) from error
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidGenotype([f"is not JSON: {error}"], name) from error
    return from_json(value, source=name)
