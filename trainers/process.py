"""The worker as a process: whom it dies with, which signals it heeds, and how it ends."""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import NoReturn

from trainers.errors import HandshakeRefused

# Exit statuses, after <sysexits.h> where it has one.
ORPHANED = 0
BROKEN_DEVICE = 69
BAD_PROTOCOL = 76

_PR_SET_PDEATHSIG = 1
# Options of glibc's mallopt: the largest free top that is kept, what the heap grows by, from when on a block has a
# mapping of its own (32 MiB is the most that glibc allows).
_MALLOPT = {-1: 1 << 30, -2: 1 << 26, -3: 1 << 25}
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")

log = logging.getLogger("coldframe.worker")


def settle(worker: str, parent: int, threads: int) -> None:
    """Makes this process a worker. Call it before numpy or torch are imported: they read their threads once.

    Raises:
        HandshakeRefused: if the parent is not, or no longer, the process that was meant.
    """
    _die_with(parent)
    # A terminal's Ctrl-C, and the SIGTERM of a service manager or a batch system, reach the whole process group; what
    # happens then is the daemon's decision, and a worker that ended by itself would be charged to its job as a crash.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)  # lets the daemon log where a hung worker stands
    _close_stdin()
    keep_memory()
    for variable in _THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=f"%(asctime)s {worker} %(message)s")


def keep_memory() -> None:
    """Has the C library keep memory that is freed, up to 1 GiB, where it has that option (glibc).

    A step of training frees and allocates the same large tensors again. By default they go back to the system in
    between and come again page by page, zeroed: 2 to 6 % of a step's time from 16 x 16 pixels on (measured, batch 256).
    Blocks of 32 MiB and more go back as before.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in _MALLOPT.items():
            mallopt(option, value)


def adopt(descriptor: int) -> socket.socket:
    """Returns the inherited socket.

    Raises:
        HandshakeRefused: if the descriptor is not a stream socket.
    """
    try:
        connection = socket.socket(fileno=descriptor)
    except OSError as error:
        raise HandshakeRefused(f"--fd {descriptor} is not a socket ({error.strerror})") from error
    if connection.type != socket.SOCK_STREAM:
        raise HandshakeRefused(f"--fd {descriptor} is not a stream socket")
    return connection


def leave(status: int, why: str) -> NoReturn:
    """Ends the process at once, without clean-up that could block (a CUDA context, a thread in a driver)."""
    log.info("leaving with status %d: %s", status, why)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # the log may lie on a full disk, and the status must be the one that was meant
            stream.flush()
    os._exit(status)


def _die_with(parent: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise HandshakeRefused(f"prctl failed ({os.strerror(ctypes.get_errno())})")
    if os.getppid() != parent:  # it may have died before the line above
        raise HandshakeRefused(f"the parent is process {os.getppid()}, not {parent}")


def _close_stdin() -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
