"""`coldframe serve` as a process: killed, started twice, told to leave, configured wrongly."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from store.records.events import AnyEvent, CheckpointSaved, JobStarted, SearchInterrupted
from tests.faults.serving import Daemon, assert_clean, results, spec
from tests.system import harness

pytestmark = pytest.mark.timeout(200)


@pytest.mark.faults
def test_two_searches_killed_midway_end_as_if_they_had_not_been(tmp_path: Path) -> None:
    (tmp_path / "undisturbed").mkdir()
    specs = [spec(tmp_path, name, seed=seed, epoch_seconds=0.1) for name, seed in (("one", 1), ("two", 2))]

    def both_are_under_way(events: list[AnyEvent]) -> bool:
        saved = {event.candidate for event in events if isinstance(event, CheckpointSaved)}
        return len(saved) >= 3 and isinstance(events[-1], CheckpointSaved | JobStarted)

    daemon = Daemon(tmp_path).start()
    searches = [daemon.submit(path) for path in specs]
    daemon.until_events(both_are_under_way)
    second = harness.coldframe("serve", "--store", str(daemon.store), expected=2)
    assert f"process {daemon.pid} on {socket.gethostname()} writes to it" in second
    daemon.kill()
    with daemon:
        daemon.until_ended(*searches)
        assert daemon.stop() == 0
    assert_clean(daemon.store)
    for path in specs:
        harness.run(path, tmp_path / "undisturbed" / "store")
    assert results(daemon.store) == results(tmp_path / "undisturbed" / "store")
    assert all(count == 1 for count in harness.epochs_committed(daemon.store).values())


def test_a_daemon_that_is_told_to_leave_says_so_and_leaves_its_searches_to_the_next(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        search = daemon.submit(spec(tmp_path, "long", epochs=50, epoch_seconds=0.5))
        daemon.until_events(lambda events: any(isinstance(event, JobStarted) for event in events))
        assert daemon.stop() == 0
    last = [event for event in harness.events(daemon.store) if isinstance(event, SearchInterrupted)]
    assert [(event.search, event.reason) for event in last] == [(search, "SIGTERM")]
    harness.assert_none_left(daemon.store)


def test_a_configuration_that_cannot_be_used_is_told_key_by_key(tmp_path: Path) -> None:
    config = tmp_path / "daemon.toml"
    config.write_text('store = "store"\n[devices]\ncpu_workers = 0\n[limits]\nlazy = true\n')
    said = harness.coldframe("serve", "--config", str(config), expected=2)
    assert "devices.cpu_workers" in said
    assert "limits.lazy" in said
    assert not (tmp_path / "store").exists()
    assert str(tmp_path / "nothing.toml") in harness.coldframe(
        "serve", "--config", str(tmp_path / "nothing.toml"), expected=2
    )
    assert os.listdir(tmp_path) == ["daemon.toml"]
