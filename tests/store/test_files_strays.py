"""What is left in a temporary folder is swept when nobody writes it any more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from store.files import sweep_strays

AGES_AGO = 1_000_000_000


def _draft(folder: Path, pid: int) -> Path:
    draft = folder / f"{pid}-{'a' * 32}"
    draft.mkdir()
    (draft / "c.0").write_bytes(b"half")
    os.utime(draft, (AGES_AGO, AGES_AGO))
    return draft


def test_what_a_live_writer_began_stays_however_old_it_looks(tmp_path: Path) -> None:
    """Guards packs that lost their files while they were put in place: a clock leapt, and a sweep thought them old."""
    draft = _draft(tmp_path, os.getppid())
    assert sweep_strays(tmp_path) == 0
    assert (draft / "c.0").exists()


def test_what_a_writer_left_that_is_gone_is_swept(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    _draft(tmp_path, gone.pid)
    assert sweep_strays(tmp_path) == 1
    assert list(tmp_path.iterdir()) == []
