"""Keys of the blocks of networks: what the knowledge pool compares them by (FNAS section 4.3).

A block is a direct child of a trainer's network: a stem, a cell, a reduction of NAS-Bench-201, a layer of a mobile
network. Its key is a number of small integers, one-hot encoded when compared (section 3.1), so that the cosine of two
keys is the share of tokens that are equal. A token that is repeated counts as often. Of one that means nothing for a
block 0 is the value; the others count from 1.

Equal keys are equal tensors: what decides their names and shapes is there to the unit, widths as digits. A width is
there a second time, in half-octaves, repeated, so that a block of another width is less like than one in the same place
with another operation: its tensors fit in part only. 8 and 9 channels are nearly the same, 8 and 16 are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from store.records.candidates import Proxy
from store.records.knowledge import BlockKey
from strategies.errors import InvalidOptions, OptionProblem

DIGITS, BASE = 3, 32
"""Of a width: 32,767 channels at most."""
OCTAVES = 40
PLACES = 16
"""Places of a cell in its stage, of a layer in its block; later ones share the last. They decide no tensor."""
STAGES = 3
_CELL_KINDS = ("stem", "strided_stem", "second_stem", "normal", "reduction")
_BENCH_KINDS = ("stem", "cell", "reduction", "norm")
_WIDE_STEM, _NARROW_STEM = 0, 1
"""What a cell reads, where that is no cell: a stem of 3C channels (CIFAR) or of C (ImageNet)."""
Keys: TypeAlias = tuple[BlockKey, ...]
"""The blocks of a network, in order."""


class Field(NamedTuple):
    """One property of a block.

    Attributes:
        name: how `KeyFormat.key` is told its value.
        values: how many it has, counted from 0.
        weight: how many tokens repeat it.
    """

    name: str
    values: int
    weight: int = 1


class KeyFormat:
    """The tokens of a space's keys, in order."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self._fields = tuple(fields)
        self._names = frozenset(field.name for field in fields)
        self.choices = tuple(field.values + 1 for field in fields for _ in range(field.weight))

    def key(self, block: str, /, **values: int) -> BlockKey:
        """Returns the key of a block; a field that is not given means nothing for it.

        Raises:
            ValueError: if a field is unknown or its value out of range.
        """
        unknown = values.keys() - self._names
        wrong = [field.name for field in self._fields if not 0 <= values.get(field.name, 0) < field.values]
        if unknown or wrong:
            raise ValueError(f"key of block {block!r}: no such fields, or values: {sorted(unknown) + wrong}")
        tokens = [values.get(field.name, -1) + 1 for field in self._fields for _ in range(field.weight)]
        return BlockKey(name=block, tokens=tuple(tokens))


def width_fields(weight: int, of: str = "") -> tuple[Field, ...]:
    """Returns the fields that `width` has values for, of `weight` + 3 tokens."""
    return (Field(f"{of}octave", OCTAVES, weight), *(Field(f"{of}digit{place}", BASE) for place in range(DIGITS)))


