"""Keys of the blocks of mobile networks (FNAS section 4.3; see `strategies.spaces.blocks`)."""

from __future__ import annotations

from functools import lru_cache

from store.records.candidates import Proxy
from store.records.knowledge import BlockKey
from strategies.spaces.blocks import PLACES, Field, KeyFormat, Keys, check_width, width, width_fields
from strategies.spaces.mobile import CONVOLUTIONS, KERNELS, SKIPS, Layer, MobileGenotype

_KINDS = ("stem", "layer", "features")


@lru_cache(maxsize=8)
def mobile_format(blocks: int) -> KeyFormat:
    """Returns the keys of the blocks of mobile networks; `blocks` is the number of the genotype's."""
    return KeyFormat(
        (
            Field("kind", len(_KINDS)),
            Field("block", blocks),
            Field("place", PLACES),
            *width_fields(1, "in_"),
            *width_fields(2, "out_"),
            Field("convolution", len(CONVOLUTIONS), 2),
            Field("kernel", len(KERNELS)),
            Field("squeeze", 2),
            Field("skip", len(SKIPS)),
            Field("stride", 2),
        )
    )


def mobile_blocks(genotype: MobileGenotype, proxy: Proxy) -> Keys:
    """Returns the blocks of a mobile network: the stem, every layer, and the last convolution, called `features`.

    A block of tensors is a layer, not a block of the genotype, for layers are what two networks have in common: of two
    blocks of three and of four layers the first three can be alike, and a layer's input width matters for it alone.
    The convolution counts twice, because it decides which tensors there are.

    Args:
        genotype: of the convolutions, kernels and skips that the space `mnas` knows.
        proxy: stem's channels, and whether the images are small.
    """
    keys, small = mobile_format(len(genotype.blocks)), proxy.stem != "imagenet"
    ends, layers = genotype.ends(proxy.channels, small=small), tuple(genotype.layers(proxy.channels, small=small))
    check_width(proxy, max(ends.features, *(layer.middle for layer in layers)))
    found = [keys.key("stem", kind=_KINDS.index("stem"), stride=ends.stride - 1, **width(ends.stem, of="out_"))]
    found += [_mobile_layer(keys, genotype, layer) for layer in layers]
    widths = width(layers[-1].outputs, of="in_") | width(ends.features, of="out_")
    return (*found, keys.key("features", kind=_KINDS.index("features"), **widths))


def _mobile_layer(keys: KeyFormat, genotype: MobileGenotype, layer: Layer) -> BlockKey:
    block = genotype.blocks[layer.block]
    return keys.key(
        layer.name,
        kind=_KINDS.index("layer"),
        block=layer.block,
        place=min(layer.place, PLACES - 1),
        **width(layer.inputs, of="in_"),
        **width(layer.outputs, of="out_"),
        convolution=CONVOLUTIONS.index((layer.operation, block.expansion)),
        kernel=KERNELS.index(layer.kernel),
        squeeze=int(block.squeeze),
        skip=SKIPS.index(layer.skip),
        stride=layer.stride - 1,
    )
