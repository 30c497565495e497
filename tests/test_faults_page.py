"""docs/faults.md names a test for each scenario, and each test that it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "faults.md").read_text()
ROWS = re.findall(r"^\| (\d+) \|(.*)\|$", PAGE, re.MULTILINE)
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


def test_every_scenario_has_a_row_with_a_test() -> None:
    assert [int(number) for number, _ in ROWS] == list(range(1, 45))
    assert all("`tests/" in row or "No test: " in row for _, row in ROWS)


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_what_the_page_names_exists(file: str, test: str) -> None:
    assert re.search(rf"def {test or 'test_'}" + (r"\(" if test else ""), (ROOT / file).read_text())
