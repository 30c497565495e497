"""What is handed in: paths, and who may name which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import SpecError
from orchestrator.serving.planning import hand_in
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


def test_what_is_no_spec_at_all_is_a_problem_of_the_spec() -> None:
    for raw in ({"data": 3}, {"trainer": [1]}, {"data": {"path": 7}}, {"reference": {"trainer": "x"}}):
        with pytest.raises(SpecError):
            hand_in(Submission(raw, folder="/"), "ann", None)
