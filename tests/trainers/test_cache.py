"""Decoded images on disk: made once, whoever is killed meanwhile; never half of them, never a wrong byte."""

from __future__ import annotations

import logging
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from store import caches
from store.errors import StoreFull
from tests.trainers.harness import ROOT, SECONDS
from tests.trainers.pictures import Counted
from trainers import cache
from trainers.cache import Stored
from trainers.cache_log import Log
from trainers.errors import DataMalformed
from trainers.failures import reason_of
from trainers.sources import silent

PARTS = [0, 4, 8, 12, 16, 20]


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "CHUNK_IMAGES", 4)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "0"


def _is_whole(found: Stored, source: Counted) -> bool:
    kept = [number for number in range(len(source.labels)) if str(number) not in found.broken]
    pixels = source.arrays.pixels[kept].astype(np.int64)
    return (
        np.array_equal(found.pixels, pixels)
        and found.labels.tolist() == source.labels[kept].tolist()
        and found.class_names == source.class_names
        and np.array_equal(found.sums, np.stack([pixels.sum((2, 3)), (pixels**2).sum((2, 3))], axis=2))
    )


def _stored(place: Path, source: Counted) -> Stored:
    return cache.stored(place, lambda: source, silent)


def _never() -> Counted:
    raise AssertionError("nothing had to be decoded")


def test_what_is_decoded_once_is_mapped_afterwards(place: Path) -> None:
    source = Counted()
    assert _is_whole(_stored(place, source), source)
    again = cache.stored(place, _never, silent)
    assert _is_whole(again, source)
    assert isinstance(again.pixels, np.memmap)
    assert source.asked == PARTS


@pytest.mark.parametrize("broken", [(0,), (3, 4, 5), (20, 21), (4, 5, 6, 7), (21,)])
def test_images_that_are_left_out_leave_no_gap(broken: tuple[int, ...], place: Path) -> None:
    source = Counted(leave_out=broken)
    for found in (_stored(place, source), cache.stored(place, _never, silent)):
        assert found.broken == tuple(map(str, broken))
        assert len(found.labels) == 22 - len(broken)
        assert _is_whole(found, source)


def test_it_is_told_how_far_the_decoding_is(place: Path) -> None:
    heard: list[tuple[str, int, int]] = []
    cache.stored(place, Counted, lambda *far: heard.append(far))
    assert heard == [("decoding images", done, 22) for done in range(1, 23)]


class _Leaves(BaseException):
    pass


def test_a_decoding_that_is_left_in_the_middle_goes_on_where_it_was(place: Path) -> None:
    def leave(what: str, done: int, total: int) -> None:
        if done == 11:
            raise _Leaves

    with pytest.raises(_Leaves):
        cache.stored(place, Counted, leave)
    source = Counted()
    assert _is_whole(_stored(place, source), source)
    assert source.asked == PARTS[2:]


_CHILD = """
import os, signal, sys
from pathlib import Path
from tests.trainers.pictures import Counted
from trainers import cache
cache.CHUNK_IMAGES = 4
place, fatal = Path(sys.argv[1]), int(sys.argv[2])
def before(first):
    if first == fatal:
        os.kill(os.getpid(), signal.SIGKILL)
def told(what, done, total):
    if "waiting" in what:
        print("waiting", flush=True)
source = Counted(before=before)
found = cache.stored(place, lambda: source, told)
print("done", len(source.asked), int(found.sums.sum()), flush=True)
"""


def _child(place: Path, fatal: int = -1) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _CHILD, str(place), str(fatal)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_a_process_that_is_killed_loses_only_the_chunk_that_it_was_at(place: Path) -> None:
    with _child(place, fatal=12) as killed:
        assert killed.wait(SECONDS) == -9
    source = Counted()
    assert _is_whole(_stored(place, source), source)
    assert source.asked == PARTS[3:]


def test_two_processes_that_need_the_same_images_decode_them_once(place: Path) -> None:
    source = Counted()
    with caches.held(place, lambda: None):
        children = [_child(place) for _ in range(2)]
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "waiting\n"
    said = [child.communicate(timeout=SECONDS)[0].splitlines()[-1].split() for child in children]
    found = _stored(place, source)
    assert sorted(int(words[1]) for words in said) == [0, len(PARTS)]
    assert {int(words[2]) for words in said} == {int(found.sums.sum())}
    assert _is_whole(found, source)


def _same_chunks(found: Log, known: Log) -> bool:
    """Whether what was found is the beginning of what is known."""
    return list(found.chunks) == list(known.chunks)[: len(found.chunks)] and all(
        chunk.digest == known.chunks[number].digest and np.array_equal(chunk.sums, known.chunks[number].sums)
        for number, chunk in found.chunks.items()
    )


