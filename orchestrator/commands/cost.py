"""`coldframe cost`: what the network of a genotype costs, without training anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.commands.common import JsonOption, guarded, print_json

if TYPE_CHECKING:
    from strategies.spaces.genotype import Genotype
    from strategies.spaces.mobile import MobileGenotype
    from strategies.spaces.nasbench201 import BenchGenotype
    from trainers.networks.network import AnyGenotype


MOST = 99_999
"""Channels, classes and pixels of a side: sizes of tensors are then far from what their library can count."""


class Concat(StrEnum):
    """Which nodes make a cell's output."""

    LOOSE = "loose"
    ALL = "all"


class Spaces(StrEnum):
    """Which kind of network."""

    CELL = "cell"
    NASBENCH201 = "nasbench201"
    MNAS = "mnas"


_PUBLISHED = {Spaces.CELL: (36, 20), Spaces.NASBENCH201: (16, 17), Spaces.MNAS: (32, 20)}
"""Channels and cells of the networks as published; mobile ones have no cells, and take no other number."""


class Stems(StrEnum):
    """What stands before the cells."""

    CIFAR = "cifar"
    IMAGENET = "imagenet"


@guarded
def cost(
    genotype: Annotated[
        str,
        typer.Option(
            help="Name of a published genotype, or a JSON file; with --space nasbench201 the string, or a file of it; "
            "with --space mnas a published network, blocks such as ir_r3_k5_s2_e3_c40_se0.25, or a file of either.",
            metavar="NAME|FILE|STRING",
        ),
    ],
    space: Annotated[Spaces, typer.Option(help="Networks of cells, of NAS-Bench-201, or mobile ones.")] = Spaces.CELL,
    channels: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="Initial channels C; 36 if absent, of nasbench201 16, of mnas 32."),
    ] = None,
    cells: Annotated[
        int | None, typer.Option(min=3, help="Number of cells, reductions included; 20 if absent, of nasbench201 17.")
    ] = None,
    resolution: Annotated[int, typer.Option(min=4, max=MOST, help="Pixels of an image's side.")] = 32,
    classes: Annotated[int, typer.Option(min=1, max=MOST, help="Number of classes.")] = 10,
    input_channels: Annotated[int, typer.Option(min=1, max=MOST, help="Channels of an image.")] = 3,
    stem: Annotated[Stems, typer.Option(help="imagenet: for large images, with more strides.")] = Stems.CIFAR,
    auxiliary: Annotated[bool, typer.Option("--auxiliary", help="Count the auxiliary head's parameters too.")] = False,
    concat: Annotated[Concat | None, typer.Option(help="Of cells: instead of the genotype's own concat lists.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Count a network's parameters and multiply-adds.

    The multiply-adds are those of convolutions and linear layers for one image, without the auxiliary head.
    """
    from trainers.cost import cost as count
    from trainers.networks.shape import Shape

    read: Mapping[Spaces, Callable[[str, Concat | None], AnyGenotype]] = {
        Spaces.CELL: _read_cells,
        Spaces.NASBENCH201: _read_bench,
        Spaces.MNAS: _read_mobile,
    }
    width, depth = _PUBLISHED[space]
    found = read[space](genotype, concat)
    shape = Shape(channels or width, cells or depth, classes, resolution, input_channels, stem.value, auxiliary)
    counted = count(found, shape)
    if as_json:
        print_json({"parameters": counted.parameters, "multiply_adds": counted.multiply_adds})
        return
    typer.echo(f"parameters     {counted.parameters:>15,}")
    typer.echo(f"multiply-adds  {counted.multiply_adds:>15,}")


def _read_bench(text: str, concat: Concat | None) -> BenchGenotype:
    """Reads a cell of NAS-Bench-201 from its string, or from a file that holds it.

    Raises:
        InvalidGenotype: if it is neither.
        InvalidOptions: if a concat rule is given, of which these cells have none.
    """
    from strategies.spaces.nasbench201 import BenchGenotype

    _refuse(concat, "no rule with --space nasbench201, whose output is one node")
    if "~" in text:
        return BenchGenotype.from_string(text)
    expected = "a string like |nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    return BenchGenotype.from_string(_text(text, expected), source=text)


def _read_mobile(text: str, concat: Concat | None) -> MobileGenotype:
    """Reads a mobile network from its published name, its blocks, or a file of these or of JSON.

    Raises:
        InvalidGenotype: if it is none.
        InvalidOptions: if a concat rule is given, of which these networks have none.
    """
    import json

    from strategies.errors import InvalidGenotype
    from strategies.spaces.mobile import MobileGenotype, from_json, read_blocks
    from strategies.spaces.published_mobile import PUBLISHED_MOBILE

    _refuse(concat, "no rule with --space mnas, which has no cells")
    if text in PUBLISHED_MOBILE:
        return PUBLISHED_MOBILE[text]
    if text.startswith(("cn_", "ds_", "ir_")):
        return MobileGenotype(read_blocks(text), divisor=1)
    found = _text(text, f"a published network ({', '.join(sorted(PUBLISHED_MOBILE))}), nor blocks")
    if not found.lstrip().startswith("{"):
        return MobileGenotype(read_blocks(found, source=text), divisor=1)
    try:
        return from_json(json.loads(found), source=text)
    except (ValueError, RecursionError) as error:
        raise InvalidGenotype([f"is not JSON: {error}"], text) from error


def _refuse(concat: Concat | None, expected: str) -> None:
    """Raises `InvalidOptions` if a concat rule is given."""
    from strategies.errors import InvalidOptions, OptionProblem

    if concat is not None:
        raise InvalidOptions([OptionProblem("--concat", concat.value, expected)])


def _read_cells(name: str, concat: Concat | None) -> Genotype:
    """Reads a genotype from its published name or its file.

    Raises:
        InvalidGenotype: if it is neither, or the file does not hold one.
    """
    import json

    from strategies.errors import InvalidGenotype
    from strategies.spaces.genotype import from_json
    from strategies.spaces.published import PUBLISHED

    if name in PUBLISHED:
        found = PUBLISHED[name]
    else:
        text = _text(name, f"a published genotype ({', '.join(sorted(PUBLISHED))})")
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidGenotype([f"is not JSON: {error}"], name) from error
        found = from_json(value, source=name)
    return found if concat is None else found.with_concat(concat.value)


def _text(name: str, otherwise: str) -> str:
    """Reads a file.

    Raises:
        InvalidGenotype: if it cannot be read; the message says what else the name could have been.
    """
    from pathlib import Path

    from strategies.errors import InvalidGenotype

    try:
        return Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidGenotype(
            [f"is neither a file that can be read ({error.strerror}) nor {otherwise}"], name
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidGenotype([f"is not text: {error}"], name) from error
