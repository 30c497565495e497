"""What lies in deploy/, and the names of metrics in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
DEPLOY, DOCS = REPOSITORY / "deploy", REPOSITORY / "docs"
METRIC = re.compile(r"\b((?:coldframe|process)_[a-z_]+)\b")
SUFFIX = re.compile(r"_(bucket|sum|count)$")


def alerts() -> list[dict[str, str]]:
    """Each alert of alerts.yml: its name, its expression and its runbook line."""
    found = []
    for text in (DEPLOY / "alerts.yml").read_text().split("- alert: ")[1:]:
        name, _, body = text.partition("\n")
        expression = re.search(r"expr: (?:>-\n)?(.*?)\n        (?:for|labels):", f"{body}\n", re.DOTALL)
        runbook = re.search(r"^          runbook: (\S+)$", body, re.MULTILINE)
        assert expression, name
        found.append({"name": name, "expression": expression[1], "runbook": runbook[1] if runbook else ""})
    return found


def panels() -> list[dict[str, Any]]:
    """The dashboard's panels, without its headings."""
    board = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[str]:
    """Every query of the dashboard and of the alerts."""
    board = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
    yield from (one["expr"] for one in board["annotations"]["list"])
    yield from (one["query"]["query"] for one in board["templating"]["list"] if isinstance(one["query"], dict))
    yield from (target["expr"] for panel in panels() for target in panel["targets"])
    yield from (alert["expression"] for alert in alerts())


def metrics(expression: str) -> set[str]:
    """The metrics that a query names, without what a histogram adds."""
    without_labels = re.sub(r"\{[^}]*\}", "", expression)
    without_names = re.sub(r"\b(?:by|on) \([^)]*\)", "", without_labels)
    return {SUFFIX.sub("", name) for name in METRIC.findall(without_names)}


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}
