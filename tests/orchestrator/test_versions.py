"""Versions: written down at every start, remarked upon when they change, and never a reason to refuse."""

from __future__ import annotations

import subprocess
import sys

import numpy

from orchestrator import versions
from orchestrator.memory import Memory
from store.records.events import SearchOpened, SearchStarted
from tests.orchestrator.telling import spec

BEFORE = {"python": "3.11.7", "coldframe": "0.1.0", "torch": "2.13.0", "numpy": "2.4.6"}


def test_the_present_versions_are_those_that_are_installed_and_cost_no_import_of_torch() -> None:
    assert set(versions.present()) == {"python", "coldframe", "torch", "numpy"}
    assert versions.present()["numpy"] == numpy.__version__
    code = "import sys; from orchestrator import versions; versions.present(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_other_versions_of_what_decides_the_bits_are_named() -> None:
    said = versions.remark("cells", BEFORE, BEFORE | {"torch": "2.14.0", "numpy": "2.5.0", "python": "3.12.1"})
    assert said is not None
    assert "torch 2.13.0, now 2.14.0" in said
    assert "numpy 2.4.6, now 2.5.0" in said
    assert "python" not in said


def test_nothing_is_said_where_nothing_that_matters_changed_or_is_known() -> None:
    assert versions.remark("cells", BEFORE, BEFORE | {"python": "3.12.1", "coldframe": "0.2.0"}) is None
    assert versions.remark("cells", {}, BEFORE) is None


def test_memory_keeps_the_versions_of_the_last_start_and_old_journals_have_none() -> None:
    memory = Memory()
    opened = SearchOpened(search="s", spec=spec("cells"))
    memory.apply(opened.type, vars(opened))
    memory.apply("search_started", {"search": "s", "pid": 1})
    assert memory.searches["s"].versions == {}
    started = SearchStarted(search="s", pid=2, versions=BEFORE)
    memory.apply(started.type, vars(started))
    assert memory.searches["s"].versions == BEFORE
