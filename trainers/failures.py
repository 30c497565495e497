"""Why an attempt failed, in the words of the protocol."""

from __future__ import annotations

import errno
import math
import sys
import traceback

from store.errors import (
    BlobCorrupt,
    BlobMissing,
    InvalidDigest,
    ManifestCorrupt,
    ManifestMissing,
    NotCanonical,
    StoreError,
    StoreFull,
)
from store.records.messages import Assign, Failed
from store.records.outcomes import Computed, Evaluated, Measured, Reason, Trained
from store.records.requests import Compute, Evaluate
from strategies.errors import InvalidArchitecture, InvalidOptions, StrategyError
from trainers.errors import (
    BadRequest,
    DataChanged,
    DataPathMissing,
    DataVariableUnset,
    Diverged,
    InheritedBlockLost,
    TableChanged,
    TableMissing,
    TrainerError,
)

LONGEST_MESSAGE = 2000

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_MEMORY = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
_DEVICE = ("CUDA error", "CUDNN_STATUS", "CUBLAS_STATUS", "CUFFT", "No CUDA GPUs are available", "NVIDIA driver")


def classify(error: BaseException, assign: Assign) -> Failed:
    """Returns the report of an attempt that ended with an exception.

    Args:
        error: what the trainer, the store or the computation raised.
        assign: the order that was being carried out; it says which checkpoint was read.
    """
    reason = reason_of(error)
    if isinstance(assign.request, Compute) and reason == "diverged":
        reason = "error"  # a computation has no loss: it returned what cannot be kept
    checkpoint, blobs = _unreadable(error, assign)
    return Failed(
        job=assign.job,
        attempt=assign.attempt,
        reason=reason,
        message=_message(error),
        checkpoint=checkpoint,
        blobs=blobs,
    )


def reason_of(error: BaseException) -> Reason:
    """Returns the protocol's word for an exception. `error` stands for all that is not known to be anything else.

    Data out of reach are an `error`, which is tried again: a mount may come back, and the candidate is none the worse.
    """
    match error:
        case BlobMissing() | BlobCorrupt() | ManifestMissing() | ManifestCorrupt():
            return "corrupt_checkpoint"
        case InheritedBlockLost():
            return "corrupt_block"
        case Diverged() | NotCanonical():
            return "diverged"
        case DataPathMissing() | DataVariableUnset() | DataChanged() | TableMissing() | TableChanged():
            return "error"
        case BadRequest() | InvalidArchitecture() | InvalidOptions() | InvalidDigest():
            return "bad_request"
        case StoreFull():
            return "disk_full"
        case OSError(errno=number) if number in _FULL:
            return "disk_full"
        case MemoryError():
            return "out_of_memory"
        case RuntimeError():
            return _reason_of_torch(error)
    return "error"


def check_finite(outcome: Trained | Evaluated | Measured | Computed) -> None:
    """Checks what a trainer gives back: a NaN can be neither kept nor ranked.

    Raises:
        Diverged: if an accuracy, a loss or a latency is not finite.
    """
    match outcome:
        case Trained(epochs=epochs):
            numbers: list[float | None] = [outcome.accuracy]
            for metrics in outcome.history:
                numbers += [metrics.train_loss, metrics.train_accuracy]
                numbers += [metrics.validation_loss, metrics.validation_accuracy]
        case Evaluated():
            epochs, numbers = 0, [outcome.accuracy, outcome.loss]
        case Measured():
            epochs, numbers = 0, [outcome.latency_ms]
        case Computed():
            return
    if not all(math.isfinite(number) for number in numbers if number is not None):
        raise Diverged(epochs, 0, "an accuracy, loss or latency of the outcome")


def _reason_of_torch(error: RuntimeError) -> Reason:
    """Tells torch's errors apart by their text, since most have no class; an out-of-memory does no lasting harm."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return "out_of_memory"
    text = str(error)
    if any(sign in text for sign in _NO_MEMORY):
        return "out_of_memory"
    return "device" if any(sign in text for sign in _DEVICE) else "error"


def _unreadable(error: BaseException, assign: Assign) -> tuple[str | None, tuple[str, ...]]:
    """The manifest that could not be used, and its blobs: what the error names, else what the order said to read."""
    match assign.request:
        case Evaluate(checkpoint=checkpoint) | Compute(state=checkpoint):
            read = checkpoint
        case _:
            read = assign.resume
    match error:
        case InheritedBlockLost():
            return error.checkpoint, error.blobs
        case ManifestMissing() | ManifestCorrupt():
            return error.digest, ()
        case BlobMissing() | BlobCorrupt():
            return read, (error.digest,)
    return None, ()


def _message(error: BaseException) -> str:
    """What people read: the error's own words if it is one of ours, else the end of its traceback."""
    if isinstance(error, TrainerError | StoreError | StrategyError):
        return str(error)[:LONGEST_MESSAGE]
    return "".join(traceback.format_exception(error)).strip()[-LONGEST_MESSAGE:]
