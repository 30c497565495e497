"""Failures on purpose: what a spec's `faults` make a worker do, so that every way to die can be tested for real."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
from collections.abc import Iterable
from typing import NoReturn

from store.records.candidates import Fault
from trainers.errors import Diverged

EXIT_STATUS = 3


class ScriptedOutOfMemory(MemoryError):
    """Raised by the fault `out_of_memory`."""


def strike(faults: Iterable[Fault], candidate: str, attempt: int, epoch: int, *, saved: bool = False) -> None:
    """Commits the first fault that is due, or does nothing.

    Args:
        faults: what may happen.
        candidate: digest of the candidate at work.
        attempt: the attempt, counted from 1.
        epoch: epochs done; 0 is before training.
        saved: whether this is the moment between a checkpoint's save and its report, the only one at which
            `exit_after_save` is due; the other kinds are due at the others.

    Raises:
        Diverged: by the fault `nan`.
        MemoryError: by `out_of_memory`.
        OSError: by `disk_full`.
        RuntimeError: by `error` and `cuda_error`.
    """
    for fault in faults:
        due = fault.epoch == epoch and (fault.kind == "exit_after_save") == saved
        if due and fault.matches(candidate, attempt):
            _commit(fault, epoch)


def _commit(fault: Fault, epoch: int) -> NoReturn:
    match fault.kind:
        case "exit" | "exit_after_save":
            os._exit(EXIT_STATUS)
        case "segfault":
            _segfault()
        case "hang":
            _hang()
        case "nan":
            raise Diverged(epoch, 0)
        case "out_of_memory":
            raise ScriptedOutOfMemory(f"out of memory on purpose after epoch {epoch}")
        case "disk_full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        case "cuda_error":
            raise RuntimeError("CUDA error: an illegal memory access was encountered (on purpose)")
        case "error":
            raise RuntimeError(f"failed on purpose after epoch {epoch}")


def _segfault() -> NoReturn:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a test leaves no core file behind
    ctypes.string_at(0)
    os._exit(EXIT_STATUS)


def _hang() -> NoReturn:
    """Blocks without a heartbeat, deaf to everything but SIGKILL, as a thread stuck in a driver is."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    while True:
        signal.pause()
