"""docs/metrics.md says of every metric what the registry says, and of no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple, get_args

from orchestrator.metrics import api, families, gauges
from orchestrator.metrics import sizes as measured
from orchestrator.metrics.sizes import Sizes
from orchestrator.serving.service import ServedSearch
from store.records.events import DeviceLeft
from store.records.outcomes import Reason
from tests.orchestrator.metrics.desk import Desk
from tests.orchestrator.telling import Teller

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?P<type>\w+) \| (?P<labels>[^|]*) \| (?P<about>[^|]+) \|$", re.MULTILINE)
OF_OTHERS = "process_"


class Described(NamedTuple):
    kind: str
    labels: frozenset[str]
    about: str


def shown() -> dict[str, Described]:
    """Every metric of a daemon of which everything has happened."""
    desk, teller = Desk(), Teller()
    teller.open()
    teller.train(1, 2)
    desk.happen(*[event for _, event in teller.events])
    desk.happen(DeviceLeft(device="cuda:0", reason="lost", message="gone"))
    desk.told.asked.append(ServedSearch(teller.search, "running", "ada", 1.0, 0, done=1, total=2))
    desk.metrics.api.request("/v1/searches", 200, 0.1)
    sizes = Sizes(dict.fromkeys(("blobs", "other"), 1), 1.5, 1, 1.0, 1, 1)
    found = {}
    for family in desk.families(sizes).values():
        labels = frozenset(label for sample in family.samples for label in sample.labels) - {"le"}
        suffix = "_total" if family.type == "counter" else ""
        assert family.samples, f"{family.name} has no sample: its labels are not known"
        found[family.name + suffix] = Described(family.type, labels, family.documentation)
    return found


def test_the_page_has_every_metric_as_it_is() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = [row.groupdict() for row in ROW.finditer(text)]
    documented = {
        row["name"]: Described(row["type"], frozenset(re.findall(r"`(\w+)`", row["labels"])), row["about"])
        for row in rows
    }
    assert len(documented) == len(rows)
    found = {name: described for name, described in shown().items() if not name.startswith(OF_OTHERS)}
    assert documented == found


def test_the_page_has_every_value_of_the_labels() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("## Labels")[2].partition("\n## ")[0]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| `")]
    listed = {heading.removeprefix("| "): set(re.findall(r"`([^`]+)`", values)) for heading, values in rows}
    assert listed["`reason` of jobs and attempts"] == set(get_args(Reason))
    assert listed["`reason` of refusals"] == set(api.REASONS)
    assert listed["`kind` of requests and jobs"] == set(families.KINDS)
    assert listed["`kind` of the store"] == set(measured.KINDS)
    assert listed["`status` of searches"] == set(gauges.STATUSES)
    assert listed["`status` of the daemon"] == set(gauges.HEALTH)
    assert listed["`how`"] == set(families.EPOCHS)
