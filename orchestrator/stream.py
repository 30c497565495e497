"""A stream for people that cannot disturb what writes to it: the search matters more than who watches it."""

from __future__ import annotations

import io
import os
from typing import Any, TextIO


def silence(stream: TextIO) -> None:
    """Lets what is still written to a stream whose reader is gone go nowhere, instead of failing once more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


class Unfailing:
    """Writes to a stream and raises nothing: not if its disk is full, its reader gone, or a character unknown to it.

    A full disk may have room again, so each piece is tried anew; a reader that is gone does not come back.

    Args:
        stream: where the text goes. Characters that its encoding lacks are written as escapes from now on.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        """Writes a text if that is possible; returns its length either way."""
        try:
            self._stream.write(text)
        except OSError as error:
            self._lost(error)
        return len(text)

    def flush(self) -> None:
        """Passes on what was written, if that is possible."""
        try:
            self._stream.flush()
        except OSError as error:
            self._lost(error)

    def _lost(self, error: OSError) -> None:
        if isinstance(error, BrokenPipeError):
            silence(self._stream)

    def __getattr__(self, name: str) -> Any:
        """What else a stream is asked for (`isatty`, `encoding`, `fileno`) is the stream's own answer."""
        return getattr(self._stream, name)
