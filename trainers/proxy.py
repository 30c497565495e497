"""Reduced settings (c, r, s): the values of EcoNAS Table 1 by index, and what a setting means for given images."""

from __future__ import annotations

import re

from store.records.candidates import Proxy
from store.records.reduction import CHANNELS, RESOLUTIONS, SAMPLE_RATIOS, name
from trainers.errors import ImpossibleSetting

__all__ = ["CHANNELS", "RESOLUTIONS", "SAMPLE_RATIOS", "cutout", "name", "named", "resolution"]

_NAME = re.compile(r"c([0-4])r([0-4])s([0-3])")


def named(name: str, cells: int = 20) -> Proxy:
    """Returns the reduced setting that EcoNAS writes as e.g. `c4r4s0` (section 3.1, Table 1).

    Raises:
        ImpossibleSetting: if Table 1 has no such setting.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ImpossibleSetting("proxy", name, "c0 to c4, r0 to r4 and s0 to s3, e.g. c4r4s0 (EcoNAS, Table 1)")
    c, r, s = (int(index) for index in match.groups())
    return Proxy(channels=CHANNELS[c], resolution=RESOLUTIONS[r], sample_ratio=SAMPLE_RATIOS[s], cells=cells)


def resolution(proxy: Proxy, native: int) -> int:
    """Returns the pixels that images are resized to; `native` pixels if the proxy names none.

    Raises:
        ImpossibleSetting: if that is more than the images have, or too few for the network's two reductions.
    """
    size = proxy.resolution or native
    if size > native:
        raise ImpossibleSetting("proxy.resolution", size, f"at most the {native} pixels that the images have")
    if size < 4:
        raise ImpossibleSetting("proxy.resolution", size, "at least 4 pixels, which two reductions halve twice")
    return size


def cutout(length: int, size: int, native: int) -> int:
    """Returns the side of the erased square at `size` pixels, for `length` at `native` ones (EcoNAS A5.2 (3)).

    16 at 32 pixels is 16, 12, 8, 6, 4 for r0 to r4.
    """
    return round(length * size / native)
