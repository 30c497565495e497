"""What each exception is called in the protocol."""

from __future__ import annotations

import errno
import math
from pathlib import Path

import pytest
import torch

from store.errors import (
    BlobCorrupt,
    BlobMissing,
    InvalidDigest,
    ManifestCorrupt,
    ManifestMissing,
    NotCanonical,
    StoreFull,
    StoreReadOnly,
)
from store.records.outcomes import Computed, EpochMetrics, Evaluated, Measured, Reason, Trained
from store.records.requests import Compute, Evaluate
from strategies.errors import InvalidArchitecture, InvalidOptions, OptionProblem
from tests.trainers.harness import assign, candidate
from trainers.errors import (
    DataChanged,
    DataError,
    DataMalformed,
    DataPathMissing,
    DataVariableUnset,
    Diverged,
    ImpossibleSetting,
    InheritedBlockLost,
    UnknownDataSet,
    UnknownTrainer,
)
from trainers.failures import LONGEST_MESSAGE, check_finite, classify, reason_of
from trainers.faults import ScriptedOutOfMemory

PLACE = Path("/store/x")
DIGEST, OTHER = "a" * 64, "b" * 64

NAMED: list[tuple[BaseException, Reason]] = [
    (Diverged(1, 2), "diverged"),
    (NotCanonical(math.nan, "it is not finite"), "diverged"),
    (BlobCorrupt(DIGEST, PLACE), "corrupt_checkpoint"),
    (BlobMissing(DIGEST), "corrupt_checkpoint"),
    (ManifestCorrupt(DIGEST, "it is short"), "corrupt_checkpoint"),
    (ManifestMissing(DIGEST), "corrupt_checkpoint"),
    (InheritedBlockLost(DIGEST, BlobMissing(OTHER), (OTHER,)), "corrupt_block"),
    (InvalidDigest("../x"), "bad_request"),
    (InvalidArchitecture("cell", (1, 2), "56 genes"), "bad_request"),
    (InvalidOptions([OptionProblem("space.nodes", 0, "1 or more")]), "bad_request"),
    (ImpossibleSetting("proxy.resolution", 4, "8 or more"), "bad_request"),
    (DataError("digits", "is not there"), "bad_request"),
    (UnknownDataSet("imagenet", ["digits"]), "bad_request"),
    (DataMalformed("npz", "x.npz", "x_train", "float32 values", "uint8"), "bad_request"),
    (DataPathMissing("npz", "/mnt/x.npz", "an .npz file"), "error"),
    (DataVariableUnset("npz", "$SETS/x.npz", "SETS"), "error"),
    (DataChanged("npz", "/mnt/x.npz", DIGEST, OTHER), "error"),
    (UnknownTrainer("x", ["cell"]), "bad_request"),
    (StoreFull(PLACE, "full"), "disk_full"),
    (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
    (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk_full"),
    (OSError(errno.EFBIG, "File too large"), "disk_full"),
    (OSError(errno.EACCES, "Permission denied"), "error"),
    (StoreReadOnly(PLACE, "read-only"), "error"),
    (MemoryError(), "out_of_memory"),
    (ScriptedOutOfMemory(), "out_of_memory"),
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "out_of_memory"),
    (RuntimeError("CUDA error: out of memory"), "out_of_memory"),
    (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "out_of_memory"),
    (RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"), "out_of_memory"),
    (RuntimeError("CUDA error: an illegal memory access was encountered"), "device"),
    (RuntimeError("CUDA error: device-side assert triggered"), "device"),
    (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "device"),
    (RuntimeError("No CUDA GPUs are available"), "device"),
    (RuntimeError("shape '[3]' is invalid for input of size 4"), "error"),
    (ValueError("x"), "error"),
    (SystemExit(1), "error"),
]


@pytest.mark.parametrize(("error", "reason"), NAMED, ids=lambda value: str(value)[:40])
def test_every_failure_has_its_reason(error: BaseException, reason: Reason) -> None:
    assert reason_of(error) == reason


def test_an_accelerator_error_of_torch_is_a_broken_device() -> None:
    """torch raises it for CUDA errors since 2.8; it is a RuntimeError, and that is what the check relies on."""
    assert issubclass(torch.AcceleratorError, RuntimeError)
    assert issubclass(torch.OutOfMemoryError, RuntimeError)
    assert torch.cuda.OutOfMemoryError is torch.OutOfMemoryError


def test_a_corrupt_block_names_the_checkpoint_that_the_order_said_to_read() -> None:
    resumed = classify(BlobCorrupt(DIGEST, PLACE), assign(resume=OTHER))
    assert (resumed.checkpoint, resumed.blobs) == (OTHER, (DIGEST,))
    evaluation = assign(Evaluate(candidate=candidate(), checkpoint=OTHER))
    evaluated = classify(BlobMissing(DIGEST), evaluation)
    assert (evaluated.checkpoint, evaluated.blobs) == (OTHER, (DIGEST,))


def test_a_corrupt_manifest_names_itself() -> None:
    failed = classify(ManifestCorrupt(DIGEST, "it is short"), assign(resume=OTHER))
    assert (failed.checkpoint, failed.blobs) == (DIGEST, ())


def test_a_block_to_start_from_names_its_own_checkpoint_not_the_one_that_was_gone_on_from() -> None:
    failed = classify(InheritedBlockLost(DIGEST, BlobCorrupt(OTHER, PLACE), (OTHER,)), assign(resume=OTHER))
    assert (failed.reason, failed.checkpoint, failed.blobs) == ("corrupt_block", DIGEST, (OTHER,))
    assert OTHER[:8] in failed.message


def test_other_failures_name_no_checkpoint() -> None:
    failed = classify(RuntimeError("x"), assign(resume=OTHER))
    assert (failed.checkpoint, failed.blobs) == (None, ())


def test_the_message_of_our_own_errors_is_what_they_say() -> None:
    assert classify(Diverged(3, 4), assign()).message == "the training loss is not finite in epoch 3, step 4"


def test_the_message_of_an_unknown_error_is_the_end_of_its_traceback() -> None:
    def there(depth: int) -> None:
        if depth == 0:
            raise ValueError("the end of it")
        back(depth - 1)

    def back(depth: int) -> None:  # frames that take turns are not folded into `repeated 60 times`
        there(depth)

    with pytest.raises(ValueError, match="the end of it") as caught:
        there(60)
    message = classify(caught.value, assign()).message
    assert message.endswith("ValueError: the end of it")
    assert "test_failures.py" in message
    assert len(message) <= LONGEST_MESSAGE


def test_a_computation_that_returns_what_cannot_be_kept_has_not_diverged() -> None:
    failed = classify(NotCanonical(object(), "no"), assign(Compute(function="a:b", arguments=b"")))
    assert failed.reason == "error"


EPOCH = EpochMetrics(epoch=1, train_loss=1.0, train_accuracy=0.5, validation_loss=1.0, validation_accuracy=0.5)
SOUND = Trained(
    candidate=DIGEST,
    epochs=1,
    accuracy=0.5,
    history=(EPOCH,),
    checkpoint=DIGEST,
    parameters=1,
    multiply_adds=1,
)


def test_finite_outcomes_pass() -> None:
    for outcome in (
        SOUND,
        Evaluated(accuracy=0.1, loss=2.0, images=10),
        Measured(parameters=1, multiply_adds=1),
        Measured(parameters=1, multiply_adds=1, latency_ms=0.5),
        Computed(value=b""),
    ):
        check_finite(outcome)


@pytest.mark.parametrize("field", ["train_loss", "train_accuracy", "validation_loss", "validation_accuracy"])
def test_one_number_that_is_not_finite_anywhere_in_the_history_is_a_divergence(field: str) -> None:
    bad = SOUND.model_copy(update={"history": (EPOCH, EPOCH.model_copy(update={field: math.inf}))})
    with pytest.raises(Diverged):
        check_finite(bad)


@pytest.mark.parametrize(
    "outcome",
    [
        SOUND.model_copy(update={"accuracy": math.nan}),
        Evaluated(accuracy=math.nan, loss=1.0, images=1),
        Evaluated(accuracy=0.5, loss=math.inf, images=1),
        Measured(parameters=1, multiply_adds=1, latency_ms=math.nan),
    ],
    ids=["trained", "accuracy", "loss", "latency"],
)
def test_outcomes_that_are_not_finite_are_divergences(outcome: Trained | Evaluated | Measured) -> None:
    with pytest.raises(Diverged, match="not finite"):
        check_finite(outcome)
