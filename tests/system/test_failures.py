"""What can go wrong, made to go wrong: the store stays sound, and the search ends as it would have."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.opening import Store
from store.records.events import AttemptFailed, CheckpointQuarantined, JobFailed, JobStarted
from tests.system import harness

FAULT = """
[[faults]]
kind = "{kind}"
epoch = {epoch}
attempts = {attempts}
every = 3
"""


def faults(kind: str, *, epoch: int = 1, attempts: int = 1) -> str:
    return FAULT.format(kind=kind, epoch=epoch, attempts=attempts)


def assert_sound(store: Path) -> None:
    assert json.loads(harness.coldframe("check", "--store", str(store), "--json"))["problems"] == []
    harness.assert_none_left(store)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of the same search without any fault."""
    folder = tmp_path_factory.mktemp("reference")
    harness.run(harness.econas(folder, epoch_seconds=0.0), folder / "store")
    return folder / "store"


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a single cycle."""
    folder = tmp_path_factory.mktemp("short")
    harness.run(harness.econas(folder, cycles=1, epoch_seconds=0.0), folder / "store")
    return folder / "store"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("exit", "crashed"),
        ("segfault", "crashed"),
        ("exit_after_save", "crashed"),
        ("hang", "hung"),
        ("out_of_memory", "out_of_memory"),
        ("error", "error"),
        ("cuda_error", "device"),
        ("disk_full", "disk_full"),
    ],
)
def test_a_failed_attempt_is_tried_again_and_the_result_is_the_same(
    tmp_path: Path, short: Path, kind: str, reason: str
) -> None:
    spec = harness.econas(tmp_path, cycles=1, epoch_seconds=0.0, more="hang_seconds = 1.5\n" + faults(kind))
    store = tmp_path / "store"
    ended = harness.run(spec, store)
    assert ended["status"] == "finished"
    failed = [event for event in harness.events(store) if isinstance(event, AttemptFailed)]
    assert failed
    assert {event.reason for event in failed if "before it began" not in event.message} == {reason}
    assert harness.result(store) == harness.result(short)
    assert harness.checkpoints(store) == harness.checkpoints(short)
    assert_sound(store)


@pytest.mark.parametrize(("kind", "reason"), [("nan", "diverged"), ("error", "error"), ("exit", "crashed")])
def test_a_candidate_that_always_fails_is_kept_with_its_failure_and_the_search_goes_on(
    tmp_path: Path, kind: str, reason: str
) -> None:
    spec = harness.econas(tmp_path, cycles=1, epoch_seconds=0.0, more="retries = 1\n" + faults(kind, attempts=9))
    store = tmp_path / "store"
    assert harness.run(spec, store)["status"] == "finished"
    given_up = [event.outcome for event in harness.events(store) if isinstance(event, JobFailed)]
    assert {outcome.reason for outcome in given_up} == {reason}
    history = harness.result(store)["history"]
    failed = [individual for individual in history if individual["failure"]]
    assert 0 < len(failed) < len(history)
    assert all(individual["accuracy"] is None or individual["epochs"] for individual in failed)
    assert_sound(store)


@pytest.fixture
def with_a_resume(tmp_path: Path, reference: Path) -> tuple[Path, str]:
    """A search of one cycle, and a checkpoint from which the search of three cycles will resume."""
    store = tmp_path / "store"
    harness.run(harness.econas(tmp_path, cycles=1, epoch_seconds=0.0), store)
    have = set(harness.checkpoints(store).values())
    starts = [event for event in harness.events(reference) if isinstance(event, JobStarted)]
    done = {event.job for event in harness.events(store) if isinstance(event, JobStarted)}
    wanted = next(e.checkpoint for e in starts if e.job not in done and e.checkpoint in have and e.epoch == 2)
    assert wanted is not None
    return store, wanted


def extend_and_compare(tmp_path: Path, store: Path, reference: Path, checkpoint: str) -> None:
    """Runs the search on, and expects the checkpoint set aside, the job resumed before it, and the same result."""
    assert harness.run(harness.econas(tmp_path, epoch_seconds=0.0), store)["status"] == "finished"
    seen = harness.events(store)
    set_aside = next(n for n, e in enumerate(seen) if isinstance(e, CheckpointQuarantined))
    assert seen[set_aside].checkpoint == checkpoint  # type: ignore[union-attr]
    job = next(e.job for e in seen[set_aside:] if isinstance(e, AttemptFailed))
    again = next(e for e in seen[set_aside:] if isinstance(e, JobStarted) and e.job == job)
    assert (again.epoch, again.attempt) == (1, 2)
    assert harness.result(store) == harness.result(reference)
    assert harness.checkpoints(store) == harness.checkpoints(reference)


def test_a_flipped_byte_in_a_blob_is_noticed_and_the_newest_sound_checkpoint_used(
    tmp_path: Path, reference: Path, with_a_resume: tuple[Path, str]
) -> None:
    store, checkpoint = with_a_resume
    with Store.open(store, write=False) as opened:
        blob = opened.checkpoints.manifest(checkpoint).blocks[0].blob
    (pack,) = [path.parent for path in (store / "blobs").rglob("zarr.json") if blob in path.read_text()]
    (chunk,) = [path for path in pack.rglob("*") if path.is_file() and path.name != "zarr.json"]
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    assert json.loads(harness.coldframe("check", "--store", str(store), "--json", expected=1))["problems"]
    extend_and_compare(tmp_path, store, reference, checkpoint)
    assert_sound(store)


def test_a_truncated_manifest_is_noticed_and_the_newest_sound_checkpoint_used(
    tmp_path: Path, reference: Path, with_a_resume: tuple[Path, str]
) -> None:
    store, checkpoint = with_a_resume
    (path,) = (store / "manifests").rglob(f"{checkpoint}*")
    path.write_bytes(path.read_bytes()[:-20])
    extend_and_compare(tmp_path, store, reference, checkpoint)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 24 MB; needs the right to mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False) if shutil.which("mount") else None
    if done is None or done.returncode != 0:
        pytest.skip(f"cannot mount a small tmpfs here: {done.stderr.strip() if done else 'no mount command'}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_waited_out_and_nothing_is_lost(small_disk: Path, tmp_path: Path, reference: Path) -> None:
    ballast = small_disk / "ballast"
    store = small_disk / "store"
    spec = harness.econas(tmp_path, epoch_seconds=0.0)
    process = harness.start(spec, store)
    assert process.stderr is not None
    process.stderr.readline()
    with ballast.open("wb") as file:
        while os.statvfs(small_disk).f_bavail:
            try:
                file.write(b"\0" * 4096)
                file.flush()
            except OSError:
                break
    said = ""
    while "full" not in said:
        line = process.stderr.readline()
        assert line, f"the search ended without a word about the disk: {said}"
        said += line
    assert process.poll() is None
    ballast.unlink()
    assert harness.finish(process)["status"] == "finished"
    assert harness.result(store) == harness.result(reference)
    assert harness.checkpoints(store) == harness.checkpoints(reference)
    assert_sound(store)


def test_a_store_on_a_read_only_path_is_refused_with_one_clear_line(small_disk: Path, tmp_path: Path) -> None:
    spec = harness.econas(tmp_path, epoch_seconds=0.0, cycles=1)
    store = small_disk / "store"
    harness.run(spec, store)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    said = harness.coldframe("run", str(spec), "--store", str(store), expected=2)
    assert "Read-only" in said
    assert "Traceback" not in said
    assert json.loads(harness.coldframe("list", "--store", str(store), "--json"))


def test_a_store_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    spec, store = harness.econas(tmp_path, epoch_seconds=0.0, cycles=1), tmp_path / "store"
    harness.run(spec, store)
    path = store / "format"
    content = json.loads(path.read_text())
    (version_key,) = [key for key, value in content.items() if isinstance(value, int) and not isinstance(value, bool)]
    path.write_text(json.dumps(content | {version_key: content[version_key] + 1}))
    said = harness.coldframe("run", str(spec), "--store", str(store), expected=2)
    assert "format" in said
    assert "Traceback" not in said
