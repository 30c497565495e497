"""`coldframe prepare`, and what a search says while it waits for its data set's files to be read."""

from __future__ import annotations

import io
import os
import pty
from pathlib import Path

import pytest

from orchestrator import preparing
from orchestrator.observer import Observer
from orchestrator.plain import Plain
from orchestrator.spec import load
from tests.orchestrator.command import coldframe
from tests.trainers.pictures import folder

SPEC = """
name = "pictures"
strategy = {{ name = "random", options = {{ candidates = 1, epochs = 1 }} }}
space = {{ name = "cell" }}
[data]
name = "image_folder"
path = "{path}"
{more}
"""


def _spec(place: Path, more: str = "") -> Path:
    file = place / "search.toml"
    file.write_text(SPEC.format(path=place / "images", more=more))
    return file


def test_images_are_decoded_once_and_kept_in_the_store(tmp_path: Path) -> None:
    folder(tmp_path / "images", each=8, sizes=((12, 12), (20, 14)))
    spec, store = _spec(tmp_path, "image_size = 10"), tmp_path / "store"
    first = coldframe("prepare", spec, "--store", store, "--json").json
    assert (first["images"], first["classes"], first["size"], first["bytes"]) == (16, 2, 10, 16 * 300)
    kept = Path(first["file"])
    assert kept.parent.parent == store / "cache"
    assert kept.stat().st_size == 16 * 300
    written = kept.stat().st_mtime_ns
    said = coldframe("prepare", spec, "--store", store).out
    assert "16 images of 2 classes, 10 x 10 pixels" in said
    assert str(kept) in said
    assert kept.stat().st_mtime_ns == written
    assert coldframe("gc", "--store", store, "--json").json["caches_kept"] == 1
    assert "0 folders of decoded images" in coldframe("gc", "--store", store).out
    assert coldframe("check", "--store", store, "--json").json["clean"]


def test_the_files_of_a_data_set_are_counted_while_they_are_read(tmp_path: Path) -> None:
    folder(tmp_path / "images")
    heard: list[tuple[int, int]] = []
    load(_spec(tmp_path), lambda *far: heard.append(far))
    assert heard == [(done, 12) for done in range(12)]


def test_few_images_need_no_preparation(tmp_path: Path) -> None:
    folder(tmp_path / "images")
    found = coldframe("prepare", _spec(tmp_path), "--store", tmp_path / "store", "--json").json
    assert (found["images"], found["file"]) == (12, None)


def test_a_broken_image_is_refused_by_name_with_exit_code_2(tmp_path: Path) -> None:
    (folder(tmp_path / "images") / "class0" / "1.png").write_bytes(b"")
    done = coldframe("prepare", _spec(tmp_path, "image_size = 10"), "--store", tmp_path / "store")
    assert done.code == 2
    assert "class0/1.png" in done.err
    assert "data.skip_broken = true" in done.err


def test_a_size_for_other_data_than_a_folder_is_refused_with_its_key(tmp_path: Path) -> None:
    spec = tmp_path / "search.toml"
    spec.write_text(SPEC.format(path="", more="image_size = 10").replace("image_folder", "digits"))
    done = coldframe("prepare", spec, "--store", tmp_path / "store")
    assert done.code == 2
    assert "data.image_size is 10: expected none" in done.err


def test_a_terminal_gets_a_bar_and_everything_else_nothing() -> None:
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as terminal, os.fdopen(leader, "rb"):
        with preparing.bars(terminal) as told:
            told("decoding images", 300, 1200)
        drawn = ""
        while "300/1200" not in drawn:  # a terminal hands over what it has, piece by piece
            drawn += os.read(leader, 65536).decode()
    assert "decoding images" in drawn
    silent = io.StringIO()
    with preparing.bars(silent) as told:
        told("decoding images", 300, 1200)
    assert silent.getvalue() == ""


def test_a_search_whose_files_take_long_to_read_says_so_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now, stream = [0.0], io.StringIO()
    monkeypatch.setattr(preparing.time, "monotonic", lambda: now[0])
    observer: Observer = Plain(stream)
    with preparing.reasons(observer) as told:
        for done in range(0, 1300, 100):
            told(done, 1300)
            now[0] += 1.0
    lines = [line.split("  ")[1] for line in stream.getvalue().splitlines()]
    assert lines == [f"waiting: reading image files: {done:,} of 1,300" for done in (500, 1000)]
