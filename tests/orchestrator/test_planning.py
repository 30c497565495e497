"""What is handed in: paths, and who may name which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import SpecError
from orchestrator.serving.planning import check_folders, hand_in
from orchestrator.serving.service import Submission

RAW: dict[str, Any] = {
    "name": "roses",
    "strategy": {"name": "random"},
    "space": {"name": "cell"},
    "trainer": {"name": "scripted"},
    "data": {"name": "npz", "path": "images.npz"},
}


def test_relative_paths_are_taken_from_the_senders_folder_and_kept_absolute(tmp_path: Path) -> None:
    (tmp_path / "images.npz").write_bytes(b"any bytes have a digest")
    handed = hand_in(Submission(RAW, "roses.toml", str(tmp_path)), "ann", None)
    assert handed.raw["data"]["path"] == str(tmp_path / "images.npz") == handed.plan.data_path
    assert RAW["data"]["path"] == "images.npz", "what was handed in is left as it was"
    assert handed.owner == "ann"


def test_a_relative_path_from_nowhere_is_refused() -> None:
    with pytest.raises(SpecError, match="does not know your folders"):
        hand_in(Submission(RAW, "roses.toml", None), "ann", None)


@pytest.mark.parametrize(
    "path", ["images.npz", "~/images.npz", "$DATA/images.npz", "{open}/../shut/images.npz", "{open}/link"]
)
def test_over_tcp_only_files_of_open_folders_may_be_named(tmp_path: Path, path: str) -> None:
    opened, shut = tmp_path / "open", tmp_path / "shut"
    opened.mkdir()
    shut.mkdir()
    (shut / "images.npz").write_bytes(b"secret")
    (opened / "images.npz").write_bytes(b"open")
    (opened / "link").symlink_to(shut / "images.npz")
    check_folders(Submission(RAW | {"data": {"name": "npz", "path": str(opened / "images.npz")}}), [opened])
    raw = RAW | {"data": {"name": "npz", "path": path.format(open=opened)}}
    with pytest.raises(SpecError, match=r"data\.path"):
        check_folders(Submission(raw), [opened])
    with pytest.raises(SpecError, match="has no data_folders"):
        check_folders(Submission(raw), [])


def test_paths_of_tables_are_looked_at_too(tmp_path: Path) -> None:
    raw = RAW | {
        "trainer": {"name": "tabular", "table": "/etc/passwd"},
        "reference": {"trainer": {"table": "/etc/shadow"}},
    }
    with pytest.raises(SpecError, match=r"trainer\.table") as caught:
        check_folders(Submission(raw), [tmp_path])
    assert {problem.key for problem in caught.value.problems} == {
        "data.path",
        "trainer.table",
        "reference.trainer.table",
    }


def test_what_is_no_spec_at_all_is_a_problem_of_the_spec() -> None:
    for raw in ({"data": 3}, {"trainer": [1]}, {"data": {"path": 7}}, {"reference": {"trainer": "x"}}):
        check_folders(Submission(raw), [])
        with pytest.raises(SpecError):
            hand_in(Submission(raw, folder="/"), "ann", None)
