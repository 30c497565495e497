"""What can be said of deploy/ without running anything but our own parsers."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from orchestrator.serving import config
from orchestrator.serving.config import ServeConfig
from tests.deploy.files import DEPLOY, DOCS, REPOSITORY, alerts, anchors, expressions, metrics, panels
from tests.orchestrator.metrics.test_reference import ROW


def documented() -> set[str]:
    return {row["name"] for row in ROW.finditer((DOCS / "metrics.md").read_text(encoding="utf-8"))}


def test_every_metric_of_dashboard_and_alerts_is_documented_and_so_exists() -> None:
    process = set(re.findall(r"`(process_\w+)`", (DOCS / "metrics.md").read_text(encoding="utf-8")))
    used = {name for expression in expressions() for name in metrics(expression)}
    assert used - documented() - process == set()


def test_the_dashboard_shows_every_metric_but_those_that_say_nothing_over_time() -> None:
    shown = {name for expression in expressions() for name in metrics(expression)}
    assert documented() - shown == {"coldframe_store_measured_timestamp_seconds"}


def test_every_panel_has_a_title_a_unit_and_says_what_it_shows() -> None:
    for panel in panels():
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
    places = [tuple(panel["gridPos"].values()) for panel in panels()]
    assert len(set(places)) == len(places)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels())


def test_every_alert_leads_to_a_chapter_of_the_runbook() -> None:
    there = anchors(DOCS / "operations.md")
    for alert in alerts():
        page, _, anchor = alert["runbook"].partition("#")
        assert page == "docs/operations.md", alert["name"]
        assert anchor == alert["name"].lower()
        assert anchor in there, f"docs/operations.md has no chapter {alert['name']}"


def test_every_alert_has_a_test() -> None:
    tests = (DEPLOY / "alerts_test.yml").read_text()
    for alert in alerts():
        evaluated = re.findall(rf"alertname: {alert['name']}\b", tests)
        assert len(evaluated) >= 1, alert["name"]
        assert alert["runbook"] in tests, f"no test in which {alert['name']} fires"


@pytest.mark.parametrize("name", ["coldframe.toml", "container.toml"])
def test_the_example_configuration_loads(name: str) -> None:
    loaded = config.load(DEPLOY / name)
    assert loaded.store == Path("/var/lib/coldframe/store")
    assert loaded.metrics.port == 9417  # as in prometheus.yml
    assert "127.0.0.1:9417" in (DEPLOY / "prometheus.yml").read_text()


def test_the_example_shows_every_key_and_its_default() -> None:
    text = (DEPLOY / "coldframe.toml").read_text()
    shown = tomllib.loads(re.sub(r"^# (?=\w+ = |\[)", "", text, flags=re.MULTILINE))
    loaded = ServeConfig.model_validate(shown)
    default = ServeConfig.model_validate({"store": "x", "api": {"tcp": {"token_file": "x"}}})
    free = {"store", "socket", "group", "token_file", "port", "workers_per_gpu", "pool_bytes"}
    for table in ("api", "metrics", "devices", "limits", "log"):
        assert set(shown[table]) == set(type(getattr(loaded, table)).model_fields), table
        for key in set(shown[table]) - free - {"tcp"}:
            assert getattr(getattr(loaded, table), key) == getattr(getattr(default, table), key), f"{table}.{key}"
    assert loaded.api.tcp is not None
    assert default.api.tcp is not None
    assert set(shown["api"]["tcp"]) == set(type(loaded.api.tcp).model_fields)
    assert loaded.api.tcp.model_dump(exclude={"token_file"}) == default.api.tcp.model_dump(exclude={"token_file"})


def instructions() -> list[tuple[str, str]]:
    """The Containerfile's instructions, with continued lines joined."""
    text = (DEPLOY / "Containerfile").read_text().replace("\\\n", " ")
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest) for word, rest in lines]


def test_what_the_container_copies_is_there() -> None:
    for word, rest in instructions():
        if word == "COPY" and "--from" not in rest:
            *sources, _ = shlex.split(rest)
            assert [source for source in sources if not (REPOSITORY / source).exists()] == []
    wheel = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    copied = {rest.split()[0] for word, rest in instructions() if word == "COPY"}
    assert set(wheel["packages"]) <= copied


def test_the_container_is_what_a_container_file_may_be() -> None:
    known = "ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK RUN STOPSIGNAL USER VOLUME WORKDIR".split()
    words = [word for word, _ in instructions()]
    assert set(words) <= set(known)
    assert words[0] == "FROM"
    last = words[len(words) - 1 - words[::-1].index("FROM") :]
    assert last.index("USER") < last.index("CMD"), "it would run as root"
    given = dict(instructions())
    assert given["USER"] == "1000:1000"
    assert json.loads(given["ENTRYPOINT"]) + json.loads(given["CMD"]) == [
        *("coldframe", "serve", "--config", "/etc/coldframe/coldframe.toml")
    ]
    assert all("--constraint constraints.txt" in rest for word, rest in instructions() if "pip install" in rest)


def test_the_unit_gives_a_drain_the_time_that_it_takes() -> None:
    unit = (DEPLOY / "coldframe.service").read_text()
    stop = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert stop
    assert int(stop[1]) > config.load(DEPLOY / "coldframe.toml").limits.drain_seconds
