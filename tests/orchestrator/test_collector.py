"""The pause of the garbage collector."""

from __future__ import annotations

import gc

import pytest

from orchestrator import collector


def fail_while_paused() -> None:
    with collector.paused():
        assert not gc.isenabled()
        raise ValueError("on purpose")


def test_the_collector_is_off_for_a_while_and_back_afterwards_even_after_an_error() -> None:
    with pytest.raises(ValueError, match="on purpose"):
        fail_while_paused()
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with collector.paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
