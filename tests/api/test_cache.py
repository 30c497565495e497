"""Answers that are kept: made once for all who wait, given again while they are fresh, and never too many of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.api import cache
from orchestrator.api.cache import ENTRY_BYTES, Answers


def saying(value: Any, made: list[Any]) -> Callable[[], Callable[[], Any]]:
    """What makes an answer, and notes that it did."""

    def make() -> Any:
        made.append(value)
        return value

    return lambda: make


async def test_all_who_ask_at_once_get_what_one_has_made() -> None:
    answers, made = Answers(), list[Any]()
    found = await asyncio.gather(*(answers.get("key", 1, saying("answer", made)) for _ in range(20)))
    assert set(found) == {b'"answer"'}
    assert made == ["answer"]


async def test_an_answer_from_before_an_order_is_not_given_after_it() -> None:
    answers, made = Answers(), list[Any]()
    assert await answers.get("key", 1, saying("before", made)) == b'"before"'
    assert await answers.get("key", 1, saying("unasked", made)) == b'"before"'
    assert await answers.get("key", 2, saying("after", made)) == b'"after"'
    assert made == ["before", "after"]


async def test_what_fails_is_tried_again() -> None:
    answers, made = Answers(), list[Any]()

    def fails() -> Any:
        raise OSError("no disk")

    with pytest.raises(OSError, match="no disk"):
        await answers.get("key", 1, lambda: fails)
    assert await answers.get("key", 1, saying("answer", made)) == b'"answer"'


@pytest.mark.parametrize("length", [0, 100, 5000])
async def test_answers_that_nobody_asks_for_any_more_make_room(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    monkeypatch.setattr(cache, "KEPT_BYTES", 20 * ENTRY_BYTES)
    answers, made = Answers(), list[Any]()
    for number in range(200):
        await answers.get(number, 1, saying("x" * length, made))
        await answers.get("often", 1, saying("kept", made))
    assert made.count("kept") == 1
    assert len(answers._kept) <= 20
    assert answers._size == sum(ENTRY_BYTES + len(one.body) for one in answers._kept.values())


async def test_an_answer_that_goes_while_it_is_made_is_given_and_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "KEPT_BYTES", 2 * ENTRY_BYTES)
    answers, made = Answers(), list[Any]()
    found = await asyncio.gather(*(answers.get(number, 1, saying("x" * 500, made)) for number in range(30)))
    assert set(found) == {b'"%s"' % (b"x" * 500)}
    assert answers._size == sum(ENTRY_BYTES + len(one.body) for one in answers._kept.values())
