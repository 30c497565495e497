"""The reduction factors of EcoNAS Table 1, and the names that it gives to reduced settings."""

from __future__ import annotations

from store.records.candidates import Proxy

CHANNELS = (36, 24, 18, 12, 8)
RESOLUTIONS = (32, 24, 16, 12, 8)
SAMPLE_RATIOS = (1.0, 0.5, 0.25, 0.125)
EPOCHS = (30, 60, 90, 120)


def indices(proxy: Proxy) -> tuple[int, int, int] | None:
    """Returns a setting's (c, r, s) as indices of Table 1; none if it is not one of the table's."""
    try:
        resolution = RESOLUTIONS.index(proxy.resolution or 0)
        return CHANNELS.index(proxy.channels), resolution, SAMPLE_RATIOS.index(proxy.sample_ratio)
    except ValueError:
        return None


def name(proxy: Proxy) -> str | None:
    """Returns a setting's name in Table 1, e.g. `c4r4s0`; none if it is not one of the table's."""
    found = indices(proxy)
    return None if found is None else "c{}r{}s{}".format(*found)
