"""Outcomes in words: what is told of a failure on one line."""

from __future__ import annotations

import traceback

import pytest

from store.records.outcomes import Failure, brief


def raised(error: Exception) -> str:
    """The traceback of an error that another one led to."""
    try:
        try:
            raise KeyError("first")
        except KeyError as first:
            raise error from first
    except Exception as caught:
        return "".join(traceback.format_exception(caught)).strip()


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (raised(ValueError("by design")), "ValueError: by design"),
        (
            raised(RuntimeError("CUDA error: launch\nCompile with TORCH_USE_CUDA_DSA")),
            "RuntimeError: CUDA error: launch",
        ),
        (raised(ValueError("by design"))[-60:], "ValueError: by design"),
        ("loss is not finite at epoch 1, step 3", "loss is not finite at epoch 1, step 3"),
        ("worker-1 ended:\nkilled by signal 9\n\n", "killed by signal 9"),
        ("", ""),
    ],
    ids=["traceback", "error of several lines", "end of a traceback", "one line", "several lines", "nothing"],
)
def test_a_message_on_one_line_is_what_names_the_error(message: str, line: str) -> None:
    assert brief(message) == line


def test_a_failure_in_words_has_its_reason_and_keeps_the_whole_message() -> None:
    whole = raised(ValueError("by design"))
    failure = Failure(reason="error", retryable=False, message=whole)
    assert failure.words == "error: ValueError: by design"
    assert failure.message == whole