def test_of_records_that_are_cut_off_or_damaged_only_the_sound_ones_before_count(place: Path) -> None:
    _stored(place, Counted())
    path = place / "chunks"
    records, known = path.read_bytes(), Log.read(path)
    ends = []
    for position in range(0, len(records), 7):
        path.write_bytes(records[:position])
        cut = Log.read(path)
        path.write_bytes(records[:position] + bytes([records[position] ^ 4]) + records[position + 1 :])
        flipped = Log.read(path)
        assert cut.end == flipped.end <= position
        assert _same_chunks(cut, known)
        assert _same_chunks(flipped, known)
        ends.append(cut.end)
    assert len(set(ends)) == 1 + len(PARTS)
    assert known.end == len(records)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.999])
def test_whatever_a_crash_leaves_of_the_records_the_images_are_whole(share: float, place: Path) -> None:
    source = Counted()
    _stored(place, source)
    records = (place / "chunks").read_bytes()
    (place / "chunks").write_bytes(records[: int(share * len(records))])
    again = Counted()
    assert _is_whole(_stored(place, again), source)
    assert (place / "chunks").read_bytes() == records
    assert again.asked == PARTS[-len(again.asked) :]


def _flip(path: Path, position: int) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("position", [0, 4 * 192 - 1, 4 * 192, 22 * 192 - 1])
def test_a_damaged_chunk_is_decoded_anew_and_that_is_said(
    position: int, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _stored(place, Counted())
    _flip(place / "pixels", position)
    source = Counted()
    with caplog.at_level(logging.WARNING):
        assert _is_whole(_stored(place, source), source)
    assert source.asked == [position // (4 * 192) * 4]
    assert f"chunk {position // (4 * 192)} is damaged and is decoded anew" in caplog.text
    assert _is_whole(cache.stored(place, _never, silent), source)


@pytest.mark.parametrize("length", [0, 1000, 22 * 192 - 1, None])
def test_pixels_that_are_cut_short_or_gone_are_decoded_anew(length: int | None, place: Path) -> None:
    _stored(place, Counted())
    if length is None:
        (place / "pixels").unlink()
    else:
        os.truncate(place / "pixels", length)
    source = Counted()
    assert _is_whole(_stored(place, source), source)
    assert source.asked == [part for part in PARTS if part + 4 > (length or 0) // 192]


def test_every_byte_is_checked_again_after_the_machine_was_started_again(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _stored(place, Counted())
    heard: list[str] = []
    cache.stored(place, _never, lambda what, done, total: heard.append(what))
    assert heard == []
    monkeypatch.setattr(cache, "boot", lambda: "another")
    for _ in range(2):
        cache.stored(place, _never, lambda what, done, total: heard.append(what))
    assert heard == ["checking decoded images"] * len(PARTS)


@contextmanager
def _largest_file(size: int) -> Iterator[None]:
    """Every write past the size fails, as on a full disk (EFBIG)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_up_is_said_and_what_is_decoded_is_kept(place: Path) -> None:
    with _largest_file(10 * 192), pytest.raises(StoreFull, match=r"no room to write .*Free some space") as raised:
        _stored(place, Counted())
    assert reason_of(raised.value) == "disk_full"
    source = Counted()
    assert _is_whole(_stored(place, source), source)
    assert source.asked == PARTS[2:]


def test_a_disk_without_room_for_all_is_refused_before_anything_is_decoded(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, source = os.fstatvfs, Counted()

    def nearly_full(handle: int) -> os.statvfs_result:
        found = real(handle)
        return os.statvfs_result([*found[:4], 4000 // found.f_frsize, *found[5:]])

    monkeypatch.setattr(os, "fstatvfs", nearly_full)
    with pytest.raises(StoreFull, match="the decoded images take 4,224 bytes, and 0 are free"):
        _stored(place, source)
    assert source.asked == []
    monkeypatch.undo()
    assert _is_whole(_stored(place, source), source)


def test_content_that_can_never_be_decoded_leaves_only_its_lock_behind(place: Path) -> None:
    def refuse(first: int) -> None:
        if first == 8:
            raise DataMalformed("image_folder", None, "image", "cannot be decoded", "a sound image")

    with pytest.raises(DataMalformed):
        _stored(place, Counted(before=refuse))
    assert [file.name for file in place.iterdir()] == ["lock"], "others may be waiting for it"
    source = Counted()
    assert _is_whole(_stored(place, source), source)
