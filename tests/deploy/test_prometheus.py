"""A real Prometheus scrapes a real daemon that runs a search; promtool checks what we ship."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deploy.files import DEPLOY, expressions, metrics
from tests.faults import serving
from tests.orchestrator.metrics.desk import parsed

pytestmark = pytest.mark.system
SECONDS = 60.0


def installed(tool: str) -> str:
    found = shutil.which(tool)
    if found is None:
        pytest.skip(f"{tool} is not installed (Debian: apt-get install prometheus)")
    return found


def promtool(*arguments: str, given: str | None = None) -> str:
    command = [installed("promtool"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, cwd=DEPLOY, input=given)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_configuration_and_the_rules_are_sound() -> None:
    assert "prometheus.yml is valid" in promtool("check", "config", "prometheus.yml")
    assert "17 rules found" in promtool("check", "rules", "alerts.yml")


def test_each_alert_fires_when_it_should() -> None:
    assert "SUCCESS" in promtool("test", "rules", "alerts_test.yml")


class Prometheus:
    """One on a port of its own, with our scrape configuration but for the target's port and the pace."""

    def __init__(self, folder: Path, target: str) -> None:
        self.folder = folder
        text = (DEPLOY / "prometheus.yml").read_text().replace("127.0.0.1:9417", target)
        text = text.replace("interval: 15s", "interval: 1s").replace("- alerts.yml", f"- {DEPLOY / 'alerts.yml'}")
        (folder / "prometheus.yml").write_text(text)
        self.out = (folder / "prometheus.out").open("w+")
        command = [installed("prometheus"), f"--config.file={folder / 'prometheus.yml'}"]
        command += [f"--storage.tsdb.path={folder / 'data'}", "--web.listen-address=127.0.0.1:0", "--log.level=info"]
        self.process = subprocess.Popen(command, stdout=self.out, stderr=self.out)
        self.http: httpx.Client

    def start(self) -> None:
        """Waits until it listens; it says on which port."""
        told = self.until(lambda: re.search(r"Listening on\".* address=(127\.0\.0\.1:\d+)", self.said()))
        self.http = httpx.Client(base_url=f"http://{told[1]}", timeout=10.0)
        self.until(self.is_ready)

    def is_ready(self) -> bool:
        try:
            return self.http.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def said(self) -> str:
        return Path(self.out.name).read_text()

    def until(self, happened: Callable[[], Any], seconds: float = SECONDS) -> Any:
        limit = time.monotonic() + seconds
        while not (found := happened()):
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < limit, f"it never happened\n{self.said()[-3000:]}"
            time.sleep(0.1)
        return found

    def query(self, expression: str) -> list[dict[str, Any]]:
        answer = self.http.get("/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", f"{expression}: {answer}"
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def value(self, expression: str) -> float | None:
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else None

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(SECONDS)
        if hasattr(self, "http"):
            self.http.close()
        self.out.close()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[serving.Daemon]:
    with serving.Daemon(tmp_path_factory.mktemp("served"), more="[metrics]\nport = 0\n") as daemon:
        yield daemon
        assert daemon.stop() == 0


@pytest.fixture(scope="module")
def prometheus(daemon: serving.Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    port = re.search(r"metrics on port (\d+)", daemon.said())
    assert port
    prometheus = Prometheus(tmp_path_factory.mktemp("prometheus"), f"127.0.0.1:{port[1]}")
    try:
        prometheus.start()
        yield prometheus
    finally:
        prometheus.stop()


def test_prometheus_sees_a_search_from_its_start_to_its_end(daemon: serving.Daemon, prometheus: Prometheus) -> None:
    prometheus.until(lambda: prometheus.value('up{job="coldframe"}') == 1)
    search = daemon.submit(serving.spec(daemon.folder, "seen", candidates=10, epochs=4, epoch_seconds=0.2))
    prometheus.until(lambda: prometheus.value('coldframe_searches{status="running"}') == 1)
    prometheus.until(lambda: prometheus.value('sum(coldframe_jobs{state="running"})') == 2)
    prometheus.until(lambda: prometheus.value("sum(coldframe_device_busy_slots)") == 2)
    daemon.until_ended(search)
    prometheus.until(lambda: prometheus.value('coldframe_searches{status="finished"}') == 1)
    assert prometheus.value('coldframe_epochs_total{how="trained"}') == 40
    assert prometheus.value('coldframe_jobs_ended_total{kind="train", state="succeeded"}') == 10
    assert prometheus.value('coldframe_job_run_seconds_count{kind="train", end="succeeded"}') == 10
    assert prometheus.value("sum(coldframe_jobs)") == 0
    (best,) = prometheus.query("coldframe_search_best_accuracy")
    assert best["metric"]["name"] == "seen"
    assert search.startswith(best["metric"]["search"])
    shown = daemon.get(f"/v1/searches/{search}")
    assert float(best["value"][1]) == pytest.approx(shown["best"]["accuracy"])
    assert prometheus.value("coldframe_journal_rows_total == coldframe_journal_sequence") is not None
    mean = prometheus.value("coldframe_journal_commit_seconds_sum / coldframe_journal_commit_seconds_count")
    assert mean is not None
    assert 0 < mean < 1


def test_every_query_of_the_dashboard_and_of_the_alerts_works(prometheus: Prometheus) -> None:
    asked = 0
    for expression in expressions():
        if expression.startswith("label_values("):
            continue
        for name, value in {"$instance": ".*", "$__rate_interval": "1m"}.items():
            expression = expression.replace(name, value)
        prometheus.query(expression)
        asked += 1
    assert asked > 60


def test_every_metric_that_they_name_is_in_a_scrape(daemon: serving.Daemon) -> None:
    scraped = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in parsed(daemon.http.get("/metrics").text).values()
    }
    used = {name for expression in expressions() for name in metrics(expression)}
    assert used - scraped == set()


def test_no_alert_fires_for_a_daemon_that_is_well(prometheus: Prometheus) -> None:
    def evaluated() -> list[dict[str, Any]]:
        groups: list[dict[str, Any]] = prometheus.http.get("/api/v1/rules").json()["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return rules if all(rule["health"] != "unknown" for rule in rules) else []

    rules = prometheus.until(evaluated)
    assert len(rules) == 17
    assert [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] != "ok"] == []
    assert [rule["name"] for rule in rules if rule["state"] == "firing"] == []


def test_promtool_finds_nothing_wrong_with_the_metrics(daemon: serving.Daemon) -> None:
    scrape = daemon.http.get("/metrics", headers={"Accept": "text/plain"}).text
    assert promtool("check", "metrics", given=scrape) == ""


def test_a_stopped_prometheus_does_no_harm(daemon: serving.Daemon, prometheus: Prometheus) -> None:
    """Scenario 41: the scraper stands still, with a connection open."""
    before = len(daemon.get("/v1/searches"))
    prometheus.process.send_signal(signal.SIGSTOP)
    try:
        search = daemon.submit(serving.spec(daemon.folder, "unseen", seed=8))
        daemon.until_ended(search)
    finally:
        prometheus.process.send_signal(signal.SIGCONT)
    prometheus.until(lambda: prometheus.value('coldframe_searches{status="finished"}') == before + 1)
