"""Calls that may hang for ever, in threads that nobody has to wait for.

Not `anyio.to_thread`: its threads are joined when the program ends, and a call that hangs in a driver would hold it up.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")


class Call(Generic[T]):
    """A call in a thread of its own; start it on the event loop.

    Attributes:
        done: set when the call has returned or raised, however late.
    """

    def __init__(self, call: Callable[[], T]) -> None:
        self.done = anyio.Event()
        self._returned: list[T] = []
        self._error: BaseException | None = None
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, args=(call,), name="driver call", daemon=True).start()

    def result(self) -> T:
        """Returns what the call returned, or raises what it raised; only after `done`."""
        if self._error is not None:
            raise self._error
        return self._returned[0]

    def _run(self, call: Callable[[], T]) -> None:
        try:
            self._returned.append(call())
        except BaseException as error:  # whatever it is belongs to who asked
            self._error = error
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self.done.set)


def within(seconds: float, call: Callable[[], T]) -> T:
    """Makes a call that may hang, without an event loop.

    Raises:
        TimeoutError: if it does not return in time; its thread is left to itself.
    """
    returned: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            returned.append(call())
        except BaseException as error:  # raised again by who asked
            errors.append(error)

    thread = threading.Thread(target=run, name="driver call", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not returned:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return returned[0]
