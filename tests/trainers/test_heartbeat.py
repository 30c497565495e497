"""Signs of life of a computation: as long as it is busy, and only then."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import count

import pytest

from trainers import heartbeat as module
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


def test_a_block_that_a_slow_disk_works_for_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """However little processor time that takes."""
    moved: Iterator[int] = count()
    monkeypatch.setattr(module, "_blocks_moved", lambda: next(moved))
    monkeypatch.setattr(module, "BUSY_SHARE", float("inf"))
    third, beats = threading.Event(), count(1)

    def beat() -> None:
        if next(beats) == 3:
            third.set()

    with heartbeat(beat, 0.01):
        assert third.wait(60)


def test_nothing_beats_after_the_end_of_the_block_however_it_ended() -> None:
    threads = threading.active_count()
    with pytest.raises(ValueError, match="over"), heartbeat(lambda: None, 0.01):
        raise ValueError("over")
    assert threading.active_count() == threads
