"""Makes the sample store of a release. Run by the code of that release, not by this one's: see README.md."""

from __future__ import annotations

import json
import platform
import shutil
import sys
import tarfile
from pathlib import Path

import numpy
import torch

from store.records.events import AnyEvent, JobStarted, SearchFinished, SearchOpened, StateSaved
from tests.system import harness

HERE = Path(__file__).resolve().parent
KILLED = ("half", "taking", "trained")


def main(name: str, work: Path) -> None:
    """Writes `NAME.tar.xz` and `NAME.json` beside this file."""
    store, whole = work / "store", work / "whole"
    for search in ("finished", "giving"):
        harness.run(spec(search), store)
    shutil.copytree(store, whole)
    expected = {"finished": first_result(whole)}
    for search in KILLED:
        harness.run(spec(search), whole)
        expected[search] = harness.result(whole)
        process = harness.start(spec(search), store)
        harness.wait_for(process, store, lambda seen, search=search: is_half_done(search, seen))
        harness.kill(process)
        harness.assert_none_left(store)
    found = {
        "release": name,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "results": expected,
        "checkpoints": harness.checkpoints(whole),
    }
    (HERE / f"{name}.json").write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    with tarfile.open(HERE / f"{name}.tar.xz", "w:xz", preset=9) as archive:
        archive.add(store, "store", filter=without_owner)


def spec(search: str) -> Path:
    """The file of a search."""
    return HERE / "specs" / f"{search}.toml"


def first_result(store: Path) -> dict[str, object]:
    """The first result in a store's journal."""
    return next(event.result for event in harness.events(store) if isinstance(event, SearchFinished))


def is_half_done(search: str, seen: list[AnyEvent]) -> bool:
    """Whether enough of a search is journalled, and not all."""
    opened = [
        place for place, event in enumerate(seen) if isinstance(event, SearchOpened) and event.spec.name == search
    ]
    if not opened:
        return False
    since = seen[opened[0] :]
    if search == "half":
        return sum(isinstance(event, StateSaved) for event in since) >= 2 and isinstance(seen[-1], JobStarted)
    saved = sum(event.type == "checkpoint_saved" for event in since)
    return saved >= (8 if search == "taking" else 4) and seen[-1].type == "checkpoint_saved"


def without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leaves out what is no part of the store's content."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return None if "/logs" in member.name else member


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