def width(channels: int, multiple: int = 1, of: str = "") -> dict[str, int]:
    """Returns what a key says of a block's width.

    Args:
        channels: what the sizes of the block follow from, told to the unit.
        multiple: how many times as many it has, told in half-octaves.
        of: which of several widths.
    """
    digits = {f"{of}digit{place}": channels // BASE**place % BASE for place in range(DIGITS)}
    return {f"{of}octave": half_octave(channels * multiple), **digits}


def check_width(proxy: Proxy, widest: int) -> None:
    """Raises `InvalidOptions` if a network of so many channels is too wide for keys to tell widths apart."""
    if widest >= BASE**DIGITS:
        expected = f"expected fewer: the keys of blocks tell up to {BASE**DIGITS - 1} apart, here are {widest}"
        raise InvalidOptions([OptionProblem("proxy.channels", proxy.channels, expected)])


def half_octave(number: int) -> int:
    """Returns the whole part of 2 log2 of a number from 1 on."""
    octave = number.bit_length() - 1
    return 2 * octave + int(number**2 >= 1 << (2 * octave + 1))


def cell_format(choices: Sequence[int]) -> KeyFormat:
    """Returns the keys of the blocks of cell networks.

    Args:
        choices: number of values of each gene of one cell.
    """
    inputs = len(choices) // 4 + 2
    return KeyFormat(
        (
            Field("kind", len(_CELL_KINDS)),
            *_place_fields(len(choices)),
            Field("after_reduction", 2),
            Field("older", inputs),
            Field("last", inputs),
            *(Field(f"gene{index}", values) for index, values in enumerate(choices)),
        )
    )


def cell_blocks(
    keys: KeyFormat, cells: Mapping[bool, Sequence[int]], outputs: Mapping[bool, int], proxy: Proxy
) -> Keys:
    """Returns the blocks of a network of a normal and a reduction cell: stem, second stem if there is one, cells.

    What decides the tensors of a cell: its kind and genes; its channels; the channels of its inputs, which are so many
    nodes of the cells before, or a stem; and whether the older input must be halved, for the last cell was a reduction.

    Args:
        keys: of `cell_format`.
        cells: genes by whether the cell is a reduction.
        outputs: number of concatenated nodes, likewise.
        proxy: initial channels, number of cells, stem.
    """
    check_width(proxy, proxy.channels)
    imagenet = proxy.stem == "imagenet"
    kinds = _CELL_KINDS[1:3] if imagenet else _CELL_KINDS[:1]
    stem_width = width(proxy.channels, 1 if imagenet else 3)
    found = [
        keys.key(name, kind=_CELL_KINDS.index(kind), **stem_width)
        for name, kind in zip(("stem", "stem1"), kinds, strict=False)
    ]
    reductions = (proxy.cells // 3, 2 * proxy.cells // 3)
    older = last = _NARROW_STEM if imagenet else _WIDE_STEM
    after, stage, first = imagenet, 0, 0
    for index in range(proxy.cells):
        reduction = index in reductions
        stage, first = (stage + 1, index) if reduction else (stage, first)
        kind = _CELL_KINDS.index("reduction" if reduction else "normal")
        place = _place(stage, index - first, proxy.channels)
        sizes = {"after_reduction": int(after), "older": older, "last": last}
        found.append(keys.key(f"cell{index:02d}", kind=kind, **place, **sizes, **_genes(cells[reduction])))
        older, last, after = last, _NARROW_STEM + outputs[reduction], reduction
    return tuple(found)


def bench_format(choices: Sequence[int]) -> KeyFormat:
    """Returns the keys of the blocks of NAS-Bench-201's networks; `choices` as for `cell_format`."""
    genes = (Field(f"gene{index}", values) for index, values in enumerate(choices))
    return KeyFormat((Field("kind", len(_BENCH_KINDS)), *_place_fields(len(choices)), *genes))


def bench_blocks(keys: KeyFormat, genes: Sequence[int], proxy: Proxy) -> Keys:
    """Returns the blocks of a network of NAS-Bench-201: stem, cells and the two residual blocks, last normalisation.

    Args:
        keys: of `bench_format`.
        genes: of the cell.
        proxy: initial channels and number of cells, those that halve the size included.
    """
    check_width(proxy, proxy.channels)
    period = (proxy.cells - 2) // STAGES + 1
    found = [keys.key("stem", kind=_BENCH_KINDS.index("stem"), **width(proxy.channels))]
    for index in range(proxy.cells):
        stage, place = divmod(index, period)
        if place == period - 1 and stage < STAGES - 1:
            at = _place(stage + 1, 0, proxy.channels)
            found.append(keys.key(f"cell{index:02d}", kind=_BENCH_KINDS.index("reduction"), **at))
        else:
            at = _place(min(stage, STAGES - 1), place, proxy.channels)
            found.append(keys.key(f"cell{index:02d}", kind=_BENCH_KINDS.index("cell"), **at, **_genes(genes)))
    last = width(proxy.channels, 2 ** (STAGES - 1))
    return (*found, keys.key("norm", kind=_BENCH_KINDS.index("norm"), **last))


def _place_fields(genes: int) -> Iterator[Field]:
    """Yields the fields of `_place`; another width weighs more than another operation, and a quarter of all genes."""
    yield from (Field("stage", STAGES), Field("place", PLACES), *width_fields(max(2, genes // 4)))


def _place(stage: int, place: int, channels: int) -> dict[str, int]:
    return {"stage": stage, "place": min(place, PLACES - 1), **width(channels, 2**stage)}


def _genes(values: Sequence[int]) -> dict[str, int]:
    return {f"gene{index}": value for index, value in enumerate(values)}
