"""A search that is taken up again by something else than before: another strategy's mind, other versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from store.records.events import JobSucceeded, SearchFailed, SearchStarted
from tests.faults import serving
from tests.faults.serving import Daemon
from tests.system import harness

pytestmark = pytest.mark.timeout(200)
MODULE = "tests.faults.wandering"


def wandering(folder: Path) -> Path:
    path = serving.spec(folder, "wandering", epoch_seconds=0.4)
    text = path.read_text().replace('name = "random"', 'name = "wandering"')
    text = text.replace("candidates = 8", "candidates = 40").replace("epochs = 2\ntop = 3\n", "")
    path.write_text(text)
    return path


def test_a_strategy_that_is_not_deterministic_stops_with_the_request_and_the_others_go_on(tmp_path: Path) -> None:
    """Scenario 39."""
    daemon = Daemon(tmp_path, module=MODULE).start()
    lost = daemon.submit(wandering(tmp_path))
    calm = daemon.submit(serving.spec(tmp_path, "calm", candidates=20, epoch_seconds=0.4))
    daemon.until_events(lambda seen: sum(isinstance(event, JobSucceeded) for event in seen) >= 4)
    daemon.kill()
    with daemon:
        daemon.until_ended(lost, status="failed")
        (failed,) = [event for event in harness.events(daemon.store) if isinstance(event, SearchFailed)]
        assert failed.search == lost
        assert "ReplayDiverged" in failed.message
        assert "request 0" in failed.message
        assert daemon.status(calm) in {"running", "preparing", "finished"}
        daemon.until_ended(calm)
        assert daemon.stop() == 0
    serving.assert_clean(daemon.store)


@pytest.mark.faults
def test_other_versions_are_remarked_upon_and_the_search_goes_on(tmp_path: Path) -> None:
    """Scenario 40: an upgrade in the middle of a search is no reason to refuse it; what that may mean is said."""
    reference = tmp_path / "reference"
    spec = serving.spec(tmp_path, "cells", epoch_seconds=0.4)
    harness.run(spec, reference)
    daemon = Daemon(tmp_path, module=MODULE).start()
    search = daemon.submit(spec)
    daemon.until_events(lambda seen: [event for event in seen if isinstance(event, JobSucceeded)])
    daemon.kill()
    daemon.env["COLDFRAME_TEST_TORCH"] = "99.0"
    with daemon:
        daemon.until_ended(search)
        assert daemon.stop() == 0
    started = [event for event in harness.events(daemon.store) if isinstance(event, SearchStarted)]
    assert [event.versions["torch"] == "99.0" for event in started] == [False, True]
    assert all({"python", "coldframe", "torch", "numpy"} <= set(event.versions) for event in started)
    said = (daemon.store / "logs" / "daemon.jsonl").read_text()
    assert "search cells was under way with other versions" in said
    assert "now 99.0" in said
    assert harness.result(daemon.store) == harness.result(reference), "of the scripted trainer torch decides nothing"
