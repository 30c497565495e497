"""EcoNAS Table 1 by name."""

from __future__ import annotations

import pytest

from store.records.candidates import Proxy
from store.records.reduction import EPOCHS
from trainers import proxy
from trainers.errors import ImpossibleSetting


def test_the_values_are_those_of_table_1() -> None:
    assert [proxy.named(f"c{index}r0s0").channels for index in range(5)] == [36, 24, 18, 12, 8]
    assert [proxy.named(f"c0r{index}s0").resolution for index in range(5)] == [32, 24, 16, 12, 8]
    assert [proxy.named(f"c0r0s{index}").sample_ratio for index in range(4)] == [1.0, 0.5, 0.25, 0.125]


@pytest.mark.parametrize("c", range(5))
@pytest.mark.parametrize("r", range(5))
@pytest.mark.parametrize("s", range(4))
def test_every_setting_of_table_1_has_its_printed_values(c: int, r: int, s: int) -> None:
    """EcoNAS Table 1, whose fourth factor is the epochs of a request."""
    printed = [(36, 24, 18, 12, 8)[c], (32, 24, 16, 12, 8)[r], (1.0, 0.5, 0.25, 0.125)[s]]
    found = proxy.named(f"c{c}r{r}s{s}")
    assert [found.channels, found.resolution, found.sample_ratio] == printed
    assert proxy.name(found) == f"c{c}r{r}s{s}"
    assert EPOCHS == (30, 60, 90, 120)


def test_the_settings_of_the_table_have_names() -> None:
    assert proxy.named("c4r4s0") == Proxy(channels=8, resolution=8, sample_ratio=1.0, cells=20)
    assert proxy.named("c0r0s3", cells=8) == Proxy(channels=36, resolution=32, sample_ratio=0.125, cells=8)
    for text in ("c1r2s3", "c2r3s1", "c3r1s2"):
        assert proxy.name(proxy.named(text)) == text


def test_a_setting_outside_the_table_has_no_name() -> None:
    assert proxy.name(Proxy(channels=10, resolution=8)) is None
    assert proxy.name(Proxy(channels=8)) is None
    for text in ("c5r0s0", "c0r0s4", "c0r0", "c0r0s0e60"):
        with pytest.raises(ImpossibleSetting, match="Table 1"):
            proxy.named(text)


def test_without_a_resolution_images_keep_their_own() -> None:
    assert proxy.resolution(Proxy(), 28) == 28
    assert proxy.resolution(Proxy(resolution=8), 28) == 8
    with pytest.raises(ImpossibleSetting, match=r"at most the 8 pixels"):
        proxy.resolution(Proxy(resolution=16), 8)


def test_cutout_is_scaled_with_the_resolution() -> None:
    assert [proxy.cutout(16, size, 32) for size in proxy.RESOLUTIONS] == [16, 12, 8, 6, 4]
