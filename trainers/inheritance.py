"""Weights inherited by block: what a network starts from instead of random weights (FNAS section 4.3). Free of torch.

`Candidate.initial` names for each inheriting block the checkpoint and the block there that it starts from. Its tensors
are fitted where shapes differ: kinds of operation are kept apart, channels overlap, kernels are cropped or padded.
Batch statistics are inherited as parameters are; momentum is not, and of a classifier nothing ever is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from store.checkpoints import CheckpointStore
from store.elements import Array
from store.errors import BlobCorrupt, BlobMissing, ManifestCorrupt, ManifestMissing
from store.files import is_digest
from trainers.errors import ImpossibleSetting, InheritedBlockLost

KEY = "candidate.initial"
CLASSIFIERS = frozenset({"head", "auxiliary"})
"""Blocks that belong to the classes of one task, and are neither given nor taken."""
_KERNEL = 2
"""Dimensions of a convolution's weights that count channels; those after them are its kernel's."""


class Origin(NamedTuple):
    """Where a block's first weights are from.

    Attributes:
        block: of the network that inherits.
        manifest: digest of the checkpoint that it inherits from.
        source: block of that checkpoint.
    """

    block: str
    manifest: str
    source: str


def origins(initial: Sequence[str], blocks: Collection[str]) -> tuple[Origin, ...]:
    """Reads `Candidate.initial`.

    Args:
        initial: `BLOCK=MANIFEST/BLOCK` for each block that inherits.
        blocks: names of the network's blocks.

    Raises:
        ImpossibleSetting: if an entry is malformed, names a block that the network does not have, or a classifier, or a
            block is named twice.
    """
    found: dict[str, Origin] = {}
    for entry in initial:
        block, _, place = entry.partition("=")
        manifest, _, source = place.partition("/")
        if not (block and source and is_digest(manifest)):
            raise ImpossibleSetting(KEY, entry, "BLOCK=MANIFEST/BLOCK, the manifest's name of 64 hexadecimal digits")
        if {block, source} & CLASSIFIERS:
            raise ImpossibleSetting(
                KEY, entry, "any block but the classifier, which belongs to the classes of one task"
            )
        if block not in blocks:
            raise ImpossibleSetting(KEY, entry, f"a block of the network: {', '.join(sorted(blocks))}")
        if block in found:
            raise ImpossibleSetting(KEY, entry, f"one origin of the block {block}, not two")
        found[block] = Origin(block, manifest, source)
    return tuple(found.values())


def read(checkpoints: CheckpointStore, wanted: Iterable[Origin]) -> dict[str, dict[str, Array]]:
    """Reads what blocks inherit: by block and name, as it was trained.

    Raises:
        ImpossibleSetting: if a checkpoint has no such block.
        InheritedBlockLost: if a manifest or a block is missing or damaged.
        StoreFailed: if the disk cannot read them.
    """
    by_manifest: dict[str, list[Origin]] = {}
    for origin in wanted:
        by_manifest.setdefault(origin.manifest, []).append(origin)
    tensors: dict[str, dict[str, Array]] = {}
    for manifest, heirs in by_manifest.items():
        try:
            blocks = checkpoints.load_blocks(manifest, {origin.source for origin in heirs})
        except (BlobCorrupt, BlobMissing) as error:
            raise InheritedBlockLost(manifest, error, (error.digest,)) from error
        except (ManifestCorrupt, ManifestMissing) as error:
            raise InheritedBlockLost(manifest, error) from error
        for origin in heirs:
            if origin.source not in blocks:
                expected = "a block that this checkpoint has weights of"
                raise ImpossibleSetting(KEY, "{}={}/{}".format(*origin), expected)
            tensors[origin.block] = blocks[origin.source]
    return tensors


def fitted(
    own: Mapping[str, Array], inherited: Mapping[str, Array], operations: Mapping[str, Collection[str]]
) -> dict[str, Array]:
    """Returns the tensors of a block that change when it inherits those of another block.

    A tensor is inherited under its own name. Names of operations are their places, on an edge of a cell for instance,
    and say nothing of what stands there: an operation inherits only where the other block has one of the same kind in
    the same place, told by the names and dimensions of its tensors. So a convolution of 3 × 3 inherits from one of
    1 × 1, but a separable or a strided one never does, although all of them have a normalisation.

    Args:
        own: the block's tensors by name.
        inherited: the other block's.
        operations: the block's operations by name, an empty one for the block itself, with those of their parts that
            may be there or not in operations of one kind. None lies within another.
    """
    mine, theirs = _by_operation(own, operations), _by_operation(inherited, operations)
    return {
        name: overlaid(own[name], inherited[name])
        for place, names in mine.items()
        if place is None or _kind(own, names, place, operations) == _kind(inherited, theirs[place], place, operations)
        for name in names
        if name in inherited and inherited[name].ndim == own[name].ndim and inherited[name].dtype == own[name].dtype
    }


def overlaid(own: Array, inherited: Array) -> Array:
    """Returns a tensor with another's values where the two overlap: a new one, of its own shape.

    Channels overlap from the first on, kernels at their centres. A larger kernel is cropped, a smaller one is padded
    with zeros, so that it computes the same; channels that the other does not have stay as they are.

    Args:
        own: shape (channels out, channels in, height, width) of a convolution, or with fewer dimensions.
        inherited: of as many dimensions.
    """
    result = own.copy()
    channels = tuple(slice(min(sizes)) for sizes in zip(own.shape[:_KERNEL], inherited.shape, strict=False))
    centres = [_centred(*sizes) for sizes in zip(own.shape[_KERNEL:], inherited.shape[_KERNEL:], strict=True)]
    result[channels] = 0
    result[(*channels, *(into for into, _ in centres))] = inherited[(*channels, *(of for _, of in centres))]
    return result


def _centred(own: int, inherited: int) -> tuple[slice, slice]:
    """Returns where the centres of two lengths overlap, in each of them."""
    size = min(own, inherited)
    into, of = (own - size) // 2, (inherited - size) // 2
    return slice(into, into + size), slice(of, of + size)


def _by_operation(tensors: Mapping[str, Array], operations: Collection[str]) -> defaultdict[str | None, list[str]]:
    """Returns the names of tensors by the operation that they belong to; None for those that belong to none."""
    found: defaultdict[str | None, list[str]] = defaultdict(list)
    for name in tensors:
        found[next((place for place in operations if _is_in(name, place)), None)].append(name)
    return found


def _kind(
    tensors: Mapping[str, Array], names: Iterable[str], place: str, operations: Mapping[str, Collection[str]]
) -> dict[str, int]:
    """Returns what tells kinds of operation apart: the names of their tensors, and the number of their dimensions."""
    parts = [f"{place}.{part}" if place else part for part in operations[place]]
    return {name: np.ndim(tensors[name]) for name in names if not any(_is_in(name, part) for part in parts)}


def _is_in(name: str, place: str) -> bool:
    return not place or name.startswith(f"{place}.")
