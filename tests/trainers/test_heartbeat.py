"""Signs of life of a computation: as long as it is busy, and only then."""

from __future__ import annotations

import threading

import pytest

from trainers.heartbeat import heartbeat


def test_a_busy_block_beats_again_and_again() -> None:
    beats: list[bool] = []
    with heartbeat(lambda: beats.append(True), 0.01):
        while len(beats) < 3:
            pass


def test_a_block_that_waits_is_silent() -> None:
    beats: list[bool] = []
    with heartbeat(lambda: beats.append(True), 0.05):
        threading.Event().wait(0.4)
    assert len(beats) <= 1  # what ran before the wait may have been enough for one


def test_nothing_beats_after_the_end_of_the_block_however_it_ended() -> None:
    threads = threading.active_count()
    with pytest.raises(ValueError, match="over"), heartbeat(lambda: None, 0.01):
        raise ValueError("over")
    assert threading.active_count() == threads
