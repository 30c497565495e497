"""Mobile networks from the literature, by name, as timm's architecture strings have them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from strategies.spaces.mobile import MobileBlock, MobileGenotype, read_block


def _blocks(text: str) -> tuple[MobileBlock, ...]:
    return tuple(read_block(block) for block in text.split())


PUBLISHED_MOBILE: Mapping[str, MobileGenotype] = MappingProxyType(
    {
        "MobileNetV2": MobileGenotype(
            _blocks(
                "ds_r1_k3_s1_c16 ir_r2_k3_s2_e6_c24 ir_r3_k3_s2_e6_c32 ir_r4_k3_s2_e6_c64 ir_r3_k3_s1_e6_c96 "
                "ir_r3_k3_s2_e6_c160 ir_r1_k3_s1_e6_c320"
            ),
            activation="relu6",
        ),
        "MnasNet-A1": MobileGenotype(
            _blocks(
                "ds_r1_k3_s1_c16_noskip ir_r2_k3_s2_e6_c24 ir_r3_k5_s2_e3_c40_se0.25 ir_r4_k3_s2_e6_c80 "
                "ir_r2_k3_s1_e6_c112_se0.25 ir_r3_k5_s2_e6_c160_se0.25 ir_r1_k3_s1_e6_c320"
            ),
        ),
        "EfficientNet-B0": MobileGenotype(
            _blocks(
                "ds_r1_k3_s1_c16_se0.25 ir_r2_k3_s2_e6_c24_se0.25 ir_r2_k5_s2_e6_c40_se0.25 ir_r3_k3_s2_e6_c80_se0.25 "
                "ir_r3_k5_s1_e6_c112_se0.25 ir_r4_k5_s2_e6_c192_se0.25 ir_r1_k3_s1_e6_c320_se0.25"
            ),
            activation="silu",
        ),
    }
)
"""MobileNetV2 (2018), MnasNet-A1 and EfficientNet-B0 (2019), at their published width and for ImageNet."""
